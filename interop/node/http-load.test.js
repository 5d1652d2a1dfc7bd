'use strict';

// Load by tools that others wrote: ab, wrk and autocannon, against a hyco-https
// listener in a process of its own. No request may fail.

const test = require('node:test');
const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { start, within, anonymous } = require('./gateway.js');
const { run, viaHttp, pattern } = require('./http-senders.js');

const seconds = 3;

/** Starts a gateway and the listener of echo.js. */
async function serve(t) {
  const gateway = await start(t);
  const child = spawn(process.execPath, ['--no-deprecation', path.join(__dirname, 'echo.js'),
    gateway.listenUri(anonymous), gateway.token(anonymous)],
  { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = new Promise((resolve) => child.on('exit', resolve));
  t.after(async () => {
    child.kill('SIGKILL');
    await exited;
  });
  await within(10000, 'the listener', new Promise((resolve) => child.stdout.on('data', resolve)));
  return gateway;
}

/** Runs a tool and returns what it printed; it must end well. */
async function output(command, args) {
  const { code, stdout, stderr } = await run(command, args);
  assert.equal(code, 0, `${command}: ${stderr}${stdout}`);
  return String(stdout);
}

/** The number behind a name in the output of ab. */
function numberOf(text, name) {
  const match = new RegExp(`^${name}:\\s+([\\d.]+)`, 'm').exec(text);
  return match ? Number(match[1]) : 0;
}

/** Writes a file for a tool; it goes with the test t. */
function fileOf(t, content) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'load-'));
  t.after(() => fs.rmSync(folder, { recursive: true, force: true }));
  const file = path.join(folder, 'file');
  fs.writeFileSync(file, content);
  return file;
}

for (const [what, size] of [['GET', 0], ['POST of 100 bytes', 100],
  ['POST of 70,000 bytes', 70000]]) {
  test(`ab: 2,000 requests, 20 at once, ${what}`, async (t) => {
    const gateway = await serve(t);
    const post = size === 0 ? []
      : ['-p', fileOf(t, pattern(size)), '-T', 'application/octet-stream'];
    const text = await output('ab', ['-q', '-n', '2000', '-c', '20', '-k', ...post,
      gateway.url(anonymous, '/ab')]);
    t.diagnostic(`${numberOf(text, 'Requests per second')} requests per second`);
    assert.equal(numberOf(text, 'Complete requests'), 2000, text);
    assert.equal(numberOf(text, 'Failed requests'), 0, text);
    assert.equal(numberOf(text, 'Non-2xx responses'), 0, text);
    assert.equal(numberOf(text, 'Write errors'), 0, text);
    const body = size === 0 ? '/ab'.length + anonymous.length + 1 : size;
    assert.equal(numberOf(text, 'Document Length'), body, text);
  });
}

test('wrk: 20 connections, GET', async (t) => {
  const gateway = await serve(t);
  const text = await output('wrk', ['-t', '1', '-c', '20', '-d', `${seconds}s`,
    gateway.url(anonymous, '/wrk')]);
  const [, requests] = /(\d+) requests in/.exec(text);
  t.diagnostic(`${requests} requests in ${seconds} s`);
  assert.ok(Number(requests) > 100, text);
  assert.doesNotMatch(text, /Socket errors|Non-2xx/);
});

for (const [what, size, args] of [
  ['20 connections, GET', 0, ['-c', '20']],
  ['20 connections, 4 pipelined, GET', 0, ['-c', '20', '-p', '4']],
  ['10 connections, POST of 1,000 bytes', 1000, ['-c', '10', '-m', 'POST']],
  ['10 connections, POST of 70,000 bytes', 70000, ['-c', '10', '-m', 'POST']],
]) {
  test(`autocannon: ${what}`, async (t) => {
    const gateway = await serve(t);
    const post = size === 0 ? [] : ['-i', fileOf(t, 'x'.repeat(size)), '-E', 'x'.repeat(size)];
    const expected = size === 0 ? ['-E', `/${anonymous}/cannon`] : [];
    // The body of 70,000 bytes is no argument of a command line's liking.
    const checked = size > 10000 ? post.slice(0, 2) : [...post, ...expected];
    const text = await output(process.execPath, [require.resolve('autocannon'), '-j', '-n',
      '-d', String(seconds), ...args, ...checked, gateway.url(anonymous, '/cannon')]);
    const result = JSON.parse(text);
    t.diagnostic(`${result['2xx']} requests in ${result.duration} s, ` +
      `median ${result.latency.p50} ms, p99 ${result.latency.p99} ms`);
    assert.ok(result['2xx'] > 100, text);
    for (const name of ['errors', 'timeouts', 'mismatches', 'non2xx', 'resets']) {
      assert.equal(result[name], 0, `${name}: ${text}`);
    }
    const after = await viaHttp(gateway.url(anonymous, '/after'));
    assert.equal(String(after.body), `/${anonymous}/after`);
  });
}
