'use strict';

// The npm package hyco-https, unmodified, as listener of relayed HTTP requests,
// with fetch, http.request and curl as senders. Names carry the numbers of the
// conformance list, section 7 of docs/protocol.md.

const test = require('node:test');
const assert = require('node:assert/strict');
const http = require('node:http');
const { Readable } = require('node:stream');
const { start, delay, within, authenticated, anonymous } = require('./gateway.js');
const { senders, viaFetch, viaHttp, viaCurl, viaSocket, openRequest, keepAlive, pattern } =
  require('./http-senders.js');
const { httpsListener, bodyOf } = require('./http-listeners.js');

const sizes = [0, 1, 65535, 65536, 65537, 1 << 20];

/** The ways in which an application writes a body, by name. */
const writers = {
  end: (response, data) => (data.length > 0 ? response.end(data) : response.end()),
  write(response, data) {
    response.write(data);
    response.end();
  },
  writeAndEnd(response, data) {
    const half = data.length >> 1;
    if (half > 0) response.write(data.subarray(0, half));
    writers.end(response, data.subarray(half));
  },
  multipleWrites(response, data) {
    for (let i = 0; i < data.length; i += 10000) response.write(data.subarray(i, i + 10000));
    response.end();
  },
  pipe: (response, data) => Readable.from(piecesOf(data, 16384)).pipe(response),
};

function piecesOf(data, size) {
  const pieces = [];
  for (let i = 0; i < data.length; i += size) pieces.push(data.subarray(i, i + size));
  return pieces;
}

function queryOf(request) {
  return new URL(request.url, 'http://x').searchParams;
}

/** Answers with the body that came, and the method in a header. */
async function echo(request, response) {
  const body = await bodyOf(request);
  response.setHeader('X-Method', request.method);
  writers.end(response, body);
}

function wantBody(got, want, what) {
  assert.equal(got.length, want.length, `${what}: length`);
  assert.ok(got.equals(want), `${what}: the content differs`);
}

/** A response of the gateway itself, as section 5.8 has it. */
function wantGatewayError(answer, status, code, text) {
  assert.equal(answer.status, status, answer.reason);
  assert.match(answer.reason, text);
  assert.match(answer.reason, /TrackingId:[0-9a-f-]{36}/);
  assert.match(answer.headers.trackingid, /^[0-9a-f-]{36}/);
  assert.equal(answer.headers.via, undefined, 'Via marks answers of listeners');
  assert.match(answer.headers['content-type'], /^application\/json/);
  const { error } = JSON.parse(answer.body);
  assert.equal(error.code, code);
  assert.match(error.message, text);
}

for (const entity of [authenticated, anonymous]) {
  test(`items 35, 62: GET and POST with small bodies, ${entity} entity`, async (t) => {
    const gateway = await start(t);
    await httpsListener(t, gateway, entity, (request, response) => {
      if (request.method === 'GET') response.end('small response');
      else echo(request, response);
    });
    const headers = gateway.authorization(entity);
    for (const [name, send] of Object.entries(senders)) {
      const got = await send(gateway.url(entity), { headers });
      assert.equal(got.status, 200, name);
      assert.equal(got.reason, 'OK', name);
      assert.equal(String(got.body), 'small response', name);
      const posted = await send(gateway.url(entity), { method: 'POST', headers,
        body: 'small request' });
      assert.equal(posted.status, 200, name);
      assert.equal(String(posted.body), 'small request', name);
      assert.equal(posted.headers['x-method'], 'POST', name);
    }
  });

  test(`item 36: responses of 65 KiB with a phrase of their own, ${entity} entity`,
    async (t) => {
      const gateway = await start(t);
      const large = pattern(65 << 10);
      await httpsListener(t, gateway, entity, (request, response) => {
        response.statusMessage = 'TestStatusDescription';
        response.end(large);
      });
      const headers = gateway.authorization(entity);
      for (const [name, send] of Object.entries(senders)) {
        for (const options of [{ method: 'GET' }, { method: 'POST', body: 'small' }]) {
          const got = await send(gateway.url(entity), { headers, ...options });
          assert.equal(got.reason, 'TestStatusDescription', name);
          wantBody(got.body, large, `${options.method} by ${name}`);
        }
      }
    });

  test(`item 37: a handler that writes nothing, ${entity} entity`, async (t) => {
    const gateway = await start(t);
    await httpsListener(t, gateway, entity, (request, response) => response.end());
    const headers = gateway.authorization(entity);
    for (const [name, send] of Object.entries(senders)) {
      for (const options of [{ method: 'GET' }, { method: 'POST', body: '' }]) {
        const got = await send(gateway.url(entity), { headers, ...options });
        assert.equal(got.status, 200, name);
        assert.equal(got.body.length, 0, name);
      }
    }
  });

  test(`item 38: requests of 65 KiB, empty responses, ${entity} entity`, async (t) => {
    const gateway = await start(t);
    const bodies = [];
    await httpsListener(t, gateway, entity, async (request, response) => {
      bodies.push(await bodyOf(request));
      response.end();
    });
    const headers = gateway.authorization(entity);
    const large = pattern(65 << 10);
    for (const [name, send] of Object.entries(senders)) {
      const got = await send(gateway.url(entity), { method: 'POST', headers, body: large });
      assert.equal(got.status, 200, name);
      assert.equal(got.body.length, 0, name);
      wantBody(bodies.pop(), large, name);
    }
  });
}

