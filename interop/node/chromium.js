'use strict';

// Drives a headless Chromium through its DevTools protocol, over one WebSocket.
// The browser has an empty profile and resolves no name: it talks to loopback
// only. It trusts the authority of gateway.js as a user's own: by the NSS database
// of its home.

const { spawn, execFileSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const ws = require('ws');
const { delay, within, authority } = require('./gateway.js');

const patience = 20000; // milliseconds, for every wait
const names = ['chromium', 'chromium-browser', 'google-chrome'];
const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
  '--disable-dev-shm-usage', '--no-proxy-server', '--remote-debugging-port=0',
  '--disable-features=BackForwardCache', // which keeps the connections of pages that were left
  '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1'];

/** Starts a browser; it ends with the test t. */
async function startBrowser(t) {
  const command = names.find((name) => process.env.PATH.split(path.delimiter)
    .some((folder) => fs.existsSync(path.join(folder, name))));
  if (!command) throw new Error(`none of ${names} is there; see tools/prerequisites`);
  const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'chromium-'));
  const child = spawn(command, [...flags, `--user-data-dir=${profile}`, 'about:blank'],
    { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, ...homeIn(profile) } });
  let log = '';
  child.stderr.on('data', (text) => { log += text; });
  const exited = new Promise((resolve) => child.on('close', resolve));
  const browser = new Browser();
  t.after(async () => {
    if (browser.socket) browser.call('Browser.close').catch(() => {});
    await within(5000, 'the end of the browser', exited).catch(() => child.kill('SIGKILL'));
    await exited;
    fs.rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  });

  const file = path.join(profile, 'DevToolsActivePort');
  for (const begun = Date.now(); ;) {
    const [port, where] = fs.existsSync(file) ? fs.readFileSync(file, 'utf8').split('\n') : [];
    if (where) {
      await browser.connect(`ws://127.0.0.1:${port}${where}`);
      return browser;
    }
    if (child.exitCode !== null || Date.now() - begun > patience) {
      throw new Error(`${command} did not start:\n${log}`);
    }
    await delay(20);
  }
}

/** The environment of a browser that trusts the authority, if there is one. */
function homeIn(profile) {
  if (!authority) return {};
  const database = path.join(profile, '.pki', 'nssdb');
  fs.mkdirSync(database, { recursive: true });
  for (const args of [['-N', '--empty-password'], ['-A', '-t', 'C,,', '-n', 'ca', '-i', authority]]) {
    execFileSync('certutil', ['-d', `sql:${database}`, ...args], { stdio: 'pipe' });
  }
  return { HOME: profile };
}

class Browser {
  constructor() { this.calls = new Map(); this.pages = new Map(); this.last = 0; }

  connect(url) {
    this.socket = new ws.WebSocket(url, { maxPayload: 0, perMessageDeflate: false });
    this.socket.on('message', (data) => this.take(JSON.parse(data)));
    return within(patience, 'DevTools', new Promise((resolve, reject) => {
      this.socket.on('open', resolve);
      this.socket.on('error', reject);
    }));
  }

  take({ id, result, error, method, params, sessionId }) {
    if (id === undefined) {
      const page = this.pages.get(sessionId);
      if (page) page.event(method, params);
      return;
    }
    const { resolve, reject } = this.calls.get(id);
    this.calls.delete(id);
    if (error) reject(new Error(`${error.message} ${error.data || ''}`));
    else resolve(result);
  }

  /** Calls a method of the DevTools protocol. */
  call(method, params = {}, sessionId = undefined) {
    const id = ++this.last;
    const done = new Promise((resolve, reject) => this.calls.set(id, { resolve, reject }));
    this.socket.send(JSON.stringify({ id, method, params, sessionId }));
    return within(patience, method, done);
  }

  /** Opens a tab. */
  async page() {
    const { targetId } = await this.call('Target.createTarget', { url: 'about:blank' });
    const { sessionId } = await this.call('Target.attachToTarget', { targetId, flatten: true });
    const page = new Page(this, targetId, sessionId);
    this.pages.set(sessionId, page);
    await page.call('Page.enable');
    await page.call('Runtime.enable');
    return page;
  }
}

class Page {
  constructor(browser, targetId, sessionId) {
    Object.assign(this, { browser, targetId, sessionId, failures: [], waiting: [] });
  }

  call(method, params) { return this.browser.call(method, params, this.sessionId); }

  event(method, params) {
    if (method === 'Runtime.exceptionThrown') {
      this.failures.push(params.exceptionDetails.exception.description);
    }
    if (method === 'Page.loadEventFired') this.waiting.splice(0).forEach((resolve) => resolve());
  }

  /** Waits until the page that an action leads to has been loaded. */
  async loaded(what, action) {
    const load = new Promise((resolve) => this.waiting.push(resolve));
    await action();
    await within(patience, `the load event after ${what}`, load);
  }

  async goto(url) {
    await this.loaded(url, async () => {
      const { errorText } = await this.call('Page.navigate', { url });
      if (errorText) throw new Error(`${url}: ${errorText}`);
    });
  }

  /** The value of an expression, or of the promise that it is, in the page. */
  async evaluate(expression) {
    const { result, exceptionDetails } = await this.call('Runtime.evaluate',
      { expression, awaitPromise: true, returnByValue: true });
    if (exceptionDetails) throw new Error(exceptionDetails.exception.description);
    return result.value;
  }

  /** Closes the tab. */
  close() { return this.browser.call('Target.closeTarget', { targetId: this.targetId }); }
}

module.exports = { startBrowser };
