'use strict';

// The tests of the other files over TLS, again as processes of their own: the
// clients are as published, and trust the gateway's authority by what Node.js
// reads when it starts, NODE_EXTRA_CA_CERTS, and nothing else.

const test = require('node:test');
const assert = require('node:assert/strict');
const { makeAuthority, run, resultsOf } = require('./children.js');

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

test('over TLS', async (t) => {
  const authority = await makeAuthority(t);
  for (const group of groups) {
    const begun = Date.now();
    const output = await run(group.files.map((name) => `${name}.test.js`), authority, {
      RELAYHOUSE_TLS: group.who || 'listener,sender', RELAYHOUSE_FLAGS: group.flags || '',
    }, group.only);
    const results = resultsOf(output);
    assert.ok(results.length > 0, `${group.name}: no test ran:\n${output}`);
    t.diagnostic(`${group.name}: ${results.length} tests in ${Date.now() - begun} ms`);
    for (const { name, passed, details } of results) {
      await t.test(`${name}; ${group.name}`, () => assert.ok(passed, details));
    }
  }
});