for (const [mode, write] of Object.entries(writers)) {
  test(`items 39, 41, 59: responses of all sizes, written by ${mode}`, async (t) => {
    const gateway = await start(t);
    const bodies = new Map(sizes.map((size) => [size, pattern(size)]));
    await httpsListener(t, gateway, anonymous, async (request, response) => {
      await bodyOf(request);
      write(response, bodies.get(Number(queryOf(request).get('size'))));
    });
    const agent = keepAlive(t);
    for (const [name, send] of Object.entries(senders)) {
      for (const size of sizes) {
        for (const options of [{ method: 'GET' }, { method: 'POST', body: 'x' }]) {
          const url = gateway.url(anonymous, `?size=${size}`);
          const got = await send(url, { ...options, agent });
          wantBody(got.body, bodies.get(size), `${options.method} of ${size} by ${name}`);
          // hyco-https takes the length away, so the gateway writes chunks.
          assert.equal(got.headers['transfer-encoding'], 'chunked', name);
          assert.equal(got.headers['content-length'], undefined, name);
        }
      }
    }
  });
}

test('items 39, 40: request bodies of all sizes, with a length and in chunks', async (t) => {
  const gateway = await start(t);
  const bodies = [];
  await httpsListener(t, gateway, anonymous, async (request, response) => {
    bodies.push(await bodyOf(request));
    response.end('read');
  });
  const agent = keepAlive(t);
  for (const [name, send] of Object.entries(senders)) {
    for (const size of sizes) {
      const body = pattern(size, size);
      for (const options of [{ body }, { pieces: size === 0 ? [] : [body] },
        { pieces: piecesOf(body, 10007) }]) {
        const got = await send(gateway.url(anonymous), { method: 'POST', agent, ...options });
        const what = `${size} bytes by ${name}, ${Object.keys(options)}`;
        assert.equal(String(got.body), 'read', what);
        wantBody(bodies.pop(), body, what);
      }
    }
  }
});

test('item 40: chunked requests, ten at once, small and large responses', async (t) => {
  const gateway = await start(t);
  await httpsListener(t, gateway, authenticated, echo);
  const headers = gateway.authorization(authenticated);
  for (const send of [viaHttp, viaFetch]) {
    for (const size of [0, 100, 70000, 300000]) {
      await Promise.all(Array.from({ length: 10 }, async (_, n) => {
        const body = pattern(size, n);
        const got = await send(gateway.url(authenticated), { method: 'POST', headers,
          pieces: piecesOf(body, 5000) });
        wantBody(got.body, body, `${size} bytes, number ${n}, by ${send.name}`);
      }));
    }
  }
});

