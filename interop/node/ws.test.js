'use strict';

// The current ws package and the websocket package, as raw sender against a
// hyco-ws listener and as raw listener for a hyco-ws sender. Names carry the
// numbers of the conformance list, section 7 of docs/protocol.md.

const test = require('node:test');
const assert = require('node:assert/strict');
const { start, within, authenticated, anonymous } = require('./gateway.js');
const { Refused, hycoListener, hycoSender, wsListener, wsSender, websocketSender } =
  require('./peers.js');

test('item 16: no action, token form-encoded in the query', async (t) => {
  const gateway = await start(t);
  await hycoListener(t, gateway, authenticated);
  const token = encodeURIComponent(gateway.token(authenticated)).replace(/%20/g, '+');
  const sender = await wsSender(gateway.uri(authenticated, `sb-hc-token=${token}`));
  assert.equal(sender.protocol, '');
  assert.equal(sender.socket.extensions, '', 'no extension is negotiated');
  sender.send('hello');
  assert.equal(String((await sender.next()).data), 'hello');
  sender.close(1001, 'From Test Code');
  assert.equal((await sender.closed()).code, 1001);
});

test('item 26: fragmented messages arrive whole', async (t) => {
  const gateway = await start(t);
  await hycoListener(t, gateway, anonymous);
  const sender = await wsSender(gateway.connectUri(anonymous));
  for (const [parts, binary] of [[['a', 'b', 'c'], false], [['', 'x', ''], false],
    [[Buffer.alloc(70000, 1), Buffer.alloc(3, 2), Buffer.alloc(65536, 3)], true]]) {
    parts.forEach((part, i) => {
      sender.send(part, { binary, fin: i === parts.length - 1 });
      if (i === 0) sender.socket.ping('between'); // control frames may interleave
    });
    const whole = Buffer.concat(parts.map((part) => Buffer.from(part)));
    const back = await sender.next();
    assert.equal(back.binary, binary);
    assert.ok(back.data.equals(whole), `${back.data.length} of ${whole.length} bytes`);
  }
  sender.socket.terminate();
});

test('ground: pings are answered by the gateway and not forwarded', async (t) => {
  const gateway = await start(t);
  const seen = [];
  await hycoListener(t, gateway, anonymous, (client) => {
    for (const name of ['ping', 'pong']) client.on(name, () => seen.push(name));
    client.on('message', (data) => client.send(data));
    client.on('error', () => {});
  });
  const sender = await wsSender(gateway.connectUri(anonymous));
  for (const size of [0, 1, 124, 125]) {
    const payload = Buffer.alloc(size, 'p');
    const pong = new Promise((resolve) => sender.socket.once('pong', resolve));
    sender.socket.ping(payload);
    assert.ok((await within(5000, 'the pong', pong)).equals(payload));
  }
  sender.socket.pong('unsolicited');
  sender.send('after');
  assert.equal(String((await sender.next()).data), 'after');
  assert.deepEqual(seen, []);
  sender.socket.terminate();
});

test('item 32: close 4001 "bye" reaches the listener, and 4002 the sender', async (t) => {
  const gateway = await start(t);
  const accepted = [];
  await hycoListener(t, gateway, anonymous, (client) => {
    client.on('error', () => {});
    const closed = new Promise((resolve) => {
      client.on('close', (code, reason) => resolve({ code, reason }));
    });
    accepted.push({ client, closed });
  });
  const first = await wsSender(gateway.connectUri(anonymous));
  first.close(4001, 'bye');
  assert.deepEqual(await within(5000, 'the close', accepted[0].closed),
    { code: 4001, reason: 'bye' });
  assert.deepEqual(await first.closed(), { code: 4001, reason: 'bye' });

  const second = await wsSender(gateway.connectUri(anonymous));
  accepted[1].client.close(4002, 'done');
  assert.deepEqual(await second.closed(), { code: 4002, reason: 'done' });
});

test('item 23: the subprotocol that the listener takes is the sender\'s', async (t) => {
  const gateway = await start(t);
  await hycoListener(t, gateway, anonymous); // takes the first that is offered
  for (const [connect, name] of [[wsSender, 'ws'], [websocketSender, 'websocket']]) {
    const sender = await connect(gateway.connectUri(anonymous), null,
      ['echo-protocol', 'chat-protocol']);
    assert.equal(sender.protocol, 'echo-protocol', name);
    sender.close(1000);
    await sender.closed();
  }
});

