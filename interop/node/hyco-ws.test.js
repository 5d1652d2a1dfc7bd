'use strict';

// The npm package hyco-ws, unmodified, as listener and as sender. Names carry
// the numbers of the conformance list, section 7 of docs/protocol.md.

const test = require('node:test');
const assert = require('node:assert/strict');
const { execFile } = require('node:child_process');
const path = require('node:path');
const hyco = require('hyco-ws');
const { start, delay, within, authenticated, anonymous } = require('./gateway.js');
const { Refused, hycoListener, hycoSender } = require('./peers.js');

/** Sends one message and wants it back as it was. */
async function wantEcho(sender, data) {
  const bytes = Buffer.from(data);
  sender.send(data);
  const back = await sender.next();
  assert.equal(back.binary, Buffer.isBuffer(data), 'text stays text, binary binary');
  assert.equal(back.data.length, bytes.length);
  assert.ok(back.data.equals(bytes), 'the content is the same');
}

/** Wants a handshake to be refused. */
async function wantRefused(attempt, status, text, path) {
  await assert.rejects(attempt, (error) => {
    assert.ok(error instanceof Refused, String(error));
    assert.equal(error.status, status, error.reason);
    assert.match(error.reason, text);
    assert.ok(error.reason.includes(path), `${error.reason} does not name ${path}`);
    assert.match(error.reason, /TrackingId:[0-9a-f-]{36}/);
    return true;
  });
}

for (const entity of [authenticated, anonymous]) {
  test(`items 1, 24, 25: echo of text and binary, ${entity} entity`, async (t) => {
    const gateway = await start(t);
    await hycoListener(t, gateway, entity);
    const sender = await hycoSender(gateway.connectUri(entity),
      entity === anonymous ? null : gateway.token(entity));
    for (const size of [1, 125, 126, 256, 1024, 65535, 65536, 65537]) {
      await wantEcho(sender, Buffer.alloc(size, 'relay'));
      await wantEcho(sender, 'x'.repeat(size));
    }
    await wantEcho(sender, 'grün ☂ 𝄞');
    sender.close(1000, 'done');
    assert.equal((await sender.closed()).code, 1000);
  });
}

test('item 6: 1 MiB in one message each way, then a clean end', async (t) => {
  const gateway = await start(t);
  await hycoListener(t, gateway, anonymous);
  const sender = await hycoSender(gateway.connectUri(anonymous));
  const large = Buffer.alloc(1 << 20);
  for (let i = 0; i < large.length; i++) large[i] = i ^ (i >> 8);
  await wantEcho(sender, large);
  sender.close(1000, '');
  assert.equal((await sender.closed()).code, 1000);
});

test('items 4, 26: 100 concurrent senders, each with its own messages', async (t) => {
  const gateway = await start(t);
  await hycoListener(t, gateway, authenticated);
  await Promise.all(Array.from({ length: 100 }, async (_, n) => {
    const sender = await hycoSender(gateway.connectUri(authenticated),
      gateway.token(authenticated));
    for (let round = 0; round < 5; round++) {
      await wantEcho(sender, Buffer.alloc(n + 1, `sender ${n}, round ${round};`));
    }
    sender.close(1000);
    await sender.closed();
  }));
});

test('items 5, 28, 68: headers and query of the sender reach the listener', async (t) => {
  const gateway = await start(t);
  const addresses = [];
  const server = await hycoListener(t, gateway, authenticated, (client) => {
    addresses.push(client.url); // the rendezvous address, which hyco-ws dials
    client.on('error', () => {});
  });
  const messages = [];
  server.controlChannel.on('message', (text) => messages.push(text));
  const uri = gateway.uri(authenticated, 'foo=bar&x=%20y&sb-hc-action=connect');
  const sender = await hycoSender(uri, gateway.token(authenticated));

  assert.equal(messages.length, 1);
  const { accept } = JSON.parse(messages[0]);
  const names = Object.keys(accept.connectHeaders).map((name) => name.toLowerCase());
  for (const name of ['host', 'sec-websocket-key', 'sec-websocket-version', 'upgrade']) {
    assert.ok(names.includes(name), `connectHeaders has no ${name}`);
  }
  assert.ok(!names.includes('servicebusauthorization'), 'the token is shown');
  assert.ok(!messages[0].includes('SharedAccessSignature'), 'the token is shown');
  assert.equal(accept.remoteEndpoint.address, '127.0.0.1');
  assert.equal(typeof accept.remoteEndpoint.port, 'number');
  assert.ok(addresses[0].includes(`/$hc/${authenticated}?foo=bar&x=%20y&`), addresses[0]);
  assert.ok(addresses[0].startsWith(`${gateway.base('listener')}/`), addresses[0]);
  sender.socket.terminate();
});

