'use strict';

// A hyco-https listener as a process of its own: answers with the body, or with
// the request target when there is none. Usage: node echo.js URI TOKEN. Prints a
// line when it is registered, and goes on until it is killed.

const https = require('hyco-https');
const { bodyOf } = require('./http-listeners.js');

const server = https.createRelayedServer({ server: process.argv[2], token: process.argv[3] },
  async (request, response) => {
    const body = await bodyOf(request);
    response.end(body.length > 0 ? body : request.url);
  });
let registered = false;
server.on('error', (event) => {
  if (!registered) process.stderr.write(`${event.message}\n`);
  process.exit(1); // by itself it would try again
});
server.on('listening', () => {
  registered = true;
  process.stdout.write('listening\n');
});
server.listen();