// The ws package gives up a message of more than 16,384 fragments.
test('items 39, 40: a request body of 24,000 small chunks', async (t) => {
  const gateway = await start(t);
  await httpsListener(t, gateway, anonymous, echo);
  const body = pattern(24000 * 10);
  const pieces = piecesOf(body, 10);
  const got = await viaHttp(gateway.url(anonymous), { method: 'POST', pieces });
  assert.equal(got.status, 200, got.reason);
  wantBody(got.body, body, 'the echo of what came in a few reads');

  const request = openRequest(gateway.url(anonymous), { method: 'POST', pieces: [] });
  const answered = new Promise((resolve, reject) => {
    request.on('error', reject);
    request.on('response', (response) => resolve(bodyOf(response)));
  });
  request.setNoDelay(true);
  let over = false;
  answered.catch(() => {}).then(() => { over = true; });
  for (let i = 0; i < pieces.length && !over; i++) {
    request.write(pieces[i]);
    const written = process.hrtime.bigint(); // and then the gateway gets time to read it
    do await new Promise((resolve) => setImmediate(resolve));
    while (process.hrtime.bigint() - written < 80000n);
  }
  request.end();
  wantBody(await within(20000, 'the answer', answered), body, 'the echo of one by one');
});

test('item 40: bodies that are late: the first part waits for the rest', async (t) => {
  const gateway = await start(t);
  await httpsListener(t, gateway, anonymous, echo);
  const body = pattern(1000);
  for (const framing of [{ 'Content-Length': 1000 }, { 'Transfer-Encoding': 'chunked' }]) {
    const request = openRequest(gateway.url(anonymous), { method: 'POST', headers: framing });
    const answered = new Promise((resolve, reject) => {
      request.on('error', reject);
      request.on('response', (response) => resolve(bodyOf(response)));
    });
    request.write(body.subarray(0, 400));
    await delay(1500); // more than a body for the control channel may take
    request.end(body.subarray(400));
    wantBody(await within(5000, 'the response', answered), body, Object.keys(framing)[0]);
  }
});

test('items 41, 42: a response that pauses for two seconds goes on', async (t) => {
  const gateway = await start(t);
  const first = pattern(70000, 1);
  const second = pattern(70000, 2);
  await httpsListener(t, gateway, anonymous, async (request, response) => {
    response.write(first);
    await delay(2000);
    response.end(second);
  });
  const request = openRequest(gateway.url(anonymous));
  const begun = Date.now();
  let firstAfter = 0;
  const body = await within(10000, 'the response', new Promise((resolve, reject) => {
    request.on('error', reject);
    request.on('response', (response) => {
      let length = 0;
      response.on('data', (data) => {
        length += data.length;
        if (length >= first.length && !firstAfter) firstAfter = Date.now() - begun;
      });
      resolve(bodyOf(response));
    });
    request.end();
  }));
  wantBody(body, Buffer.concat([first, second]), 'both parts');
  assert.ok(firstAfter < 1500, `the first part came after ${firstAfter} ms only`);
  assert.ok(Date.now() - begun >= 1900, 'the pause is missing');
});

test('item 51: status and headers are fixed once the body has begun', async (t) => {
  const gateway = await start(t);
  await httpsListener(t, gateway, anonymous, (request, response) => {
    response.setHeader('X-Early', 'yes');
    response.write(pattern(70000)); // leaves at once
    response.statusCode = 500;
    response.setHeader('X-Late', 'yes');
    response.end('end');
  });
  const got = await viaHttp(gateway.url(anonymous), { method: 'POST', pieces: [pattern(3)] });
  assert.equal(got.status, 200);
  assert.equal(got.headers['x-early'], 'yes');
  assert.equal(got.headers['x-late'], undefined);
  assert.equal(got.body.length, 70003);
});

test('items 43, 44: status phrases', async (t) => {
  const gateway = await start(t);
  await httpsListener(t, gateway, anonymous, (request, response) => {
    const query = queryOf(request);
    const phrase = query.get('phrase');
    if (phrase !== null) response.writeHead(Number(query.get('status')), phrase);
    else response.statusCode = Number(query.get('status'));
    response.end('body');
  });
  const table = [
    [404, null, 'Not Found'],
    [201, null, 'Created'],
    [299, 'A phrase of its own', 'A phrase of its own'],
    [200, 'All !"#$%&\'()*+,-./:;<=>?@[\\]^_`{|}~ of it', null],
    [450, 'Blocked by Windows Parental Controls', null],
    [200, '', 'OK'],
    [404, 'x'.repeat(400), null],
  ];
  for (const [name, send] of Object.entries(senders)) {
    for (const [status, phrase, want] of table) {
      const query = phrase === null ? '' : `&phrase=${encodeURIComponent(phrase)}`;
      const got = await send(gateway.url(anonymous, `?status=${status}${query}`));
      assert.equal(got.status, status, name);
      assert.equal(got.reason, want === null ? phrase : want, name);
    }
  }
});