test('item 23: the listener\'s own choice of subprotocol', async (t) => {
  const gateway = await start(t);
  await hycoListener(t, gateway, anonymous, undefined, {
    handleProtocols: (offered, done) => done(true, offered[offered.length - 1]),
  });
  const sender = await wsSender(gateway.connectUri(anonymous), null,
    ['echo-protocol', 'chat-protocol']);
  assert.equal(sender.protocol, 'chat-protocol');
  sender.socket.terminate();
});

test('item 7: a listener that vanishes: 1006 at the sender', async (t) => {
  const gateway = await start(t);
  await hycoListener(t, gateway, anonymous, (client) => {
    client.on('error', () => {});
    client.on('message', () => client._socket.destroy());
  });
  for (const connect of [wsSender, websocketSender]) {
    const sender = await connect(gateway.connectUri(anonymous));
    sender.send('go');
    assert.equal((await sender.closed()).code, 1006);
  }
});

test('items 1, 6, 24, 25: websocket package against a hyco-ws listener', async (t) => {
  const gateway = await start(t);
  await hycoListener(t, gateway, authenticated);
  const sender = await websocketSender(gateway.connectUri(authenticated),
    gateway.token(authenticated));
  // Its own framer cuts messages into fragments of 16 KiB.
  for (const size of [1, 125, 126, 16384, 16385, 65536, 65537, 1 << 20]) {
    const data = Buffer.alloc(size, 'websocket');
    sender.send(data);
    const back = await sender.next();
    assert.ok(back.binary && back.data.equals(data), `${size} bytes`);
  }
  sender.send('grün ☂');
  assert.equal(String((await sender.next()).data), 'grün ☂');
  sender.close(4003, 'end');
  await sender.closed();
});

test('items 1, 6, 24, 25: hyco-ws sender against a raw ws listener', async (t) => {
  const gateway = await start(t);
  await wsListener(t, gateway, authenticated);
  const sender = await hycoSender(gateway.connectUri(authenticated),
    gateway.token(authenticated));
  for (const size of [1, 125, 126, 65535, 65536, 65537, 1 << 20]) {
    const data = Buffer.alloc(size, 'raw listener');
    sender.send(data);
    const back = await sender.next();
    assert.ok(back.binary && back.data.equals(data), `${size} bytes`);
    sender.send(data.toString());
    const text = await sender.next();
    assert.ok(!text.binary && text.data.equals(data), `${size} characters`);
  }
  sender.close(1000, '');
  assert.equal((await sender.closed()).code, 1000);
});

test('items 4, 32: hyco-ws senders and a raw ws listener that closes', async (t) => {
  const gateway = await start(t);
  await wsListener(t, gateway, anonymous, (client) => {
    client.on('error', () => {});
    client.on('message', (data) => client.close(4000, String(data)));
  });
  await Promise.all(Array.from({ length: 20 }, async (_, n) => {
    const sender = await hycoSender(gateway.connectUri(anonymous));
    sender.send(`reason ${n}`);
    assert.deepEqual(await sender.closed(), { code: 4000, reason: `reason ${n}` });
  }));
});

test('item 20: a raw ws listener rejects a hyco-ws sender', async (t) => {
  const gateway = await start(t);
  const { control } = await wsListener(t, gateway, anonymous, () => {});
  control.removeAllListeners('message');
  const answered = new Promise((resolve, reject) => {
    control.on('message', (data) => {
      const { accept } = JSON.parse(data);
      wsSender(`${accept.address}&sb-hc-statusCode=418&sb-hc-statusDescription=I+am+a+teapot`)
        .then(() => reject(new Error('the rejection was answered with 101')), resolve);
    });
  });
  await assert.rejects(() => hycoSender(gateway.connectUri(anonymous)),
    (error) => error instanceof Refused && error.status === 418 &&
      error.reason === 'I am a teapot');
  const refusal = await within(5000, 'the answer to the rejection', answered);
  assert.equal(refusal.status, 410);
});
