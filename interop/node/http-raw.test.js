'use strict';

// Listeners that speak the protocol by themselves, with the current ws package:
// what other clients than hyco-https put on the wire, and what no client should.
// Names carry the numbers of the conformance list, section 7 of
// docs/protocol.md.

const test = require('node:test');
const assert = require('node:assert/strict');
const { start, delay, within, authenticated, anonymous } = require('./gateway.js');
const { viaHttp, viaFetch, viaCurl, openRequest, keepAlive, pattern } =
  require('./http-senders.js');
const { httpsListener, rawListener, closeOf } = require('./http-listeners.js');
const { Refused, wsSender } = require('./peers.js');

/** The ways in which a listener gets a request, as options for a sender. */
const forms = { control: { method: 'POST', body: 'small' },
  rendezvous: { method: 'POST', pieces: [Buffer.from('chunked')] } };

/** Timers that come within milliseconds. */
const exact = ['--engine-tick', '10ms'];

/** Wants an error of the gateway itself. */
function wantGatewayError(got, status, text) {
  assert.equal(got.status, status, got.reason);
  assert.match(got.reason, text);
  assert.match(got.reason, /TrackingId:/);
  assert.equal(got.headers.via, undefined, 'Via marks answers of listeners');
}

/** Wants the connection to end in the middle of a response. */
async function wantCut(attempt, what) {
  await assert.rejects(attempt, (error) => {
    assert.match(`${error.code} ${error.message}`, /ECONNRESET|aborted/, what);
    return true;
  }, `${what}: the response ended as if it were whole`);
}

/** Wants a rendezvous address to be used up: 403. */
async function wantUseless(gateway, address) {
  await assert.rejects(() => wsSender(address), (error) => {
    assert.ok(error instanceof Refused, String(error));
    assert.equal(error.status, 403, error.reason);
    return true;
  });
}

test('items 35, 47: both forms of requests, as the protocol writes them', async (t) => {
  const gateway = await start(t);
  const listener = await rawListener(t, gateway, anonymous, (request, { respond }) => {
    respond({}, request.body);
  });
  for (const [form, options] of Object.entries(forms)) {
    const got = await viaHttp(gateway.url(anonymous, '/a/b?x=1&y=%20z'),
      { headers: { 'X-Foo': 'bar' }, ...options });
    assert.equal(got.status, 200);
    const request = listener.requests.pop();
    assert.equal(request.form, form);
    assert.equal(request.method, 'POST');
    assert.equal(request.body.toString(), form === 'control' ? 'small' : 'chunked');
    assert.equal(request.requestTarget, `/${anonymous}/a/b?x=1&y=%20z`);
    assert.match(request.id, /^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}_G\d+$/);
    assert.equal(request.remoteEndpoint.address, '127.0.0.1');
    assert.equal(typeof request.remoteEndpoint.port, 'number');
    assert.equal(request.requestHeaders['X-Foo'], 'bar', 'the case of names stays');
    assert.equal(request.requestHeaders.Host, gateway.http);
    const address = new URL(request.address);
    assert.equal(address.host, gateway.http);
    assert.ok(address.pathname.startsWith(`/$hc/${anonymous}`), request.address);
    assert.equal(address.searchParams.get('sb-hc-action'), 'request');
    assert.equal(address.searchParams.get('x'), null, 'the sender\'s query stays out');
  }
  const [offer] = listener.offers;
  assert.deepEqual(Object.keys(offer).sort(), ['address', 'id']);
});