test('item 45: two listeners, 100 requests: all answered, both used', async (t) => {
  const gateway = await start(t);
  for (const name of ['first', 'second']) {
    await httpsListener(t, gateway, authenticated, (request, response) => response.end(name));
  }
  const counts = { first: 0, second: 0 };
  const agent = keepAlive(t, 10);
  await Promise.all(Array.from({ length: 100 }, async () => {
    const got = await viaHttp(gateway.url(authenticated),
      { agent, headers: gateway.authorization(authenticated) });
    counts[got.body]++;
  }));
  assert.equal(counts.first + counts.second, 100);
  assert.ok(counts.first > 0 && counts.second > 0, JSON.stringify(counts));
});

test('items 46, 47, 69: headers of requests and responses', async (t) => {
  const gateway = await start(t);
  const seen = [];
  await httpsListener(t, gateway, anonymous, (request, response) => {
    seen.push(request);
    response.setHeader('X-Multi', 'responseValue1, responseValue2');
    response.setHeader('X-Number', 5);
    response.setHeader('Set-Cookie', 'a=1; Expires=Wed, 21 Oct 2065 07:28:00 GMT; Path=/');
    response.end('body');
  });
  const got = await viaHttp(gateway.url(anonymous), { headers: {
    'X-Multi': ['requestValue1', 'requestValue2'], 'X-Punctuation': '!"#$%&\'()*+,-./:;<=>?@',
    Via: '1.0 fred', Connection: 'close, X-Hop', 'X-Hop': 'one hop', TE: 'trailers' } });
  const { headers } = seen[0];
  assert.equal(headers['x-multi'], 'requestValue1, requestValue2');
  assert.equal(headers['x-punctuation'], '!"#$%&\'()*+,-./:;<=>?@');
  assert.equal(headers.host, gateway.host);
  assert.match(headers.via, /^1\.0 fred, 1\.1 127\.0\.0\.1(:\d+)?$/);
  for (const name of ['connection', 'x-hop', 'te', 'content-length', 'transfer-encoding']) {
    assert.equal(headers[name], undefined, `${name} belongs to one hop`);
  }
  assert.equal(got.headers['x-multi'], 'responseValue1, responseValue2');
  assert.equal(got.headers['x-number'], '5');
  assert.equal(got.headers['set-cookie'],
    'a=1; Expires=Wed, 21 Oct 2065 07:28:00 GMT; Path=/');
  assert.match(got.headers.via, /^1\.1 127\.0\.0\.1(:\d+)?$/);
  assert.ok(Math.abs(Date.parse(got.headers.date) - Date.now()) < 10000, got.headers.date);
  assert.equal(got.headers.connection, 'close');

  const [head] = String(await viaSocket(gateway, `GET /${anonymous} HTTP/1.1\r\nHost: x\r\n` +
    'Cookie: a=1\r\nCookie: b=2\r\nConnection: close\r\n\r\n')).split('\r\n\r\n');
  assert.match(head, /^HTTP\/1\.1 200 OK\r\n/);
  assert.equal(seen[1].headers.cookie, 'a=1; b=2');
  assert.equal(seen[1].headers.host, 'x');
});

test('item 46: thirty headers of each kind by curl and fetch', async (t) => {
  const gateway = await start(t);
  let seen;
  await httpsListener(t, gateway, anonymous, (request, response) => {
    seen = request.headers;
    for (let i = 0; i < 30; i++) response.setHeader(`X-Response-${i}`, `value ${i}`);
    response.end();
  });
  for (const send of [viaFetch, viaCurl]) {
    const headers = {};
    for (let i = 0; i < 30; i++) headers[`X-Request-${i}`] = 'v'.repeat(i + 1);
    const got = await send(gateway.url(anonymous), { headers });
    for (let i = 0; i < 30; i++) {
      assert.equal(seen[`x-request-${i}`], 'v'.repeat(i + 1));
      assert.equal(got.headers[`x-response-${i}`], `value ${i}`);
    }
  }
});

