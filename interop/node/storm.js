'use strict';

// A hyco-ws listener with a bad token, as a process of its own: it registers
// again at once after each refusal, twice, and so faster and faster.
// Usage: node storm.js URI TOKEN. Ends by itself, and prints how often it was
// refused.

const hyco = require('hyco-ws');

const attemptsMax = 5000;
const duration = 2000; // milliseconds

const server = hyco.createRelayedServer({ server: process.argv[2], token: process.argv[3] });
let refusals = 0;
server.on('error', () => {
  refusals++;
  if (refusals >= attemptsMax) server.closeRequested = true;
});
setTimeout(() => {
  server.closeRequested = true;
  process.stdout.write(String(refusals), () => process.exit(0));
}, duration);