test('items 43, 44, 46, 49, 50: responses as .NET and others write them', async (t) => {
  const gateway = await start(t);
  let fields;
  await rawListener(t, gateway, authenticated, (request, { respond }) => {
    respond(fields, 'body');
  });
  const handler = 'Internal Server Error: The RequestHandler has not been configured. ' +
    `TrackingId:8d2a8a2c-2f2e-4a55-9d5e-9a3a0f1f5f01_G0, SystemTracker:127.0.0.1:${authenticated}`;
  const table = [
    [{ statusCode: 201, statusDescription: null }, 201, 'Created'],
    [{ statusCode: '202', statusDescription: undefined }, 202, 'Accepted'],
    [{ statusCode: 404, statusDescription: '' }, 404, 'Not Found'],
    [{ statusCode: 299, statusDescription: null }, 299, ''],
    [{ statusCode: 999, statusDescription: 'the last' }, 999, 'the last'],
    [{ statusCode: 501, statusDescription: handler }, 501, handler],
    [{ statusCode: 500, statusDescription: handler }, 500, handler],
    [{ statusCode: 200, responseHeaders: null }, 200, 'OK'],
    [{ statusCode: 200, responseHeaders: { 'X-A': ['1', 2, true], 'X-B': 5, 'X-C': false,
      Connection: 'keep-alive', 'Transfer-Encoding': 'chunked' } }, 200, 'OK'],
  ];
  const agent = keepAlive(t);
  for (const [response, status, phrase] of table) {
    fields = response;
    for (const form of Object.values(forms)) {
      const got = await viaHttp(gateway.url(authenticated), { agent, ...form,
        headers: gateway.authorization(authenticated) });
      assert.equal(got.status, status);
      assert.equal(got.reason, phrase);
      assert.equal(String(got.body), 'body');
      assert.match(got.headers.via, /^1\.1 127\.0\.0\.1(:\d+)?$/);
      if (response.responseHeaders) {
        assert.deepEqual([got.headers['x-a'], got.headers['x-b'], got.headers['x-c']],
          ['1, 2, true', '5', 'false']);
      }
    }
  }
});

test('items 59, 72: bodies that end with a Close, as those of Java', async (t) => {
  const gateway = await start(t);
  const body = pattern(200000);
  let code;
  await rawListener(t, gateway, anonymous, async (request, { dial, channel }) => {
    const socket = request.form === 'control' ? await dial() : channel;
    socket.send(JSON.stringify({ response: { requestId: request.id, body: true,
      statusCode: 200, statusDescription: 'OK', responseHeaders: {} } }));
    socket.send(body, { binary: true, fin: false }); // a FIN never comes
    if (code === 'none') socket.close();
    else socket.close(code, 'NormalClosure');
  });
  for (code of [1000, 'none']) {
    for (const options of Object.values(forms)) {
      for (const send of [viaHttp, viaFetch, viaCurl]) {
        const got = await send(gateway.url(anonymous), options);
        assert.equal(got.status, 200);
        assert.ok(got.body.equals(body), `${got.body.length} of ${body.length} bytes`);
      }
    }
  }
  for (code of [1001, 1011, 4000]) {
    for (const options of Object.values(forms)) {
      await wantCut(viaHttp(gateway.url(anonymous), options), `Close ${code}`);
    }
  }
});

test('item 72: a listener that vanishes in the middle of a response', async (t) => {
  const gateway = await start(t);
  await rawListener(t, gateway, anonymous, async (request, { dial, channel }) => {
    const socket = request.form === 'control' ? await dial() : channel;
    socket.send(JSON.stringify({ response: { requestId: request.id, body: true,
      statusCode: 200, statusDescription: 'OK', responseHeaders: {} } }));
    socket.send(pattern(100), { binary: true, fin: false }, () => socket.terminate());
  });
  for (const options of Object.values(forms)) {
    await wantCut(viaHttp(gateway.url(anonymous), options), 'a lost connection');
    await assert.rejects(viaCurl(gateway.url(anonymous), options), /curl ended with (18|56)/);
    await assert.rejects(viaFetch(gateway.url(anonymous), options), /terminated|fetch failed/);
  }
});

