'use strict';

// What has to work through a balancer that ends TLS, each case in a process of its own:
// NODE_EXTRA_CA_CERTS, which is all that the clients get to know of the test's CA, is read
// when Node.js starts. Usage: node balancer-cases.js CASE, with the balancer in the variable
// RELAY (see balancer.test.js). Exit status 0 when all is well.

const assert = require('node:assert/strict');
const crypto = require('node:crypto');
const { once } = require('node:events');
const { Gateway, delay, within } = require('./gateway.js');
const { Refused, hycoListener, hycoSender, echo } = require('./peers.js');
const { viaHttp, viaCurl, openRequest, pattern, sha256 } = require('./http-senders.js');
const { httpsListener, rawListener, bodyOf } = require('./http-listeners.js');

const MiB = 1 << 20;
const patience = 15000; // milliseconds, for every wait
const eventDelayMax = 1000; // milliseconds
const otherAddress = '127.0.0.7'; // of a sender, unlike the balancer's own

const t = { after() {} }; // everything ends with the process

/** hyco-ws as listener and as sender: text, 1 MiB, close codes both ways. */
async function webSocket(relay, entity) {
  const sockets = [];
  const server = await hycoListener(t, relay, entity, (socket) => {
    socket.on('close', (code, reason) => { socket.closed = { code, reason }; });
    sockets.push(socket);
    echo(socket);
  });
  const messages = [];
  server.controlChannel.on('message', (text) => messages.push(text));

  const sender = await hycoSender(relay.connectUri(entity));
  const { address, connectHeaders, remoteEndpoint } = JSON.parse(messages[0]).accept;
  assert.ok(address.startsWith(`wss://${relay.http}/$hc/${entity}?`), address);
  const headers = lowerCase(connectHeaders);
  assert.equal(headers.host, relay.http);
  assert.equal(remoteEndpoint.address, '127.0.0.1');
  if (relay.row.forwarded !== 'gateway') relay.wantForwarded(headers, '127.0.0.1');

  const large = pattern(MiB);
  for (const data of ['grün ☂ 𝄞', 'x'.repeat(70000), large]) {
    sender.send(data);
    const back = await sender.next();
    assert.equal(back.binary, Buffer.isBuffer(data));
    assert.ok(back.data.equals(Buffer.from(data)), 'the content is the same');
  }
  sender.close(4001, 'bye');
  assert.equal((await sender.closed()).code, 4001);
  await until('the listener\'s close', () => sockets[0].closed);
  assert.deepEqual(sockets[0].closed, { code: 4001, reason: 'bye' });

  const other = await hycoSender(relay.connectUri(entity));
  other.send('open'); // with the answer, both ends are
  await other.next();
  sockets[1].close(4002, 'done');
  assert.deepEqual(await other.closed(), { code: 4002, reason: 'done' });
}

/** A refused handshake: the status, and the reason where the balancer keeps it. */
async function refusal(relay, entity) {
  await assert.rejects(hycoSender(relay.connectUri(entity)), (error) => {
    assert.ok(error instanceof Refused, String(error));
    assert.equal(error.status, 404);
    if (relay.row.keepsReason) assert.match(error.reason, /no listeners.*TrackingId:/);
    return true;
  });
}

