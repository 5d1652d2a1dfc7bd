'use strict';

// Large bodies, and how much memory the gateway needs for them. Names carry the
// numbers of the conformance list, section 7 of docs/protocol.md.

const test = require('node:test');
const assert = require('node:assert/strict');
const crypto = require('node:crypto');
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const { start, delay, within, anonymous, authority } = require('./gateway.js');
const { viaHttp, openRequest, keepAlive, pattern, sha256 } = require('./http-senders.js');
const { httpsListener, rawListener, bodyOf } = require('./http-listeners.js');

const MiB = 1 << 20;
const large = 200; // MiB
const hycoMax = 100; // MiB; the ws package in hyco-https takes no larger message

// What the gateway may grow to while it relays 200 MiB; it starts with some 15.
const memoryMax = 64; // MiB

/** Pieces of 1 MiB, all different, with the checksum of the whole in `hash`. */
class Pieces {
  constructor(count) {
    this.count = count;
    this.base = pattern(MiB);
    this.hash = crypto.createHash('sha256');
  }

  * [Symbol.iterator]() {
    for (let i = 0; i < this.count; i++) {
      const piece = Buffer.from(this.base);
      piece.writeUInt32BE(i, 0);
      this.hash.update(piece);
      yield piece;
    }
  }
}

/** Sends pieces as the body of a request, no faster than they are taken. */
async function upload(request, pieces) {
  const answered = new Promise((resolve, reject) => {
    request.on('error', reject);
    request.on('response', (response) => resolve(bodyOf(response).then((body) => (
      { status: response.statusCode, reason: response.statusMessage, body }))));
  });
  answered.catch(() => {});
  for (const piece of pieces) {
    if (!request.write(piece)) await Promise.race([once(request, 'drain'), answered]);
  }
  request.end();
  return within(60000, 'the answer', answered);
}

/** Reads a response to its end: {status, hash, length}. */
async function download(t, gateway) {
  const request = openRequest(gateway.url(anonymous));
  t.after(() => request.destroy());
  request.end();
  const [response] = await once(request, 'response');
  const hash = crypto.createHash('sha256');
  let length = 0;
  for await (const part of response) {
    hash.update(part);
    length += part.length;
  }
  return { status: response.statusCode, length, hash: hash.digest('hex') };
}

/** Writes pieces to a WebSocket or a response, no faster than they leave. */
async function writeAll(pieces, write, socketOf) {
  for (const piece of pieces) {
    write(piece);
    while (socketOf() && socketOf().bufferedAmount > 4 * MiB) await delay(1);
  }
}

function wantLittleMemory(t, gateway) {
  t.diagnostic(`the gateway had ${gateway.memoryMax()} MiB at most`);
  assert.ok(gateway.memoryMax() < memoryMax, `${gateway.memoryMax()} MiB of memory`);
}

for (const [framing, headers] of [['a length', { 'Content-Length': large * MiB }],
  ['chunks', { 'Transfer-Encoding': 'chunked' }]]) {
  test(`items 39, 40: ${large} MiB to a raw listener, with ${framing}`, async (t) => {
    const gateway = await start(t);
    let got;
    await rawListener(t, gateway, anonymous, (request, { respond }) => {
      got = sha256(request.body);
      respond({}, String(request.body.length));
    });
    const pieces = new Pieces(large);
    const request = openRequest(gateway.url(anonymous), { method: 'POST', headers });
    const { status, body } = await upload(request, pieces);
    assert.equal(status, 200);
    assert.equal(String(body), String(large * MiB));
    assert.equal(got, pieces.hash.digest('hex'));
    wantLittleMemory(t, gateway);
  });
}

test(`items 39, 59: ${large} MiB from a raw listener, as one message in fragments`,
  async (t) => {
    const gateway = await start(t);
    const pieces = new Pieces(large);
    await rawListener(t, gateway, anonymous, async (request, { dial }) => {
      const socket = await dial();
      socket.send(JSON.stringify({ response: { requestId: request.id, statusCode: 200,
        statusDescription: 'OK', responseHeaders: {}, body: true } }));
      await writeAll(pieces, (piece) => socket.send(piece, { fin: false }), () => socket);
      socket.send(Buffer.alloc(0), { fin: true });
    });
    const got = await download(t, gateway);
    assert.equal(got.status, 200);
    assert.equal(got.length, large * MiB);
    assert.equal(got.hash, pieces.hash.digest('hex'));
    wantLittleMemory(t, gateway);
  });

test(`items 39, 59: ${large} MiB from hyco-https by write()`, async (t) => {
  const gateway = await start(t);
  const pieces = new Pieces(large);
  await httpsListener(t, gateway, anonymous, async (request, response) => {
    await writeAll(pieces, (piece) => response.write(piece), () => response.socket);
    response.end();
  });
  const got = await download(t, gateway);
  assert.equal(got.length, large * MiB);
  assert.equal(got.hash, pieces.hash.digest('hex'));
  wantLittleMemory(t, gateway);
});