test('item 72: stray messages on the control channel are nobody\'s body', async (t) => {
  const gateway = await start(t);
  await rawListener(t, gateway, anonymous, (request, { respond, channel }) => {
    channel.send(Buffer.alloc(0), { binary: true });
    channel.send(pattern(100), { binary: true });
    channel.send(JSON.stringify({ injectFault: { delay: '00:01:00' } }));
    channel.send(JSON.stringify({ response: { requestId: 'nobody', statusCode: 400,
      body: true } }));
    channel.send('not mine', { binary: true });
    if (request.method === 'GET') {
      respond({ statusCode: 204 });
      channel.send(Buffer.alloc(0), { binary: true });
    } else {
      respond({ statusCode: 200 }, request.body);
    }
    channel.send(JSON.stringify({ response: { requestId: request.id, statusCode: 500,
      body: true } })); // once more: the request is over
    channel.send('too late', { binary: true });
  });
  const agent = keepAlive(t);
  for (let i = 0; i < 10; i++) {
    const empty = await viaHttp(gateway.url(anonymous), { agent });
    assert.equal(empty.status, 204);
    const full = await viaHttp(gateway.url(anonymous), { agent, method: 'POST',
      body: `body ${i}` });
    assert.equal(full.status, 200);
    assert.equal(String(full.body), `body ${i}`);
  }
});

test('item 39: what a listener may answer on the control channel, and what not', async (t) => {
  const gateway = await start(t);
  let size;
  await rawListener(t, gateway, anonymous, (request, { respond }) => {
    respond({}, pattern(size));
  });
  const agent = keepAlive(t);
  for (size of [65536, 65537, 300000, 0, 1]) {
    const got = await viaHttp(gateway.url(anonymous), { agent });
    if (size > 65536) wantGatewayError(got, 502, /./);
    else assert.ok(got.body.equals(pattern(size)), `${size} bytes`);
  }
});

test('responses that make no sense become 502, and the next request is served', async (t) => {
  const gateway = await start(t);
  let fields;
  await rawListener(t, gateway, anonymous, (request, { respond }) => respond(fields, 'body'));
  const agent = keepAlive(t);
  for (const bad of [{ statusCode: 100 }, { statusCode: 199 }, { statusCode: 1000 },
    { statusCode: 'abc' }, { statusCode: null }, { responseHeaders: { 'X-A': 'a\r\nX-B: b' } },
    { responseHeaders: { 'X-A\r\nX-B': 'b' } }, { responseHeaders: { 'X-A': 'a\u0000' } }]) {
    fields = bad;
    for (const options of Object.values(forms)) {
      wantGatewayError(await viaHttp(gateway.url(anonymous), { agent, ...options }), 502, /./);
    }
    fields = {};
    const got = await viaHttp(gateway.url(anonymous), { agent });
    assert.equal(String(got.body), 'body', JSON.stringify(bad));
  }
});

test('a rendezvous connection that does not begin with a response: 1002 and 502', async (t) => {
  const gateway = await start(t);
  let first;
  const closes = [];
  await rawListener(t, gateway, anonymous, async (request, { dial, channel }) => {
    const socket = request.form === 'control' ? await dial() : channel;
    closes.push(closeOf(socket));
    socket.send(first, { binary: typeof first !== 'string' });
  });
  for (first of [Buffer.from('body'), '{"response":{"statusCode":200}}', '{"other":{}}',
    'no JSON']) {
    for (const options of Object.values(forms)) {
      wantGatewayError(await viaHttp(gateway.url(anonymous), options), 502, /./);
      const { code, reason } = await closes.pop();
      assert.equal(code, 1002, `${first}: ${reason}`);
      assert.ok(reason.length > 0, 'the Close says what is wrong');
    }
  }
});

test('a rendezvous connection that ends before the response: 502', async (t) => {
  const gateway = await start(t);
  await rawListener(t, gateway, anonymous, async (request, { dial, channel }) => {
    const socket = request.form === 'control' ? await dial() : channel;
    if (request.requestTarget.endsWith('close')) socket.close(1000);
    else socket.terminate();
  });
  for (const options of Object.values(forms)) {
    for (const how of ['close', 'terminate']) {
      wantGatewayError(await viaHttp(gateway.url(anonymous, `/${how}`), options), 502, /./);
    }
  }
});