/** 1 MiB to hyco-https and back, by curl and by Node.js; what the listener sees of them. */
async function http(relay, entity) {
  const seen = [];
  await httpsListener(t, relay, entity, async (request, response) => {
    seen.push({ url: request.url, headers: lowerCase(request.headers) });
    response.end(await bodyOf(request));
  });
  const body = pattern(MiB);
  const [host, port] = relay.http.split(':');
  // A name in the certificate: the emulator's own is for this machine only.
  const name = relay.row.port === 'https' ? 'localhost' : 'relay.example.com';
  const headers = { 'X-Forwarded-For': '192.0.2.66', 'X-Forwarded-Proto': 'gopher' };
  const options = { method: 'POST', headers, localAddress: otherAddress };
  const curl = ['--cacert', process.env.NODE_EXTRA_CA_CERTS, '--interface', otherAddress];
  for (const [send, url, wanted] of [
    [viaHttp, relay.url(entity, '/a%2Fb//c?d=%20'), { ...options, body }],
    [viaHttp, relay.url(entity, '/chunks'), { ...options, pieces: [body] }],
    [viaCurl, relay.url(entity, '/curl'), { ...options, body, args: curl }],
    [viaCurl, `https://${name}:${port}/${entity}/name`,
      { ...options, body, args: [...curl, '--resolve', `${name}:${port}:${host}`] }],
  ]) {
    const answer = await send(url, wanted);
    assert.equal(answer.status, 200, `${url}: ${answer.reason}`);
    assert.ok(answer.body.equals(body), `${url}: the body is the same`);
    const { headers: got } = seen.at(-1);
    assert.equal(got.host, new URL(url).host, url);
    relay.wantForwarded(got, otherAddress);
  }
  const paths = seen.map(({ url }) => url.slice(`/${entity}`.length));
  assert.deepEqual(paths, ['/a%2Fb//c?d=%20', '/chunks', '/curl', '/name']);
}

/** Server-sent events: each is there before the next one is sent. */
async function events(relay, entity) {
  const responses = [];
  await httpsListener(t, relay, entity, (request, response) => {
    response.setHeader('Content-Type', 'text/event-stream');
    responses.push(response);
    response.write('data: 0\n\n');
  });
  const request = openRequest(relay.url(entity), { headers: { Accept: 'text/event-stream' } });
  request.end();
  const [response] = await within(patience, 'the response', once(request, 'response'));
  response.setEncoding('utf8');
  let text = '';
  let wake = () => {};
  response.on('data', (part) => { text += part; wake(); });
  for (let i = 0; i < 10; i++) {
    if (i > 0) responses[0].write(`data: ${i}\n\n`);
    await within(eventDelayMax, `event ${i}`, new Promise((resolve) => {
      wake = () => { if (text.includes(`data: ${i}\n\n`)) resolve(); };
      wake();
    }));
  }
  responses[0].end();
  await within(patience, 'the end', once(response, 'end'));
}

/** A listener hears of a request, and the gateway has what came, before its body ends. */
async function upload(relay, entity) {
  let offered;
  const offer = new Promise((resolve) => { offered = resolve; });
  const listener = await rawListener(t, relay, entity, (request, { respond }) => {
    respond({}, sha256(request.body));
  });
  listener.control.on('message', offered);
  const body = pattern(32 * MiB);
  const request = openRequest(relay.url(entity),
    { method: 'POST', headers: { 'Content-Length': body.length } });
  const answered = once(request, 'response');
  request.write(body.subarray(0, MiB));
  await within(patience, 'the offer of a request under way', offer);
  request.end(body.subarray(MiB));
  const [response] = await within(patience, 'the response', answered);
  assert.equal(String(await bodyOf(response)), sha256(body));
}

/** 32 MiB from hyco-https, the first of it while the rest does not exist yet. */
async function download(relay, entity) {
  const pieces = 32;
  const size = MiB + 1; // no multiple of anybody's buffer
  let goOn;
  const begun = new Promise((resolve) => { goOn = resolve; });
  const sent = crypto.createHash('sha256');
  await httpsListener(t, relay, entity, async (request, response) => {
    for (let i = 0; i < pieces; i++) {
      if (i === 1) await begun;
      const piece = pattern(size, i);
      sent.update(piece);
      response.write(piece);
      while (response.socket.bufferedAmount > 4 * MiB) await delay(1);
    }
    response.end();
  });
  const request = openRequest(relay.url(entity));
  request.end();
  const [response] = await within(patience, 'the response', once(request, 'response'));
  const got = crypto.createHash('sha256');
  let length = 0;
  response.on('data', (part) => {
    got.update(part);
    length += part.length;
    if (length === size) goOn(); // all that was sent so far
  });
  await within(patience, 'the end', once(response, 'end'));
  assert.equal(length, pieces * size);
  assert.equal(got.digest('hex'), sent.digest('hex'));
}

