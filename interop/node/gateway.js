'use strict';

// Starts the gateway under test for one test, and speaks of its addresses. By
// the environment, which tls.test.js sets, clients come over TLS:
//
//   RELAYHOUSE_TLS       "listener", "sender" or "listener,sender": who does
//   RELAYHOUSE_FLAGS     more flags for every gateway, separated by blanks
//   NODE_EXTRA_CA_CERTS  ca.pem of an authority, with ca-key.pem beside it, by
//                        which gateways get their certificates

const { spawn } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const hyco = require('hyco-ws');

const binary = process.env.RELAYHOUSE_BIN ||
  path.join(__dirname, '..', '..', 'bin', 'relayhouse');

// The emulator's rule and entities.
const keyName = 'RootManageSharedAccessKey';
const key = 'SAS_KEY_VALUE';
const authenticated = 'authenticated';
const anonymous = 'unauthenticated';

const readyTimeout = 10000; // milliseconds

const overTLS = (process.env.RELAYHOUSE_TLS || '').split(',').filter(Boolean);
const moreFlags = (process.env.RELAYHOUSE_FLAGS || '').split(' ').filter(Boolean);
const authority = process.env.NODE_EXTRA_CA_CERTS;

/** Starts `relayhouse dev` with more flags, if any; it ends with the test t. */
async function start(t, flags = []) {
  const data = fs.mkdtempSync(path.join(os.tmpdir(), 'relayhouse-'));
  if (overTLS.length > 0) {
    for (const file of ['ca.pem', 'ca-key.pem']) {
      fs.copyFileSync(path.join(path.dirname(authority), file), path.join(data, file));
    }
  }
  const child = spawn(binary, ['dev', '--http', '127.0.0.1:0', '--https', '127.0.0.1:0',
    '--admin', '127.0.0.1:0', '--data-dir', data, ...moreFlags, ...flags], { stdio: ['ignore', 'pipe', 'pipe'] });
  let log = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (text) => { log += text; });
  }
  const exited = new Promise((resolve) => child.on('exit', resolve));
  t.after(async () => {
    const endedByItself = child.exitCode !== null;
    child.kill('SIGKILL');
    await exited;
    fs.rmSync(data, { recursive: true, force: true });
    if (endedByItself) throw new Error('the gateway ended by itself:\n' + log);
    // A binary built with -race tells on its output, and goes on.
    if (log.includes('WARNING: DATA RACE')) throw new Error('a data race:\n' + log);
  });

  const file = path.join(data, 'endpoints.json');
  for (const begun = Date.now(); !fs.existsSync(file);) {
    if (child.exitCode !== null || Date.now() - begun > readyTimeout) {
      throw new Error('the gateway did not start:\n' + log);
    }
    await delay(20);
  }
  const gateway = new Gateway(JSON.parse(fs.readFileSync(file, 'utf8')), child.pid);
  gateway.data = data;
  return gateway;
}

/**
 * A running gateway: http is the address of its plain port, https that of its
 * port with TLS; host is the one that senders use.
 */
class Gateway {
  constructor(endpoints, pid) {
    const { http, https } = endpoints;
    Object.assign(this, { http, https, pid, endpoints });
  }

  get host() { return overTLS.includes('sender') ? this.https : this.http; }

  /** The most memory that the process has had so far, in MiB; Linux tells. */
  memoryMax() {
    const status = fs.readFileSync(`/proc/${this.pid}/status`, 'utf8');
    return Math.round(Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)[1]) / 1024);
  }

  /** The address of an entity for senders; query is what follows the question mark. */
  uri(entity, query) { return `${this.base('sender')}/$hc/${entity}?${query}`; }
  listenUri(entity) { return `${this.base('listener')}/$hc/${entity}?sb-hc-action=listen`; }
  connectUri(entity) { return this.uri(entity, 'sb-hc-action=connect'); }

  /** What addresses begin with for "listener" or "sender", as each uses it. */
  base(role) { return overTLS.includes(role) ? `wss://${this.https}` : `ws://${this.http}`; }

  /** The address for relayed HTTP; rest is a suffix, a query or both. */
  url(entity, rest = '') { return `http${this.base('sender').slice(2)}/${entity}${rest}`; }

  /** The headers that a sender of HTTP needs for the entity. */
  authorization(entity) {
    return entity === anonymous ? {} : { ServiceBusAuthorization: this.token(entity) };
  }

  /** A token as hyco-ws signs it: port kept, no slash at the end. */
  token(entity, seconds = 3600, secret = key) {
    return hyco.createRelayToken(this.listenUri(entity), keyName, secret, seconds);
  }
}

function delay(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Fails when the promise is not settled in time. */
function within(milliseconds, what, promise) {
  let timer;
  const late = new Promise((resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${milliseconds} ms`)),
      milliseconds);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

module.exports = { start, Gateway, delay, within, authenticated, anonymous, binary, authority,
  overTLS, moreFlags };
