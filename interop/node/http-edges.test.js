'use strict';

// Edges of relayed HTTP that senders and listeners of the real world come to:
// bytes that are no UTF-8, large heads, trailers, half-closed connections,
// early answers, reconnections. Names carry the numbers of the conformance
// list, section 7 of docs/protocol.md.

const test = require('node:test');
const assert = require('node:assert/strict');
const moment = require('moment');
const ws = require('ws');
const { start, delay, within, anonymous } = require('./gateway.js');
const { viaFetch, viaHttp, viaCurl, viaSocket, openRequest, pattern } =
  require('./http-senders.js');
const { httpsListener, rawListener, bodyOf, closeOf } = require('./http-listeners.js');
const { express, handlerOf } = require('./relayed-express.js');

/** A request of these very bytes, as the last one of its connection. */
function bytesOf(target, header) {
  return Buffer.from(`GET /${anonymous}${target} HTTP/1.1\r\nHost: x\r\nX-H: ${header}\r\n` +
    'Connection: close\r\n\r\n', 'latin1');
}

// A WebSocket client must end a connection on which text is no UTF-8: one
// request of a sender could take a listener away from all others.
test('bytes that are no UTF-8 do not end a control channel', async (t) => {
  const gateway = await start(t);
  const seen = [];
  const server = await httpsListener(t, gateway, anonymous, (request, response) => {
    seen.push(request);
    response.end();
  });
  let closes = 0;
  server.controlChannel.on('close', () => closes++);
  const table = [ // target, header, the URL that the listener sees
    ['/', '\xe4\xf6', '/'], ['/', '\xc3\xa4', '/'], ['/', '\xff\xfe\x80', '/'],
    ['/%FF%FEx', '', '/%FF%FEx'], ['/%C3', '', '/%C3'], ['/\xff', '', '/%FF'],
    ['/?q=%FF', '', '/?q=%FF'], ['/?q=\xff', '', '/?q=%FF'], ['/%E2%82', '', '/%E2%82'],
    ['/%ED%A0%80', '', '/%ED%A0%80'], ['/%F4%90%80%80', '', '/%F4%90%80%80'],
    ['/%00%01%7F', '', '/%00%01%7F'], ['/"', '"\\', '/"'],
  ];
  for (const [target, header, want] of table) {
    const output = await viaSocket(gateway, bytesOf(target, header));
    assert.match(String(output), /^HTTP\/1\.1 200 OK\r\n/, target);
    assert.equal(seen.pop().url, `/${anonymous}${want}`);
  }
  assert.equal(closes, 0, 'the control channel was closed');
});

test('large request heads go by rendezvous, or get 431', async (t) => {
  const gateway = await start(t);
  await httpsListener(t, gateway, anonymous, (request, response) => {
    response.end(`${request.headers['x-h'].length}`);
  });
  for (const [character, count] of [['a', 1000], ['a', 32000], ['"', 14000], ['"', 20000],
    ['"', 31000]]) {
    const output = String(await viaSocket(gateway, bytesOf('', character.repeat(count))));
    assert.match(output, /^HTTP\/1\.1 200 OK\r\n/);
    assert.match(output, new RegExp(`\r\n${count}\r\n`), `${count} times ${character}`);
  }
  const output = String(await viaSocket(gateway, bytesOf('', 'a'.repeat(40000))));
  assert.match(output, /^HTTP\/1\.1 431 /);
  assert.equal(String((await viaHttp(gateway.url(anonymous), { headers: { 'X-H': 'abc' } }))
    .body), '3');
});

test('item 40: trailers are dropped', async (t) => {
  const gateway = await start(t);
  let seen;
  await httpsListener(t, gateway, anonymous, async (request, response) => {
    seen = request;
    response.end(await bodyOf(request));
  });
  const request = openRequest(gateway.url(anonymous),
    { method: 'POST', headers: { Trailer: 'X-Trailer' }, pieces: [] });
  const answered = new Promise((resolve, reject) => {
    request.on('error', reject);
    request.on('response', (response) => resolve(bodyOf(response)));
  });
  request.write('body');
  request.addTrailers({ 'X-Trailer': 'value' });
  request.end();
  assert.equal(String(await within(5000, 'the answer', answered)), 'body');
  assert.equal(seen.headers['x-trailer'], undefined);
  assert.equal(seen.headers.trailer, undefined);
});

