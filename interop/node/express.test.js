'use strict';

// An Express application behind a hyco-https listener: what a web application
// sees and does when its requests are relayed. Names carry the numbers of the
// conformance list, section 7 of docs/protocol.md.

const test = require('node:test');
const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const zlib = require('node:zlib');
const { start, authenticated, anonymous } = require('./gateway.js');
const { senders, viaFetch, viaHttp, viaCurl, keepAlive, pattern, sha256 } =
  require('./http-senders.js');
const { httpsListener } = require('./http-listeners.js');
const { express, handlerOf } = require('./relayed-express.js');

/** Starts a gateway and an application on its entity. */
async function serve(t, entity, configure) {
  const gateway = await start(t);
  const app = express();
  app.set('env', 'test'); // no stack traces in the output of tests
  const router = express.Router();
  app.use(`/${entity}`, router);
  configure(router, app);
  await httpsListener(t, gateway, entity, handlerOf(app));
  return gateway;
}

for (const entity of [authenticated, anonymous]) {
  test(`items 47, 56: what an application sees of a request, ${entity} entity`, async (t) => {
    const gateway = await serve(t, entity, (router) => {
      router.all('/seen/:name', (request, response) => {
        const { method, originalUrl, baseUrl, params, query, hostname } = request;
        response.json({ method, originalUrl, baseUrl, params, query, hostname,
          host: request.get('Host'), via: request.get('Via'), app: request.get('X-App') });
      });
    });
    for (const [name, send] of Object.entries(senders)) {
      const got = await send(gateway.url(entity, '/seen/it?a=1&b=x%20y'),
        { headers: { ...gateway.authorization(entity), 'X-App': 'value' } });
      const { via, ...seen } = JSON.parse(got.body);
      assert.deepEqual(seen, { method: 'GET', originalUrl: `/${entity}/seen/it?a=1&b=x%20y`,
        baseUrl: `/${entity}`, params: { name: 'it' }, query: { a: '1', b: 'x y' },
        hostname: '127.0.0.1', host: gateway.host, app: 'value' }, name);
      assert.match(via, /^1\.1 127\.0\.0\.1(:\d+)?$/);
      assert.equal(got.headers['x-powered-by'], 'Express');
      assert.match(got.headers['content-type'], /^application\/json/);
      assert.match(got.headers.via, /^1\.1 127\.0\.0\.1(:\d+)?$/);
    }
  });
}

test('items 35, 38, 40: forms and JSON, small, large and in chunks', async (t) => {
  const gateway = await serve(t, anonymous, (router) => {
    router.use(express.urlencoded({ extended: false, limit: '1mb' }),
      express.json({ limit: '1mb' }));
    router.post('/body', (request, response) => response.status(201).json(request.body));
  });
  for (const [name, send] of Object.entries(senders)) {
    for (const size of [5, 70000]) {
      const value = 'x'.repeat(size);
      const form = Buffer.from(`first=${value}&second=a+b%26c`);
      const json = Buffer.from(JSON.stringify({ first: value, second: 'a b&c' }));
      for (const [type, body] of [['application/x-www-form-urlencoded', form],
        ['application/json', json]]) {
        for (const options of [{ body }, { pieces: [body] }]) {
          if (options.pieces && name.startsWith('curl')) continue; // it sends no type then
          const got = await send(gateway.url(anonymous, '/body'), { method: 'POST',
            headers: { 'Content-Type': type }, ...options });
          assert.equal(got.status, 201, name);
          assert.deepEqual(JSON.parse(got.body), { first: value, second: 'a b&c' }, name);
        }
      }
    }
  }
});

test('items 44, 52: redirects and cookies', async (t) => {
  const gateway = await serve(t, anonymous, (router) => {
    router.get('/go', (request, response) => response.redirect(`/${anonymous}/there?x=1`));
    router.get('/far', (request, response) => response.redirect(308, 'https://example.com/'));
    router.get('/there', (request, response) => response.send(`there ${request.query.x}`));
    router.get('/login', (request, response) => {
      response.cookie('sid', 'a b;c', { httpOnly: true, maxAge: 3600000, path: '/' });
      response.send('welcome');
    });
    router.get('/cookie', (request, response) => response.send(request.get('Cookie')));
  });
  for (const [name, send] of Object.entries(senders)) {
    const go = await send(gateway.url(anonymous, '/go'));
    assert.equal(go.status, 302, name);
    assert.equal(go.headers.location, `/${anonymous}/there?x=1`, name);
    const far = await send(gateway.url(anonymous, '/far'));
    assert.equal(far.status, 308, name);
    assert.equal(far.headers.location, 'https://example.com/', name);
    const login = await send(gateway.url(anonymous, '/login'));
    assert.match(login.headers['set-cookie'],
      /^sid=a%20b%3Bc; Max-Age=3600; Path=\/; Expires=[^;]+ GMT; HttpOnly$/, name);
    const cookie = await send(gateway.url(anonymous, '/cookie'),
      { headers: { Cookie: 'sid=a%20b%3Bc; other=1' } });
    assert.equal(String(cookie.body), 'sid=a%20b%3Bc; other=1', name);
  }
  const followed = await fetch(gateway.url(anonymous, '/go'));
  assert.equal(await followed.text(), 'there 1');
  assert.equal(new URL(followed.url).pathname, `/${anonymous}/there`);
});