test('item 48: the query reaches the listener without sb-hc- parameters', async (t) => {
  const gateway = await start(t);
  await httpsListener(t, gateway, anonymous, (request, response) => {
    response.end(request.url.slice(`/${anonymous}/q`.length) || 'none');
  });
  const table = {
    '': 'none',
    '?foo=bar': '?foo=bar',
    '?a=1&a=2&': '?a=1&a=2&',
    '?&&&': '?&&&',
    '?sb-hc-undefined': '?sb-hc-undefined',
    '?sb-hc-whatever=': 'none',
    '?sb-hc-id=1': 'none',
    '?SB-HC-ID=1': 'none',
    '?sb%2Dhc%2did=1': 'none',
    '?custom=value&sb-hc-id=1': '?custom=value',
    '?sb-hc-id=1&custom=value': '?custom=value',
    '?a&sb-hc-x=y=z&b': '?a&b',
    '?x-sb-hc-id=1': '?x-sb-hc-id=1',
    '?plus=a+b%2Bc&blank=%20': '?plus=a+b%2Bc&blank=%20',
    '?%2f%3a%3d%26=%2F%3A%3D%26': '?%2f%3a%3d%26=%2F%3A%3D%26',
    "?quote='&utf8=%C3%BC%e2%98%82": "?quote='&utf8=%C3%BC%e2%98%82",
    '?a=1?b=2': '?a=1?b=2',
  };
  for (const [query, want] of Object.entries(table)) {
    const url = gateway.url(anonymous, '/q');
    const byNode = await viaHttp(url, { path: `/${anonymous}/q${query}` });
    assert.equal(String(byNode.body), want, `${query} by http.request`);
    const byCurl = await viaCurl(url + query);
    assert.equal(String(byCurl.body), want, `${query} by curl`);
    if (!query.includes("'")) { // fetch would write %27
      assert.equal(String((await viaFetch(url + query)).body), want, `${query} by fetch`);
    }
  }
});

const statuses = [200, 201, 202, 203, 204, 205, 206, 299, 300, 301, 302, 303, 304, 305, 306, 307,
  308, 400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417,
  418, 426, 429, 450, 500, 501, 502, 503, 504, 505];

test('items 52, 72: every status for GET and POST, those without a body too', async (t) => {
  const gateway = await start(t);
  await httpsListener(t, gateway, anonymous, async (request, response) => {
    await bodyOf(request);
    response.statusCode = Number(queryOf(request).get('status'));
    if ([204, 205, 304].includes(response.statusCode)) response.end();
    else response.end(`status ${response.statusCode}`);
  });
  const agent = keepAlive(t);
  for (const [name, send] of Object.entries(senders)) {
    for (const status of statuses) {
      if (send === viaFetch && status === 407) continue; // it makes an error of its own
      for (const options of [{ method: 'GET' }, { method: 'POST', body: 'x' }]) {
        if (name.startsWith('curl') && options.body) continue; // a process each takes its time
        const what = `${options.method} ${status} by ${name}`;
        const got = await send(gateway.url(anonymous, `?status=${status}`),
          { ...options, agent });
        assert.equal(got.status, status, what);
        const phrase = http.STATUS_CODES[status] || 'unknown'; // as hyco-https has it
        assert.equal(got.reason.toLowerCase(), phrase.toLowerCase(), what);
        const empty = [204, 205, 304].includes(status);
        assert.equal(String(got.body), empty ? '' : `status ${status}`, what);
        assert.ok(got.headers.via, `${what}: it came from the listener`);
      }
    }
  }
});