test('after the response the rendezvous connection is closed with 1000', async (t) => {
  const gateway = await start(t);
  const closes = [];
  let address;
  await rawListener(t, gateway, anonymous, async (request, { dial, channel, respond }) => {
    address = request.address;
    const socket = request.form === 'control' ? await dial() : channel;
    closes.push(closeOf(socket));
    if (request.form === 'control') {
      socket.send(JSON.stringify({ response: { requestId: request.id, statusCode: 200,
        body: true } }));
      socket.send(request.body, { binary: true });
    } else {
      respond({}, request.body);
    }
  });
  for (const options of Object.values(forms)) {
    const got = await viaHttp(gateway.url(anonymous), options);
    assert.equal(got.status, 200);
    assert.equal((await closes.pop()).code, 1000);
    await wantUseless(gateway, address);
  }
});

test('a sender that goes: Close 1001 on the rendezvous connection at once', async (t) => {
  const gateway = await start(t);
  let dialled;
  await rawListener(t, gateway, anonymous, async (request, { dial, channel }) => {
    dialled(request.form === 'control' ? await dial() : channel);
  });
  for (const options of Object.values(forms)) {
    const socket = new Promise((resolve) => { dialled = resolve; });
    const request = openRequest(gateway.url(anonymous), options);
    request.on('error', () => {});
    for (const piece of options.pieces || []) request.write(piece);
    request.end(options.body);
    const closed = closeOf(await within(5000, 'the rendezvous', socket));
    request.destroy();
    const { code, after } = await closed;
    assert.equal(code, 1001);
    assert.ok(after < 1000, `after ${after} ms`);
  }
});

test('a listener that goes: its requests get 502', async (t) => {
  const gateway = await start(t);
  for (const how of ['close', 'terminate']) {
    const listener = await rawListener(t, gateway, anonymous,
      () => listener.control[how](1000));
    const begun = Date.now();
    wantGatewayError(await viaHttp(gateway.url(anonymous)), 502, /./);
    assert.ok(Date.now() - begun < 2000, 'at once');
  }
});

test('item 66: no response in time: 504, and the listener goes on', async (t) => {
  const gateway = await start(t, [...exact, '--http-response-timeout', '1s']);
  const server = await httpsListener(t, gateway, anonymous, (request, response) => {
    // hyco-https sends nothing at all for an empty Buffer.
    if (request.url.endsWith('nothing')) response.end(Buffer.alloc(0));
    else if (request.url.endsWith('late')) setTimeout(() => response.end('late'), 1500);
    else response.end('in time');
  });
  const agent = keepAlive(t);
  for (const options of [{ method: 'GET' }, ...Object.values(forms)]) {
    for (const path of ['/nothing', '/late']) {
      const begun = Date.now();
      const got = await viaHttp(gateway.url(anonymous, path), { agent, ...options });
      wantGatewayError(got, 504, new RegExp('The request was routed to the listener but the ' +
        'listener did not respond in the required time\\.'));
      assert.equal(JSON.parse(got.body).error.code, 'GatewayTimeout');
      const waited = Date.now() - begun;
      assert.ok(waited > 900 && waited < 4000, `${waited} ms`);
    }
    const got = await viaHttp(gateway.url(anonymous), { agent, ...options });
    assert.equal(String(got.body), 'in time');
  }
  assert.deepEqual(server.errors, []);
});

test('item 66: nobody comes to the rendezvous: 504', async (t) => {
  const gateway = await start(t, [...exact, '--gateway-rendezvous-window', '1s']);
  const listener = await rawListener(t, gateway, anonymous, () => {}, { onOffer: () => {} });
  const got = await viaHttp(gateway.url(anonymous), forms.rendezvous);
  wantGatewayError(got, 504, /./);
  assert.equal(listener.offers.length, 1);
  await wantUseless(gateway, listener.offers[0].address);
});