/** A sender that leaves, before the response or during it: the listener is told. */
async function hangUp(relay, entity) {
  const responses = [];
  await httpsListener(t, relay, entity, (request, response) => {
    responses.push(response);
    if (request.url.endsWith('/begun')) response.write('data: 0\n\n');
  });
  for (const [i, rest] of ['/waiting', '/begun'].entries()) {
    const request = openRequest(relay.url(entity, rest),
      { headers: { Accept: 'text/event-stream' } });
    request.on('error', () => {});
    const begun = once(request, 'response');
    begun.catch(() => {}); // there is none to the first one
    request.end();
    await (i === 0 ? until('the request', () => responses[i])
      : within(patience, 'the response', begun));
    const closed = once(responses[i], 'close');
    request.destroy();
    await within(patience, `the end of ${rest}`, closed);
  }
}

/**
 * The balancer asks for /readyz: a gateway that drains gets nothing new, while it would
 * still serve, and a relay through both goes on. Ends the gateway, so it comes last.
 */
async function drain(relay, entity) {
  await hycoListener(t, relay, `${entity}-ws`);
  await httpsListener(t, relay, entity, (request, response) => response.end('here'));
  const sender = await hycoSender(relay.connectUri(`${entity}-ws`));
  // A balancer that does not know HTTP has no other answer than to hang up.
  const status = () => (relay.row.readyz ? relay.readyz()
    : viaHttp(relay.url(entity)).then((answer) => answer.status, () => 503));
  assert.equal(await status(), 200);
  process.kill(relay.pid, 'SIGTERM');
  await until('no for an answer', async () => await status() === 503);
  if (!relay.row.demands) { // else it takes nobody without a header
    const direct = await viaHttp(`http://${relay.endpoints.http}/${entity}`);
    assert.equal(String(direct.body), 'here', 'the gateway still serves');
  }
  sender.send('still here');
  assert.equal(String((await sender.next()).data), 'still here');
}

const cases = { webSocket, refusal, http, events, upload, download, hangUp, drain };

/** The balancer that the variable RELAY describes, in the place of the gateway. */
class Relay extends Gateway {
  constructor({ balancer, health, pid, endpoints, row }) {
    super({ http: balancer, https: balancer }, pid);
    Object.assign(this, { health, row, endpoints });
  }

  /** Everybody comes to the balancer, and it speaks TLS. */
  base() { return `wss://${this.http}`; }

  wantForwarded(headers, address) {
    if (this.row.forwarded === 'gateway') { // it adds to what the sender wrote
      assert.equal(headers['x-forwarded-for'].split(/, */).at(-1), address);
      return;
    }
    assert.equal(headers['x-forwarded-for'], address);
    assert.equal(headers['x-forwarded-proto'], 'https');
  }

  /** The status of /readyz where the balancer passes it on. */
  async readyz() { return (await fetch(`http://${this.health}/readyz`)).status; }
}

function lowerCase(headers) {
  return Object.fromEntries(Object.entries(headers)
    .map(([key, value]) => [key.toLowerCase(), value]));
}

/** Waits until condition() is true. */
function until(what, condition) {
  let late = false;
  return within(patience, what, (async () => {
    while (!late && !await condition()) await delay(20);
  })()).finally(() => { late = true; });
}

if (require.main === module) {
  const relay = new Relay(JSON.parse(process.env.RELAY));
  const [, , which] = process.argv;
  cases[which](relay, which).then(() => process.exit(0), (error) => {
    process.stderr.write(`${error.stack}\n`, () => process.exit(1));
  });
}

module.exports = { cases: Object.keys(cases) };
