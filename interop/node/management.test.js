'use strict';

// The management API: the tests of management-client.js in a process that trusts
// the gateway's authority.

const test = require('node:test');
const assert = require('node:assert/strict');
const { makeAuthority, run, resultsOf } = require('./children.js');

test('management', async (t) => {
  const authority = await makeAuthority(t);
  const output = await run(['management-client.js'], authority,
    { RELAYHOUSE_TLS: 'listener,sender' });
  const results = resultsOf(output);
  assert.ok(results.length > 0, `no test ran:\n${output}`);
  for (const { name, passed, details } of results) {
    await t.test(`${name}; management`, () => assert.ok(passed, details));
  }
});