test('items 53, 72: all methods, HEAD without a body', async (t) => {
  const gateway = await start(t);
  let withBody = false; // of the answer to HEAD: hyco-https sends it all the same
  await httpsListener(t, gateway, anonymous, async (request, response) => {
    const body = await bodyOf(request);
    response.setHeader('X-Method', request.method);
    if (request.method === 'HEAD' && !withBody) response.end();
    else response.end(`${request.method} ${body}`);
  });
  const agent = keepAlive(t);
  for (const [name, send] of Object.entries(senders)) {
    for (const method of ['DELETE', 'GET', 'HEAD', 'HEAD', 'OPTIONS', 'POST', 'PUT', 'TRACE',
      'PATCH', 'PROPFIND']) {
      if (send === viaFetch && method === 'TRACE') continue; // it is forbidden there
      const body = ['POST', 'PUT', 'PATCH'].includes(method) ? 'content' : undefined;
      const got = await send(gateway.url(anonymous), { method, body, agent });
      withBody = !withBody;
      const what = `${method} by ${name}`;
      assert.equal(got.status, 200, what);
      assert.equal(got.headers['x-method'], method, what);
      assert.equal(String(got.body), method === 'HEAD' ? '' : `${method} ${body || ''}`, what);
    }
  }
});

test('items 54, 55: listeners that are allowed or not', async (t) => {
  const gateway = await start(t);
  const ids = ['0a9f4dbb-3a40-4d3c-9c5b-2f2e5d6a1b01', '1b8e5ecc-4b51-4e4d-8d6c-3a3f6e7b2c02',
    '2c7d6fdd-5c62-4f5e-9e7d-4b4a7f8c3d03'];
  const unknown = '99999999-5c62-4f5e-9e7d-4b4a7f8c3d03';
  const seen = [];
  for (const id of ids) {
    await httpsListener(t, gateway, anonymous, (request, response) => {
      seen.push(request.headers);
      response.end(id);
    }, { id });
  }
  const criteria =
    /None of the connected listeners meet the AllowedListeners\/DisallowedListeners criteria/;
  async function wantFrom(allowed, disallowed, expected) {
    const headers = {};
    if (allowed) headers['Microsoft-Relay-AllowedListeners'] = allowed;
    if (disallowed) headers['Microsoft-Relay-DisallowedListeners'] = disallowed;
    const used = new Set();
    for (let i = 0; i < 10; i++) {
      const got = await viaHttp(gateway.url(anonymous), { headers });
      if (expected.length === 0) wantGatewayError(got, 404, 'EndpointNotFound', criteria);
      else assert.ok(expected.includes(String(got.body)), `${got.body}, want ${expected}`);
      used.add(String(got.body));
    }
    return used;
  }
  for (const id of ids) {
    await wantFrom(id, '', [id]);
    await wantFrom(id.toUpperCase(), '', [id]);
    await wantFrom('', id, ids.filter((other) => other !== id));
    await wantFrom('', ids.filter((other) => other !== id).join(','), [id]);
    await wantFrom(id, id, []);
  }
  await wantFrom(unknown, '', []);
  await wantFrom('', unknown, ids);
  await wantFrom('', ids.join(', '), []);
  await wantFrom(`${ids[0]}, ${ids[1]}`, '', ids.slice(0, 2));
  await wantFrom(`${ids[0]},${ids[1]}`, ids[0], [ids[1]]);
  for (const headers of seen) {
    assert.equal(headers['microsoft-relay-allowedlisteners'], undefined);
    assert.equal(headers['microsoft-relay-disallowedlisteners'], undefined);
  }
});

test('items 56, 57, 61: paths below the entity', async (t) => {
  const gateway = await start(t);
  await httpsListener(t, gateway, anonymous, (request, response) => response.end(request.url));
  const table = { // suffix: what the listener sees, section 5.3
    '/extraPath/extraPath2?foo=bar&x=1': '/extraPath/extraPath2?foo=bar&x=1',
    '/': '/',
    '/a//b/': '/a//b/',
    '/%252F': '/%252F',
    '/a%2Fb%3Fc%23d%5Ce%25f%0Ag': '/a%2Fb%3Fc%23d%5Ce%25f%0Ag',
    '/path%20with%20spaces?q=a%20b': '/path with spaces?q=a%20b',
    '/%41%7e%2B+': '/A~++',
    '/gr%C3%BCn': '/grün',
  };
  for (const [suffix, want] of Object.entries(table)) {
    for (const send of [viaHttp, viaCurl]) {
      const got = await send(gateway.url(anonymous, suffix));
      assert.equal(got.status, 200, `${suffix}: ${got.reason}`);
      assert.equal(String(got.body), `/${anonymous}${want}`, `${suffix} by ${send.name}`);
    }
  }
});

