'use strict';

// The files of deploy/ with the balancers that they are for, in front of a gateway. What has
// to work through each is in balancer-cases.js.

const test = require('node:test');
const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { start, delay, within } = require('./gateway.js');
const { run } = require('./http-senders.js');
const { cases } = require('./balancer-cases.js');

const deploy = path.join(__dirname, '..', '..', 'deploy');
const startTime = 10000; // milliseconds
const folders = ['haproxy', 'nginx', 'caddy'];

// What to start:
//   file:        in deploy/
//   env:         more variables for deploy/try
//   flags:       more flags for the gateway
//   keepsReason: passes the reason phrase of a response on; Caddy writes its own
//   readyz:      does not ask for /readyz itself, but passes it on
//   forwarded:   "gateway" if it is the gateway that adds X-Forwarded-For, for want of HTTP in
//                the balancer
//   without:     cases that have no meaning there
//   port:        of the gateway, "https" where TLS ends there
//   mode:        for the test's name, where a file has two
//   demands:     the gateway wants a PROXY protocol header of everybody
// Senders' addresses come in a PROXY protocol header or in X-Forwarded-For: either way the
// gateway believes the balancer, and the listener is told the sender's.
const trusted = ['--http-trusted-proxies', '127.0.0.1'];
const headers = ['--proxy-protocol-networks', '127.0.0.1'];
const forwarded = ['--http-forwarded', 'x-forwarded'];
const balancers = [
  { file: 'haproxy/http.cfg', keepsReason: true, flags: trusted },
  { file: 'haproxy/http.cfg', mode: ' with PROXY headers', keepsReason: true, flags: headers,
    demands: true, env: { SEND_PROXY_V2: '1' } },
  { file: 'haproxy/tcp.cfg', keepsReason: true, forwarded: 'gateway', port: 'https',
    demands: true, flags: [...headers, ...forwarded] },
  { file: 'nginx/http.conf', keepsReason: true, readyz: true, flags: trusted },
  { file: 'nginx/stream.conf', keepsReason: true, forwarded: 'gateway', without: ['drain'],
    demands: true, flags: [...headers, ...forwarded] },
  { file: 'caddy/Caddyfile', flags: trusted },
];

for (const row of balancers) {
  const title = `balancer ${row.file}${row.mode || ''}`;
  test(title, async (t) => {
    // The gateway still serves while it drains, for longer than the test.
    const gateway = await start(t, ['--gateway-advertised-scheme', 'wss', '--drain-delay', '5m',
      ...[...cases, 'drain-ws'].flatMap((entity) => ['--hyco', `${entity}:anonymous`]),
      ...row.flags || []]);
    const { balancer, health, ca } = await startBalancer(t, row, gateway);
    const { pid, endpoints } = gateway;
    const env = { ...process.env, NODE_EXTRA_CA_CERTS: ca,
      RELAY: JSON.stringify({ balancer, health, pid, endpoints, row }) };
    for (const name of cases.filter((one) => !row.without?.includes(one))) {
      await t.test(`${title}: ${name}`, async () => {
        const { code, stderr } = await run(process.execPath,
          ['--no-deprecation', path.join(__dirname, 'balancer-cases.js'), name], '', { env });
        assert.equal(code, 0, stderr);
      });
    }
  });
}

for (const file of filesOf(deploy)) {
  for (const gateways of ['one gateway', 'two']) {
    test(`balancer ${file}, ${gateways}: its own checker`, async (t) => {
      const copy = folder(t);
      fs.cpSync(deploy, copy, { recursive: true });
      if (gateways === 'two') {
        const text = fs.readFileSync(path.join(copy, file), 'utf8');
        const without = text.replace(/^(\s*)#(?=\S)/gm, '$1'); // lines of prose go "# "
        assert.notEqual(without, text);
        fs.writeFileSync(path.join(copy, file), without);
      }
      const { code, stdout, stderr } = await run(path.join(copy, 'try'), ['--check', file], '',
        { env: { ...process.env, TRY_DIR: path.join(copy, 'tls') } });
      assert.equal(code, 0, `${stdout}${stderr}`);
      assert.doesNotMatch(`${stdout}${stderr}`, /not formatted|\[WARNING\]|\[warn\]/);
    });
  }
}

/** The files for balancers below a directory. */
function filesOf(directory) {
  return folders.flatMap((name) => fs.readdirSync(path.join(directory, name))
    .map((file) => `${name}/${file}`));
}

/**
 * Starts the balancer of a row in front of a gateway; it ends with the test t. The result
 * has its address, where nginx passes /readyz on, and the file of its CA.
 */
async function startBalancer(t, { file, env, port = 'http' }, { endpoints, data }) {
  const directory = folder(t);
  const balancer = `127.0.0.1:${await freePort()}`;
  const health = `127.0.0.1:${await freePort()}`;
  const child = spawn(path.join(deploy, 'try'), [file], { stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, BALANCER: balancer, HEALTH: health, GATEWAY: endpoints[port],
      ADMIN: endpoints.admin, TRY_DIR: directory, ...env } });
  let log = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (text) => { log += text; });
  }
  const exited = new Promise((resolve) => child.on('exit', resolve));
  t.after(async () => {
    const endedByItself = child.exitCode !== null;
    child.kill('SIGTERM'); // nginx and HAProxy have processes of their own to end
    await within(startTime, `the end of ${file}`, exited).finally(() => child.kill('SIGKILL'));
    if (endedByItself) throw new Error(`${file} ended by itself:\n${log}`);
  });
  for (const begun = Date.now(); !await accepts(balancer);) {
    if (child.exitCode !== null || Date.now() - begun > startTime) {
      throw new Error(`${file} did not start:\n${log}`);
    }
    await delay(20);
  }
  const ends = port === 'https' ? data : directory; // who ends TLS has the authority
  return { balancer, health, ca: path.join(ends, 'ca.pem') };
}

/** Whether something listens at an address. */
function accepts(address) {
  const [host, port] = address.split(':');
  return new Promise((resolve) => {
    const socket = net.connect({ host, port: Number(port) });
    socket.on('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}

/**
 * A port that is free, from below those that the kernel gives to clients: one of those
 * could be taken before the balancer has it.
 */
async function freePort() {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = 20000 + Math.floor(Math.random() * 12000);
    const server = net.createServer();
    const free = await new Promise((resolve) => {
      server.on('error', () => resolve(false));
      server.listen(port, '127.0.0.1', () => resolve(true));
    });
    await new Promise((resolve) => { server.close(resolve); });
    if (free) return port;
  }
  throw new Error('no free port');
}

/** A directory of the test t. */
function folder(t) {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'balancer-'));
  t.after(() => fs.rmSync(directory, { recursive: true, force: true }));
  return directory;
}