test('a sender that has sent everything and closes its half gets its answer', async (t) => {
  const gateway = await start(t);
  await httpsListener(t, gateway, anonymous, async (request, response) => {
    const body = await bodyOf(request);
    await delay(200);
    response.end(`got ${body}.`);
  });
  for (const rest of ['\r\n', 'Content-Length: 4\r\n\r\nbody',
    'Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n']) {
    const output = String(await viaSocket(gateway,
      `POST /${anonymous} HTTP/1.1\r\nHost: x\r\n${rest}`, { halfClose: true }));
    assert.match(output, /^HTTP\/1\.1 200 OK\r\n/);
    assert.match(output, rest.includes('body') ? /got body\./ : /got \./);
  }
});

test('a sender that goes in the middle of its body: Close 1001 at the listener', async (t) => {
  const gateway = await start(t);
  let seen;
  const reading = new Promise((resolve) => { seen = resolve; });
  await httpsListener(t, gateway, anonymous, (request) => seen(request));
  const request = openRequest(gateway.url(anonymous),
    { method: 'POST', headers: { 'Content-Length': 1 << 20 } });
  request.on('error', () => {});
  request.write(pattern(1 << 19));
  const relayed = await within(5000, 'the request', reading);
  const closed = closeOf(relayed.socket);
  let whole = false;
  relayed.on('end', () => { whole = true; });
  relayed.resume();
  request.destroy();
  const { code, after } = await closed;
  assert.equal(code, 1001);
  assert.ok(after < 1000, `after ${after} ms`);
  assert.equal(whole, false, 'half a body is no body');
});

test('a listener that answers before the body has come', async (t) => {
  const gateway = await start(t);
  const listener = await rawListener(t, gateway, anonymous, () => {}, { onOffer(address, id) {
    const socket = new ws.WebSocket(address, { maxPayload: 0 });
    listener.sockets.push(socket);
    socket.on('error', () => {});
    socket.on('message', (data, binary) => {
      if (binary) return;
      socket.send(JSON.stringify({ response: { requestId: id, statusCode: 403, body: true } }));
      socket.send('not that much', { binary: true });
    });
  } });
  for (const send of [viaHttp, viaFetch, viaCurl]) {
    const got = await send(gateway.url(anonymous), { method: 'POST', body: pattern(8 << 20) });
    assert.equal(got.status, 403, send.name);
    assert.equal(String(got.body), 'not that much', send.name);
  }
});

test('hyco-https comes back after its control channel was cut', async (t) => {
  const gateway = await start(t);
  const server = await httpsListener(t, gateway, anonymous,
    (request, response) => response.end('here'));
  for (let round = 0; round < 3; round++) {
    const again = new Promise((resolve) => server.once('listening', resolve));
    server.controlChannel._socket.destroy(); // as a network would: no Close
    await within(5000, 'the reconnection', again);
    assert.equal(String((await viaHttp(gateway.url(anonymous))).body), 'here');
  }
});

test('unsolicited pongs of hyco-https among requests and answers', async (t) => {
  const gateway = await start(t);
  await httpsListener(t, gateway, anonymous, async (request, response) => {
    response.end(await bodyOf(request));
  }, { keepAliveTimeout: moment.duration(5) });
  const body = pattern(60000);
  for (const begun = Date.now(); Date.now() - begun < 500;) {
    const got = await viaHttp(gateway.url(anonymous), { method: 'POST', body });
    assert.ok(got.body.equals(body));
  }
});

test('what the gateway adds about the sender, as Express understands it', async (t) => {
  for (const [mode, ip] of [['x-forwarded', '127.0.0.1'], ['both', '127.0.0.1'],
    ['off', undefined]]) {
    const gateway = await start(t, ['--http-forwarded', mode]);
    const app = express();
    app.set('trust proxy', 1);
    app.use((request, response) => response.json({ ip: request.ip, ips: request.ips,
      protocol: request.protocol, forwarded: request.get('Forwarded') }));
    await httpsListener(t, gateway, anonymous, handlerOf(app));
    const seen = JSON.parse((await viaHttp(gateway.url(anonymous))).body);
    assert.equal(seen.ip, ip, mode);
    assert.equal(seen.protocol, 'http', mode);
    if (mode === 'both') assert.match(seen.forwarded, /^for=127\.0\.0\.1;proto=http\b/);
    else assert.equal(seen.forwarded, undefined, mode);
    const further = JSON.parse((await viaHttp(gateway.url(anonymous),
      { headers: { 'X-Forwarded-For': '192.0.2.1' } })).body);
    assert.equal(further.ip, mode === 'off' ? '192.0.2.1' : '127.0.0.1', mode);
  }
});
