'use strict';

// A web application behind a hyco-https listener, in a real browser: pages,
// forms, scripts, and streams of events.

const test = require('node:test');
const assert = require('node:assert/strict');
const { start, within, anonymous } = require('./gateway.js');
const { pattern, sha256 } = require('./http-senders.js');
const { httpsListener, bodyOf } = require('./http-listeners.js');
const { express, handlerOf } = require('./relayed-express.js');
const { startBrowser } = require('./chromium.js');

const eventDelayMax = 200; // milliseconds from res.write to the page's handler
const events = 20;

const home = `<!doctype html>
<title>relayed</title>
<link rel="stylesheet" href="style.css">
<script src="script.js" defer></script>
<h1>Hello</h1>
<form method="post" action="form">
  <input name="first"><input name="second"><textarea name="text"></textarea>
</form>
`;

const script = `
document.querySelector('h1').dataset.script = 'ran';
async function digest(url) {
  const bytes = await (await fetch(url)).arrayBuffer();
  return [new Uint8Array(bytes).reduce((sum, x) => (sum * 31 + x) >>> 0, 7), bytes.byteLength];
}
const bytesOf = (size) => new Uint8Array(size).map((_, i) => i * 7 + (i >> 8));
async function upload(size) {
  const body = bytesOf(size);
  const response = await fetch('upload', { method: 'POST', body });
  const back = new Uint8Array(await response.arrayBuffer());
  return back.length === size && back.every((x, i) => x === body[i]);
}
async function sendFile(size) {
  const form = new FormData();
  form.append('name', 'grün');
  form.append('file', new Blob([bytesOf(size)]), 'file.bin');
  return (await fetch('multipart', { method: 'POST', body: form })).text();
}
function listen(url, count) {
  return new Promise((resolve, reject) => {
    const delays = [];
    const source = new EventSource(url);
    source.onerror = () => reject(new Error('the stream failed after ' + delays.length));
    source.onmessage = (event) => {
      delays.push(Date.now() - Number(event.data));
      if (delays.length === count) {
        source.close();
        resolve(delays);
      }
    };
  });
}
`;

/** Starts a gateway, the application, and a browser. */
async function serve(t, configure = () => {}) {
  const gateway = await start(t);
  const app = express();
  const router = express.Router();
  router.get('/', (request, response) => response.type('html').send(home));
  router.get('/style.css', (request, response) => {
    response.type('css').send('h1 { color: rgb(1, 2, 3) }');
  });
  router.get('/script.js', (request, response) => response.type('js').send(script));
  configure(router);
  app.use(`/${anonymous}`, router);
  const server = await httpsListener(t, gateway, anonymous, handlerOf(app));
  const browser = await startBrowser(t);
  return { gateway, server, browser, home: gateway.url(anonymous, '/') };
}

test('items 35, 41, 62: a page with its style and script, and fetch in the page',
  async (t) => {
    const large = pattern(3 << 20);
    const { browser, home: url } = await serve(t, (router) => {
      router.get('/large', (request, response) => response.send(large));
      router.post('/upload', async (request, response) => {
        response.send(await bodyOf(request));
      });
    });
    const page = await browser.page();
    await page.goto(url);
    assert.equal(await page.evaluate('document.title'), 'relayed');
    assert.equal(await page.evaluate('document.querySelector("h1").dataset.script'), 'ran');
    assert.equal(await page.evaluate('getComputedStyle(document.querySelector("h1")).color'),
      'rgb(1, 2, 3)');
    const sum = large.reduce((total, x) => (Math.imul(total, 31) + x) >>> 0, 7);
    assert.deepEqual(await page.evaluate('digest("large")'), [sum, large.length]);
    for (const size of [1, 65536, 65537, 1 << 20]) {
      assert.equal(await page.evaluate(`upload(${size})`), true, `${size} bytes and back`);
    }
    assert.deepEqual(page.failures, []);
  });

test('items 38, 44: a form that the page submits, and the redirect after it', async (t) => {
  const forms = [];
  const { gateway, browser, home: url } = await serve(t, (router) => {
    router.post('/form', express.urlencoded({ extended: false, limit: '1mb' }),
      (request, response) => {
        forms.push({ type: request.get('Content-Type'), origin: request.get('Origin'),
          body: request.body });
        response.redirect(303, `/${anonymous}/done?n=${forms.length}`);
      });
    router.get('/done', (request, response) => {
      response.type('html').send(`<p id="done">thanks ${request.query.n}`);
    });
  });
  const page = await browser.page();
  for (const [n, text] of ['two\nlines & more=+%', 'x'.repeat(100000)].entries()) {
    await page.goto(url);
    await page.loaded('submit', () => page.evaluate(`
      const form = document.forms[0];
      form.elements.first.value = 'grün ☂';
      form.elements.second.value = '';
      form.elements.text.value = ${JSON.stringify(text)};
      form.submit();`));
    assert.equal(await page.evaluate('document.getElementById("done").textContent'),
      `thanks ${n + 1}`);
    assert.equal(await page.evaluate('location.href'),
      gateway.url(anonymous, `/done?n=${n + 1}`));
    assert.deepEqual({ ...forms[n].body },
      { first: 'grün ☂', second: '', text: text.replace(/\n/g, '\r\n') });
    assert.equal(forms[n].type, 'application/x-www-form-urlencoded');
    assert.equal(forms[n].origin, new URL(url).origin);
  }
  assert.deepEqual(page.failures, []);
});