test('item 32: close codes both ways', async (t) => {
  const gateway = await start(t);
  const accepted = [];
  await hycoListener(t, gateway, anonymous, (client) => {
    const closed = new Promise((resolve) => {
      client.on('close', (code, reason) => resolve({ code, reason }));
    });
    client.on('error', () => {});
    accepted.push({ client, closed });
  });
  for (const [code, reason] of [[1000, ''], [4001, 'bye'], [3000, 'r'.repeat(100)]]) {
    const sender = await hycoSender(gateway.connectUri(anonymous));
    const { closed } = accepted.pop();
    sender.close(code, reason);
    assert.deepEqual(await within(5000, 'the listener\'s close', closed), { code, reason });
    assert.equal((await sender.closed()).code, code);
  }
  for (const [code, reason] of [[1000, ''], [4002, 'done']]) {
    const sender = await hycoSender(gateway.connectUri(anonymous));
    accepted.pop().client.close(code, reason);
    assert.deepEqual(await sender.closed(), { code, reason });
  }
});

test('items 29, 33: server.close() closes the relays and the registration', async (t) => {
  const gateway = await start(t);
  const server = await hycoListener(t, gateway, anonymous);
  const senders = await Promise.all(Array.from({ length: 3 },
    () => hycoSender(gateway.connectUri(anonymous))));
  for (const sender of senders) await wantEcho(sender, 'open');
  const closed = new Promise((resolve) => server.on('close', resolve));
  server.close();
  await within(5000, 'the server\'s close event', closed);
  for (const sender of senders) {
    assert.ok([1000, 1005, 1006].includes((await sender.closed()).code));
  }
  assert.deepEqual(server.errors, []);
  await wantRefused(() => hycoSender(gateway.connectUri(anonymous)), 404,
    /There are no listeners connected for the endpoint/, anonymous);
});

test('item 30: the listener reconnects after its control channel is cut', async (t) => {
  const gateway = await start(t);
  const server = await hycoListener(t, gateway, anonymous);
  for (let round = 0; round < 3; round++) {
    const again = new Promise((resolve) => server.once('listening', resolve));
    server.controlChannel._socket.destroy(); // as a network would: no Close
    await within(5000, 'the reconnection', again);
    const sender = await hycoSender(gateway.connectUri(anonymous));
    await wantEcho(sender, `round ${round}`);
    sender.close(1000);
    await sender.closed();
  }
});

test('item 31: a listener may register again at once after its close', async (t) => {
  const gateway = await start(t);
  for (let round = 0; round < 3; round++) {
    const server = await hycoListener(t, gateway, anonymous);
    const sender = await hycoSender(gateway.connectUri(anonymous));
    await wantEcho(sender, 'x');
    const closed = new Promise((resolve) => server.on('close', resolve));
    server.close();
    await within(5000, 'the server\'s close event', closed);
  }
});

test('item 12: listener with a bad key: 401 with the reason', async (t) => {
  const gateway = await start(t);
  await wantRefused(() => hycoListener(t, gateway, authenticated, undefined,
    { token: gateway.token(authenticated, 3600, 'wrong') }), 401,
  /token has an invalid signature/, authenticated);
});

test('items 13, 14: sender with a bad key or none: 401 with the reason', async (t) => {
  const gateway = await start(t);
  await hycoListener(t, gateway, authenticated);
  await wantRefused(() => hycoSender(gateway.connectUri(authenticated),
    gateway.token(authenticated, 3600, 'wrong')), 401, /token/, authenticated);
  await wantRefused(() => hycoSender(gateway.connectUri(authenticated)), 401, /token/,
    authenticated);
});