test('item 66: a gap in a response body: the sender is cut off', async (t) => {
  const gateway = await start(t, [...exact, '--http-body-gap', '1s']);
  let gap;
  await httpsListener(t, gateway, anonymous, async (request, response) => {
    response.write(pattern(70000, 1));
    for (let i = 2; i < 5; i++) {
      await delay(gap);
      response.write(pattern(70000, i));
    }
    response.end();
  });
  gap = 500; // three of them make more than a second
  const whole = await viaHttp(gateway.url(anonymous));
  assert.equal(whole.body.length, 4 * 70000);
  gap = 3000;
  const begun = Date.now();
  await wantCut(viaHttp(gateway.url(anonymous)), 'a gap');
  assert.ok(Date.now() - begun < 2900, 'the cut came late');
});

test('item 66: a gap in a request body: 408', async (t) => {
  const gateway = await start(t, [...exact, '--http-body-gap', '1s']);
  await rawListener(t, gateway, anonymous, (request, { respond }) => respond({}, 'whole'));
  const request = openRequest(gateway.url(anonymous),
    { method: 'POST', headers: { 'Content-Length': 100000 } });
  const begun = Date.now();
  const status = await within(10000, 'the answer', new Promise((resolve, reject) => {
    request.on('error', reject);
    request.on('response', (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    request.write(pattern(1000));
  }));
  request.destroy();
  assert.equal(status, 408);
  assert.ok(Date.now() - begun < 5000);
});

test('items 53, 59: a length that the listener gives is the framing', async (t) => {
  const gateway = await start(t);
  let length;
  await rawListener(t, gateway, anonymous, (request, { respond }) => {
    respond({ responseHeaders: { 'content-length': length } }, 'ten bytes!');
  });
  for (const options of Object.values(forms)) {
    for (length of ['10', 10]) {
      const got = await viaHttp(gateway.url(anonymous), options);
      assert.equal(got.headers['content-length'], '10');
      assert.equal(got.headers['transfer-encoding'], undefined);
      assert.equal(String(got.body), 'ten bytes!');
    }
    length = 11;
    await wantCut(viaHttp(gateway.url(anonymous), options), 'one byte is missing');
    length = 9;
    await wantCut(viaHttp(gateway.url(anonymous), options).then((got) => {
      assert.equal(String(got.body), 'ten bytes'); // the tenth must not reach the next answer
      throw Object.assign(new Error('the length was kept'), { code: 'ECONNRESET' });
    }), 'one byte is too many');
  }
  length = 1234;
  const agent = keepAlive(t);
  for (let i = 0; i < 3; i++) {
    const head = await viaHttp(gateway.url(anonymous), { method: 'HEAD', agent });
    assert.equal(head.headers['content-length'], '1234', 'the length of what GET would give');
    assert.equal(head.body.length, 0);
  }
});

test('item 74: the number of listeners in the runtime information', async (t) => {
  const gateway = await start(t);
  // As the .NET client asks; its token is for the entity.
  const ask = (path) => viaHttp(`http://${gateway.http}/${path}?api-version=2016-07`,
    { headers: { 'X-PROCESS-AT': 'ServiceBus', Authorization: gateway.token(path) } });
  for (let count = 0; count < 3; count++) {
    const got = await ask(authenticated);
    assert.equal(got.status, 200, got.reason);
    assert.match(got.headers['content-type'], /^application\/atom\+xml/);
    const text = String(got.body);
    assert.match(text, /<entry\b/);
    assert.match(text, /<HybridConnectionDescription\b/);
    assert.match(text, new RegExp(`<ListenerCount>${count}</ListenerCount>`));
    await httpsListener(t, gateway, authenticated, (request, response) => response.end());
  }
  const refused = await viaHttp(`${gateway.url(authenticated)}?api-version=2016-07`,
    { headers: { 'X-PROCESS-AT': 'ServiceBus' } });
  assert.equal(refused.status, 401);
});