test('item 57: paths as they were, when the gateway is told so', async (t) => {
  const gateway = await start(t, ['--http-request-target', 'raw']);
  await httpsListener(t, gateway, anonymous, (request, response) => response.end(request.url));
  const suffix = '/path%20with%20spaces/%41?q=%41';
  const got = await viaHttp(gateway.url(anonymous, suffix));
  assert.equal(String(got.body), `/${anonymous}${suffix}`);
});

test('item 58: status 202 and a header reach the sender, the handler runs once', async (t) => {
  const gateway = await start(t);
  let runs = 0;
  await httpsListener(t, gateway, authenticated, (request, response) => {
    runs++;
    response.writeHead(202, { 'X-Custom': 'from the listener' });
    response.end();
  });
  for (const send of Object.values(senders)) {
    runs = 0;
    const got = await send(gateway.url(authenticated),
      { method: 'POST', body: 'x', headers: gateway.authorization(authenticated) });
    assert.equal(got.status, 202);
    assert.equal(got.headers['x-custom'], 'from the listener');
    assert.equal(runs, 1);
  }
});

test('item 60: request target in absolute form', async (t) => {
  const gateway = await start(t);
  await httpsListener(t, gateway, anonymous, (request, response) => {
    response.end(`${request.url} ${request.headers.host}`);
  });
  const target = gateway.url(anonymous, '/sub?a=b');
  const want = `/${anonymous}/sub?a=b ${gateway.http}`;
  const byNode = await viaHttp(gateway.url(anonymous), { path: target });
  assert.equal(String(byNode.body), want);
  const byCurl = await viaCurl(gateway.url(anonymous), { args: ['--request-target', target] });
  assert.equal(String(byCurl.body), want);
});

test('item 68: tokens of senders are never visible to a listener', async (t) => {
  const gateway = await start(t);
  for (const entity of [authenticated, anonymous]) {
    let seen;
    const messages = [];
    const server = await httpsListener(t, gateway, entity, (request, response) => {
      seen = request;
      response.end();
    });
    server.controlChannel.on('message', (text) => messages.push(text));
    const token = gateway.token(entity);
    const query = `?a=1&sb-hc-token=${encodeURIComponent(token)}`;
    const authorization = entity === anonymous ? token : undefined;
    const table = [ // headers, query, Authorization that the listener sees
      [{ ServiceBusAuthorization: token }, '', undefined],
      [{ ServiceBusAuthorization: token, Authorization: 'Bearer app' }, '', 'Bearer app'],
      [{ Authorization: 'Basic YTpi' }, query, 'Basic YTpi'],
      [{ servicebusauthorization: token }, query, undefined],
      [{ Authorization: token }, '', authorization],
    ];
    for (const [headers, search, want] of table) {
      for (const options of [{}, { method: 'POST', pieces: [pattern(5)] }]) {
        const got = await viaHttp(gateway.url(entity, `/x${search}`), { headers, ...options });
        assert.equal(got.status, 200, got.reason);
        assert.equal(seen.headers.authorization, want);
        assert.equal(seen.headers.servicebusauthorization, undefined);
        assert.equal(seen.url, `/${entity}/x${search ? '?a=1' : ''}`);
        if (want !== token) assert.ok(!messages.join().includes('SharedAccessSignature'));
        messages.length = 0;
      }
    }
    server.closeRequested = true;
    server.controlChannel.terminate();
  }
});