test('compressed bodies pass untouched', async (t) => {
  const plain = Buffer.from('compress me '.repeat(20000));
  const packed = { gzip: zlib.gzipSync(plain), br: zlib.brotliCompressSync(plain),
    noise: zlib.gzipSync(pattern(200000)) };
  const gateway = await serve(t, anonymous, (router) => {
    router.get('/:name', (request, response) => {
      const { name } = request.params;
      assert.equal(request.get('Accept-Encoding'), 'gzip, br');
      response.set('Content-Encoding', name === 'br' ? 'br' : 'gzip').send(packed[name]);
    });
  });
  for (const [name, bytes] of Object.entries(packed)) {
    const headers = { 'Accept-Encoding': 'gzip, br' };
    for (const send of [viaHttp, viaCurl]) {
      const got = await send(gateway.url(anonymous, `/${name}`), { headers });
      assert.equal(got.headers['content-encoding'], name === 'br' ? 'br' : 'gzip');
      assert.equal(sha256(got.body), sha256(bytes), `${name} by ${send.name}`);
    }
  }
  const decoded = await viaFetch(gateway.url(anonymous, '/gzip'),
    { headers: { 'Accept-Encoding': 'gzip, br' } });
  assert.ok(decoded.body.equals(plain), 'fetch unpacks it');
});

test('items 52, 53, 72: conditional GET, HEAD, and what follows on the connection',
  async (t) => {
    const gateway = await serve(t, anonymous, (router) => {
      router.get('/page', (request, response) => response.send('the page '.repeat(100)));
    });
    const agent = keepAlive(t);
    for (const [name, send] of Object.entries(senders)) {
      const url = gateway.url(anonymous, '/page');
      const first = await send(url, { agent });
      assert.equal(first.status, 200, name);
      const head = await send(url, { agent, method: 'HEAD' });
      assert.equal(head.status, 200, name);
      assert.equal(head.body.length, 0, name);
      assert.equal(head.headers.etag, first.headers.etag, name);
      // Node's fetch adds Cache-Control: no-cache to conditional requests.
      const headers = { 'If-None-Match': first.headers.etag, 'Cache-Control': 'max-age=0' };
      const second = await send(url, { agent, headers });
      assert.equal(second.status, 304, name);
      assert.equal(second.body.length, 0, name);
      assert.equal(second.headers.etag, first.headers.etag, name);
      const third = await send(url, { agent, headers: { 'If-None-Match': '"other"' } });
      assert.equal(third.status, 200, name);
      assert.ok(third.body.equals(first.body), name);
    }
  });

test('items 41, 59: static files whole and in ranges, with their checksums', async (t) => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'static-'));
  t.after(() => fs.rmSync(folder, { recursive: true, force: true }));
  const files = { 'small.txt': pattern(100), 'edge.bin': pattern(65536),
    'large.bin': pattern(20 << 20) };
  for (const [name, bytes] of Object.entries(files)) {
    fs.writeFileSync(path.join(folder, name), bytes);
  }
  const gateway = await serve(t, anonymous, (router) => {
    router.use('/static', express.static(folder));
    router.get('/file/:name', (request, response) => {
      response.sendFile(request.params.name, { root: folder });
    });
  });
  for (const route of ['static', 'file']) {
    for (const [name, bytes] of Object.entries(files)) {
      for (const [sender, send] of Object.entries(senders)) {
        const url = gateway.url(anonymous, `/${route}/${name}`);
        const got = await send(url);
        assert.equal(got.status, 200, sender);
        assert.equal(sha256(got.body), sha256(bytes), `${name} by ${sender}`);
        const middle = bytes.length >> 1;
        const ranges = { 'bytes=0-9': [0, 10], 'bytes=-10': [bytes.length - 10, bytes.length],
          [`bytes=${middle}-`]: [middle, bytes.length] };
        for (const [range, [from, to]] of Object.entries(ranges)) {
          const part = await send(url, { headers: { Range: range } });
          assert.equal(part.status, 206, sender);
          assert.equal(part.headers['content-range'], `bytes ${from}-${to - 1}/${bytes.length}`);
          assert.ok(part.body.equals(bytes.subarray(from, to)), `${range} of ${name}`);
        }
      }
    }
  }
  const beyond = await viaHttp(gateway.url(anonymous, '/static/small.txt'),
    { headers: { Range: 'bytes=1000-' } });
  assert.equal(beyond.status, 416);
  assert.equal(beyond.headers['content-range'], 'bytes */100');
});

test('items 50, 69: a handler that throws: the application\'s own 500', async (t) => {
  const gateway = await serve(t, anonymous, (router, app) => {
    router.get('/throws', () => { throw new Error('secret detail'); });
    app.use((request, response) => response.status(404).send('nothing here'));
    app.use((error, request, response, next) => {
      void next; // Express tells handlers of errors by their number of parameters
      response.status(500).send('the application failed');
    });
  });
  const failed = await viaHttp(gateway.url(anonymous, '/throws'));
  assert.equal(failed.status, 500);
  assert.equal(String(failed.body), 'the application failed');
  assert.ok(failed.headers.via, 'Via marks answers of listeners');
  const missing = await viaHttp(gateway.url(anonymous, '/nothing'));
  assert.equal(missing.status, 404);
  assert.ok(missing.headers.via, 'Via tells it from a 404 of the gateway');
});
