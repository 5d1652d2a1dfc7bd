'use strict';

// The tests of the other files over TLS, again as processes of their own: the
// clients are as published, and trust the gateway's authority by what Node.js
// reads when it starts, NODE_EXTRA_CA_CERTS, and nothing else.

const test = require('node:test');
const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { binary, delay } = require('./gateway.js');

const patience = 10 * 60 * 1000; // milliseconds, for one group of tests

const relays = ['echo of text', '1 MiB', 'close codes', 'headers and query', 'renewToken',
  '4001', 'subprotocol that', 'vanishes', 'websocket package', 'raw ws listener'];
const refusals = ['bad key', 'unknown entity', 'no listener', 'fragmented', 'reconnects',
  'server\\.close'];
const requests = ['small bodies', 'of 65 KiB', 'written by write$', 'ten at once',
  'pipelined', '200 MiB from hyco-https'];
const pages = ['a page with', 'a form that', 'server-sent events'];
const own = '--tls-record-layer own';

const groups = [
  { name: 'WebSockets over TLS', files: ['hyco-ws', 'ws'], only: [...relays, ...refusals] },
  { name: 'WebSockets, the listener over TLS', files: ['hyco-ws', 'ws'], only: relays.slice(0, 4),
    who: 'listener' },
  { name: 'WebSockets, the sender over TLS', files: ['hyco-ws', 'ws'], only: relays.slice(0, 4),
    who: 'sender' },
  { name: 'WebSockets, own record layer', files: ['hyco-ws', 'ws'], only: relays, flags: own },
  { name: 'HTTP over TLS', files: ['http-items', 'http-large'], only: requests },
  { name: 'HTTP, the listener over TLS', files: ['http-items'], only: ['item 36'],
    who: 'listener' },
  { name: 'HTTP, the sender over TLS', files: ['http-items'], only: ['item 36'], who: 'sender' },
  { name: 'HTTP, own record layer', files: ['http-items', 'http-large'],
    only: ['small bodies', 'of 65 KiB', '200 MiB from hyco-https'], flags: own },
  { name: 'Express over TLS', files: ['express'],
    only: ['an application sees', 'forms and JSON', 'redirects', 'conditional GET'] },
  { name: 'a browser over TLS', files: ['browser'], only: pages },
];

/** Makes an authority, as `relayhouse dev` keeps it; it ends with the test t. */
async function makeAuthority(t) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'authority-'));
  const child = spawn(binary, ['dev', '--http', '127.0.0.1:0', '--https', '127.0.0.1:0',
    '--admin', '127.0.0.1:0', '--data-dir', folder], { stdio: 'ignore' });
  const exited = new Promise((resolve) => child.on('exit', resolve));
  t.after(() => fs.rmSync(folder, { recursive: true, force: true }));
  for (const begun = Date.now(); !fs.existsSync(path.join(folder, 'endpoints.json'));) {
    assert.ok(child.exitCode === null && Date.now() - begun < 10000, 'the gateway did not start');
    await delay(20);
  }
  child.kill('SIGKILL');
  await exited;
  return path.join(folder, 'ca.pem');
}

/** Runs a group and returns the TAP stream of its tests. */
async function run(group, authority) {
  const environment = { ...process.env, NODE_EXTRA_CA_CERTS: authority,
    RELAYHOUSE_TLS: group.who || 'listener,sender', RELAYHOUSE_FLAGS: group.flags || '' };
  delete environment.NODE_TEST_CONTEXT; // it would make the tests report to this process
  const patterns = group.only.map((name) => `--test-name-pattern=${name}`);
  const child = spawn(process.execPath, ['--no-deprecation', '--test', '--test-concurrency=1',
    '--test-reporter=tap', ...patterns,
    ...group.files.map((name) => path.join(__dirname, `${name}.test.js`))],
  { env: environment, stdio: ['ignore', 'pipe', 'inherit'], timeout: patience });
  let output = '';
  child.stdout.on('data', (text) => { output += text; });
  await new Promise((resolve) => child.on('close', resolve));
  return output;
}

/** The tests of a TAP stream: {name, passed, details}, without those that did not run. */
function resultsOf(tap) {
  const results = [];
  let last;
  for (const line of tap.split('\n')) {
    const match = /^ *(not )?ok \d+ - (.*?)( # SKIP.*)?$/.exec(line);
    if (match) {
      last = { name: match[2].replace(/\\(.)/g, '$1'), passed: !match[1], details: '' };
      if (!match[3] && !match[2].endsWith('.test.js')) results.push(last);
    } else if (last && !last.passed) {
      last.details += `${line}\n`;
    }
  }
  return results;
}

test('over TLS', async (t) => {
  const authority = await makeAuthority(t);
  for (const group of groups) {
    const begun = Date.now();
    const output = await run(group, authority);
    const results = resultsOf(output);
    assert.ok(results.length > 0, `${group.name}: no test ran:\n${output}`);
    t.diagnostic(`${group.name}: ${results.length} tests in ${Date.now() - begun} ms`);
    for (const { name, passed, details } of results) {
      await t.test(`${name}; ${group.name}`, () => assert.ok(passed, details));
    }
  }
});