test('items 39, 59: 100 MiB from hyco-https to curl, all written at once', async (t) => {
  const gateway = await start(t);
  const pieces = new Pieces(100);
  await httpsListener(t, gateway, anonymous, (request, response) => {
    for (const piece of pieces) response.write(piece);
    response.end();
  });
  const trust = authority ? ['--cacert', authority] : [];
  const curl = spawn('curl', ['-sS', '--noproxy', '*', '--max-time', '60', ...trust,
    gateway.url(anonymous)], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => curl.kill('SIGKILL'));
  const hash = crypto.createHash('sha256');
  curl.stdout.on('data', (part) => hash.update(part));
  const [code] = await within(60000, 'curl', once(curl, 'close'));
  assert.equal(code, 0);
  assert.equal(hash.digest('hex'), pieces.hash.digest('hex'));
  wantLittleMemory(t, gateway);
});

test(`items 38, 39: ${hycoMax} MiB to hyco-https, and one byte more`, async (t) => {
  const gateway = await start(t);
  let got;
  await httpsListener(t, gateway, anonymous, async (request, response) => {
    const body = await bodyOf(request);
    got = sha256(body);
    response.end(String(body.length));
  });
  const pieces = new Pieces(hycoMax);
  const whole = await upload(openRequest(gateway.url(anonymous),
    { method: 'POST', headers: { 'Content-Length': hycoMax * MiB } }), pieces);
  assert.equal(whole.status, 200, whole.reason);
  assert.equal(String(whole.body), String(hycoMax * MiB));
  assert.equal(got, pieces.hash.digest('hex'));
  wantLittleMemory(t, gateway);
  // hyco-https closes with 1009 while the rest of the body may be on its way.
  const more = await upload(openRequest(gateway.url(anonymous), { method: 'POST',
    headers: { 'Content-Length': hycoMax * MiB + 1 } }),
  [...new Pieces(hycoMax), Buffer.from('x')]);
  assert.equal(more.status, 502, more.reason);
  const next = await viaHttp(gateway.url(anonymous), { method: 'POST', body: 'small' });
  assert.equal(String(next.body), '5', 'the listener goes on');
});

test('a sender that does not read holds the listener up, not the gateway\'s memory',
  async (t) => {
    const gateway = await start(t);
    let socket;
    const pieces = new Pieces(100);
    await httpsListener(t, gateway, anonymous, (request, response) => {
      for (const piece of pieces) response.write(piece);
      response.end();
      socket = response.socket;
    });
    const request = openRequest(gateway.url(anonymous));
    t.after(() => request.destroy());
    request.end();
    const [response] = await once(request, 'response');
    await delay(1500); // without reading
    assert.ok(socket.bufferedAmount > 50 * MiB, `${socket.bufferedAmount} bytes wait there`);
    wantLittleMemory(t, gateway);
    const hash = crypto.createHash('sha256');
    for await (const part of response) hash.update(part);
    assert.equal(hash.digest('hex'), pieces.hash.digest('hex'));
    wantLittleMemory(t, gateway);
  });

test('a listener that does not read holds the sender up, not the gateway\'s memory',
  async (t) => {
    const gateway = await start(t);
    let paused;
    const seen = new Promise((resolve) => { paused = resolve; });
    const listener = await rawListener(t, gateway, anonymous, (request, { respond }) => {
      respond({}, sha256(request.body));
    });
    listener.control.on('message', () => setImmediate(() => {
      const socket = listener.sockets[1];
      socket.once('open', () => {
        socket.pause();
        paused(socket);
      });
    }));
    const pieces = new Pieces(100);
    const request = openRequest(gateway.url(anonymous),
      { method: 'POST', headers: { 'Content-Length': 100 * MiB } });
    t.after(() => request.destroy());
    const answered = once(request, 'response');
    for (const piece of pieces) request.write(piece); // they wait in this process
    request.end();
    const socket = await within(5000, 'the rendezvous', seen);
    await delay(1500);
    assert.ok(request.writableLength > 50 * MiB, `${request.writableLength} bytes wait here`);
    wantLittleMemory(t, gateway);
    socket.resume();
    const [response] = await within(30000, 'the answer', answered);
    assert.equal(String(await bodyOf(response)), pieces.hash.digest('hex'));
    wantLittleMemory(t, gateway);
  });

test('20 uploads and downloads of 5 MiB at once', async (t) => {
  const gateway = await start(t);
  await httpsListener(t, gateway, anonymous, async (request, response) => {
    response.end(await bodyOf(request));
  });
  const agent = keepAlive(t, 20);
  await Promise.all(Array.from({ length: 20 }, async (_, n) => {
    const body = pattern(5 * MiB, n);
    const got = await viaHttp(gateway.url(anonymous), { method: 'POST', body, agent });
    assert.ok(got.body.equals(body), `number ${n}`);
  }));
  wantLittleMemory(t, gateway);
});