test('items 38, 39: files that a page sends as multipart/form-data', async (t) => {
  const { browser, home: url } = await serve(t, (router) => {
    router.post('/multipart', async (request, response) => {
      // The Response of Node.js parses what the page sent.
      const type = request.get('Content-Type');
      const body = new Response(await bodyOf(request), { headers: { 'Content-Type': type } });
      const form = await body.formData();
      const file = Buffer.from(await form.get('file').arrayBuffer());
      response.send(`${form.get('name')} ${form.get('file').name} ${file.length} ` +
        file.every((x, i) => x === ((i * 7 + (i >> 8)) & 255)));
    });
  });
  const page = await browser.page();
  await page.goto(url);
  for (const size of [10, 70000, 5 << 20]) {
    assert.equal(await page.evaluate(`sendFile(${size})`), `grün file.bin ${size} true`);
  }
  assert.deepEqual(page.failures, []);
});

test(`server-sent events reach the page within ${eventDelayMax} ms each`, async (t) => {
  const { browser, home: url } = await serve(t, (router) => {
    router.get('/events', (request, response) => {
      assert.equal(request.get('Accept'), 'text/event-stream');
      response.set({ 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache' });
      const timer = setInterval(() => response.write(`data: ${Date.now()}\n\n`), 50);
      response.on('close', () => clearInterval(timer));
    });
  });
  const page = await browser.page();
  await page.goto(url);
  const delays = await page.evaluate(`listen("events", ${events})`);
  assert.equal(delays.length, events);
  t.diagnostic(`${events} events; slowest after ${Math.max(...delays)} ms`);
  for (const [i, ms] of delays.entries()) {
    assert.ok(ms < eventDelayMax, `event ${i} came after ${ms} ms`);
  }
  assert.deepEqual(page.failures, []);
});

test('two streams and pages at once in one browser', async (t) => {
  const { browser, home: url } = await serve(t, (router) => {
    router.get('/events', (request, response) => {
      response.set('Content-Type', 'text/event-stream');
      const timer = setInterval(() => response.write(`data: ${Date.now()}\n\n`), 50);
      response.on('close', () => clearInterval(timer));
    });
  });
  const pages = [await browser.page(), await browser.page()];
  for (const page of pages) await page.goto(url);
  const both = await Promise.all(pages.map((page) => page.evaluate(`Promise.all(
    [listen("events", ${events}), digest("style.css"), digest("./"), digest("script.js")])`)));
  for (const [delays, ...digests] of both) {
    assert.ok(Math.max(...delays) < eventDelayMax, `${delays}`);
    for (const [, length] of digests) assert.ok(length > 0);
  }
});

test('a tab that closes ends the stream at the application within a second', async (t) => {
  const streams = [];
  const { browser, home: url } = await serve(t, (router) => {
    router.get('/events', (request, response) => {
      response.set('Content-Type', 'text/event-stream');
      response.write(`data: ${Date.now()}\n\n`);
      const ended = new Promise((resolve) => {
        response.on('close', () => resolve(Date.now()));
      });
      const code = new Promise((resolve) => response.socket.on('close', resolve));
      streams.push({ ended, code });
    });
  });
  for (const how of ['the tab closes', 'the page goes elsewhere', 'EventSource.close']) {
    const page = await browser.page();
    await page.goto(url);
    assert.equal(await page.evaluate(`new Promise((resolve) => {
      window.source = new EventSource('events');
      window.source.onmessage = () => resolve('open');
    })`), 'open');
    const begun = Date.now();
    if (how === 'the tab closes') await page.close();
    else if (how === 'the page goes elsewhere') await page.goto('about:blank');
    else await page.evaluate('window.source.close()');
    const { ended, code } = streams.pop();
    const after = await within(5000, `the application's close when ${how}`, ended) - begun;
    assert.ok(after < 1000, `${how}: the application saw it after ${after} ms`);
    assert.equal(await code, 1001, `${how}: the code of the rendezvous connection's close`);
  }
});

test('a download of 20 MiB and its checksum in the page', async (t) => {
  const bytes = pattern(20 << 20);
  const { browser, home: url } = await serve(t, (router) => {
    router.get('/file', (request, response) => {
      response.attachment('file.bin').send(bytes);
    });
  });
  const page = await browser.page();
  await page.goto(url);
  const hash = await page.evaluate(`fetch('file').then((response) => response.arrayBuffer())
    .then((data) => crypto.subtle.digest('SHA-256', data))
    .then((digest) => Array.from(new Uint8Array(digest),
      (x) => x.toString(16).padStart(2, '0')).join(''))`);
  assert.equal(hash, sha256(bytes));
});