test('items 13, 14, 63, 69: errors of the gateway leave the connection usable', async (t) => {
  const gateway = await start(t);
  const agent = keepAlive(t);
  const good = gateway.authorization(authenticated);
  const table = [
    [authenticated, {}, 401, 'TokenMissingOrInvalid', /MissingToken/],
    [authenticated, { ServiceBusAuthorization: gateway.token(authenticated, 3600, 'wrong') },
      401, 'TokenMissingOrInvalid', /token has an invalid signature/],
    [authenticated, { Authorization: gateway.token(authenticated, 3600, 'wrong') },
      401, 'TokenMissingOrInvalid', /token has an invalid signature/],
    [authenticated, good, 404, 'EndpointNotFound',
      /There are no listeners connected for the endpoint/],
    [anonymous, {}, 404, 'EndpointNotFound',
      /There are no listeners connected for the endpoint/],
  ];
  let reused = false;
  for (const [entity, headers, status, code, text] of table) {
    for (const options of [{ method: 'GET' }, { method: 'POST', body: 'small' }]) {
      const got = await viaHttp(gateway.url(entity, '/x'), { agent, headers, ...options });
      wantGatewayError(got, status, code, text);
      assert.ok(got.reason.includes(entity), `${got.reason} does not name ${entity}`);
      assert.equal(got.reused, reused, 'the connection is the same');
      reused = true;
    }
    for (const send of [viaFetch, viaCurl]) {
      wantGatewayError(await send(gateway.url(entity), { headers }), status, code, text);
    }
  }
});

test('keep-alive: 50 requests of all kinds on one connection', async (t) => {
  const gateway = await start(t);
  await httpsListener(t, gateway, anonymous, echo);
  const agent = keepAlive(t);
  for (let i = 0; i < 50; i++) {
    const body = pattern([3, 65536, 65537, 200000][i % 4], i);
    const options = [{ body }, { pieces: piecesOf(body, 9999) }][i % 2];
    const got = await viaHttp(gateway.url(anonymous), { method: 'POST', agent, ...options });
    wantBody(got.body, body, `request ${i}`);
    assert.equal(got.reused, i > 0, `request ${i} is on the same connection`);
  }
});

test('pipelined requests are answered in order', async (t) => {
  const gateway = await start(t);
  await httpsListener(t, gateway, anonymous, async (request, response) => {
    await delay(request.url.endsWith('0') ? 50 : 0);
    response.end(request.url.slice(1 + anonymous.length));
  });
  const requests = Array.from({ length: 10 }, (_, i) => `GET /${anonymous}/${i} HTTP/1.1\r\n` +
    `Host: ${gateway.http}\r\n${i === 9 ? 'Connection: close\r\n' : ''}\r\n`);
  const output = String(await viaSocket(gateway, requests.join('')));
  assert.deepEqual(output.match(/^\/\d\r$/gm).map((line) => line.trim()),
    Array.from({ length: 10 }, (_, i) => `/${i}`));
});

test('Expect: 100-continue: asked for after the authorization only', async (t) => {
  const gateway = await start(t);
  await httpsListener(t, gateway, authenticated, echo);
  for (const [headers, wantContinue, wantStatus] of [
    [gateway.authorization(authenticated), true, 200], [{}, false, 401]]) {
    const request = openRequest(gateway.url(authenticated), { method: 'POST',
      headers: { ...headers, Expect: '100-continue', 'Content-Length': 5 } });
    let continued = false;
    const status = await within(5000, 'the answer', new Promise((resolve, reject) => {
      request.on('error', reject);
      request.on('continue', () => {
        continued = true;
        request.end('hello');
      });
      request.on('response', (response) => {
        response.resume();
        resolve(response.statusCode);
      });
      request.flushHeaders();
    }));
    assert.equal(status, wantStatus);
    assert.equal(continued, wantContinue);
    request.destroy();
  }
  const body = pattern(2 << 20);
  const got = await viaCurl(gateway.url(authenticated), { method: 'POST', body,
    headers: { ...gateway.authorization(authenticated), Expect: '100-continue' } });
  wantBody(got.body, body, '2 MiB by curl with Expect');
});

test('HTTP/1.0 senders and h2c offers are served with HTTP/1.1', async (t) => {
  const gateway = await start(t);
  await httpsListener(t, gateway, anonymous, echo);
  const output = String(await viaSocket(gateway,
    `POST /${anonymous} HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello`));
  assert.match(output, /^HTTP\/1\.1 200 OK\r\n/);
  assert.match(output, /\r\nConnection: close\r\n/i);
  assert.doesNotMatch(output, /transfer-encoding/i);
  assert.match(output, /\r\n\r\nhello$/);
  for (const args of [['--http1.0'], ['--http2']]) {
    const got = await viaCurl(gateway.url(anonymous), { method: 'POST', body: 'hello', args });
    assert.equal(String(got.body), 'hello', String(args));
  }
});