test('items 10, 11: unknown entity: 404 with the reason', async (t) => {
  const gateway = await start(t);
  // A token of namespace scope, as the package's own samples make it.
  const token = hyco.createRelayToken(`http://${gateway.http}/`,
    'RootManageSharedAccessKey', 'SAS_KEY_VALUE');
  await wantRefused(() => hycoSender(gateway.connectUri('nosuch'), token), 404,
    /Endpoint does not exist/, 'nosuch');
  await wantRefused(() => hycoListener(t, gateway, 'nosuch', undefined, { token }), 404,
    /Endpoint does not exist/, 'nosuch');
});

test('item 63: no listener: 404 with the reason', async (t) => {
  const gateway = await start(t);
  await wantRefused(() => hycoSender(gateway.connectUri(authenticated),
    gateway.token(authenticated)), 404,
  /There are no listeners connected for the endpoint/, authenticated);
});

test('a storm of refused registrations leaves relays alone', async (t) => {
  const gateway = await start(t);
  await hycoListener(t, gateway, anonymous);
  const sender = await hycoSender(gateway.connectUri(anonymous));
  const storm = execFile(process.execPath, ['--no-deprecation', path.join(__dirname, 'storm.js'),
    gateway.listenUri(authenticated), gateway.token(authenticated, 3600, 'wrong')]);
  const ended = new Promise((resolve) => storm.on('exit', resolve));
  let refusals = '';
  storm.stdout.on('data', (text) => { refusals += text; });
  const times = [];
  while (storm.exitCode === null) {
    const sent = process.hrtime.bigint();
    await wantEcho(sender, 'in the storm');
    times.push(Number(process.hrtime.bigint() - sent) / 1e6);
    await delay(10);
  }
  await ended;
  times.sort((a, b) => a - b);
  t.diagnostic(`${refusals} refusals in 2 s; echo: median ` +
    `${times[times.length >> 1].toFixed(1)} ms, slowest ${times[times.length - 1].toFixed(1)} ms`);
  assert.ok(Number(refusals) > 10, `${refusals} refusals are no storm`);
  assert.ok(times[times.length - 1] < 1000, 'an echo took more than a second');
  sender.close(1000);
  await sender.closed();
});

test('items 34, 67: renewToken keeps the channel open past the first expiry', async (t) => {
  const gateway = await start(t);
  // The gateway grants 300 s after the expiry: this token has 2 s left.
  const token = gateway.token(anonymous, 2 - 300);
  const server = await hycoListener(t, gateway, anonymous, undefined, { token });
  server.controlChannel.send(JSON.stringify(
    { renewToken: { token: gateway.token(anonymous) } }));
  let ended = false;
  server.controlChannel.on('close', () => { ended = true; });
  await delay(4500);
  assert.equal(ended, false, 'the control channel ended in spite of the renewal');
  const sender = await hycoSender(gateway.connectUri(anonymous));
  await wantEcho(sender, 'still registered');
  sender.socket.terminate();
});

test('items 34, 67, 73: a bad renewal and expiry close with 1008', async (t) => {
  const gateway = await start(t);
  async function closeOf(options, act) {
    const server = await hycoListener(t, gateway, anonymous, undefined, options);
    server.closeRequested = true; // or it would reconnect
    const closed = new Promise((resolve) => {
      server.controlChannel.on('close', (code, reason) => resolve({ code, reason }));
    });
    act(server);
    const { code, reason } = await within(10000, 'the close', closed);
    assert.equal(code, 1008);
    assert.match(reason, /TrackingId:/);
  }
  await closeOf({}, (server) => server.controlChannel.send(JSON.stringify(
    { renewToken: { token: gateway.token(anonymous, 3600, 'wrong') } })));
  await closeOf({}, (server) => server.controlChannel.send(
    '{"renewToken":{"token":"[object Object]"}}'));
  await closeOf({ token: gateway.token(anonymous, 2 - 300) }, () => {});
});
