'use strict';

// Tests that run as processes of their own, so that unmodified clients trust the
// gateway's authority by what Node.js reads when it starts, NODE_EXTRA_CA_CERTS.

const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { binary, delay } = require('./gateway.js');

const patience = 10 * 60 * 1000; // milliseconds, for one group of tests

/** Makes an authority, as `relayhouse dev` keeps it; it ends with the test t. */
async function makeAuthority(t) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'authority-'));
  const child = spawn(binary, ['dev', '--http', '127.0.0.1:0', '--https', '127.0.0.1:0',
    '--admin', '127.0.0.1:0', '--management', '', '--data-dir', folder], { stdio: 'ignore' });
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

/**
 * Runs the tests of files, those whose names have one of the patterns in only, and returns
 * their TAP stream.
 */
async function run(files, authority, environment = {}, only = []) {
  const env = { ...process.env, NODE_EXTRA_CA_CERTS: authority, ...environment };
  delete env.NODE_TEST_CONTEXT; // it would make the tests report to this process
  const patterns = only.map((name) => `--test-name-pattern=${name}`);
  const child = spawn(process.execPath, ['--no-deprecation', '--test', '--test-concurrency=1',
    '--test-reporter=tap', ...patterns,
    ...files.map((name) => path.join(__dirname, name))],
  { env, stdio: ['ignore', 'pipe', 'inherit'], timeout: patience });
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
      if (!match[3] && !match[2].endsWith('.js')) results.push(last);
    } else if (last && !last.passed) {
      last.details += `${line}\n`;
    }
  }
  return results;
}

module.exports = { makeAuthority, run, resultsOf };
