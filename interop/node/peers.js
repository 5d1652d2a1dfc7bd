'use strict';

// The clients in the roles of listener and sender, each behind the same few
// calls, so that a test reads the same for all of them:
//
//   listener: close(), and what the test asked it to do with senders
//   sender:   send(data), next() -> {data, binary}, close(code, reason),
//             closed -> promise of {code, reason}, protocol
//
// Nothing in the clients is changed; only their public calls are used.

const hyco = require('hyco-ws');
const ws = require('ws');
const { client: WebSocketClient } = require('websocket');
const { within } = require('./gateway.js');

const patience = 15000; // milliseconds, for every wait

/** The error of a refused handshake: what the HTTP answer said. */
class Refused extends Error {
  constructor(status, reason) {
    super(`refused: ${status} ${reason}`);
    this.status = status;
    this.reason = reason;
  }
}

/** Messages that came and those who wait for them, in order. */
class Inbox {
  constructor() { this.messages = []; this.waiting = []; }

  put(message) {
    const waiting = this.waiting.shift();
    if (waiting) waiting(message);
    else this.messages.push(message);
  }

  next() {
    if (this.messages.length > 0) return Promise.resolve(this.messages.shift());
    return within(patience, 'a message',
      new Promise((resolve) => this.waiting.push(resolve)));
  }
}

/** Wraps an open socket of ws, old (1.x, flags) or new (8.x, isBinary). */
function wrapWs(socket) {
  const inbox = new Inbox();
  socket.on('message', (data, flags) => {
    const binary = typeof flags === 'object' ? Boolean(flags.binary) : flags;
    inbox.put({ data: Buffer.from(data), binary });
  });
  const closed = new Promise((resolve) => {
    socket.on('close', (code, reason) => resolve({ code, reason: String(reason) }));
  });
  return {
    socket,
    closed: () => within(patience, 'the close', closed),
    next: () => inbox.next(),
    send: (data, options) => socket.send(data, options),
    close: (code, reason) => socket.close(code, reason),
    get protocol() { return socket.protocol || ''; },
  };
}

/** Waits for a socket of ws to open; a refusal becomes Refused. */
function opened(socket) {
  const wrapped = wrapWs(socket);
  return within(2 * patience, 'the handshake', new Promise((resolve, reject) => {
    socket.on('open', () => resolve(wrapped));
    socket.on('unexpected-response', (request, response) => {
      reject(new Refused(response.statusCode, response.statusMessage));
      request.destroy();
    });
    socket.on('error', reject);
  }));
}

/** hyco-ws as sender. */
function hycoSender(uri, token) {
  return opened(hyco.relayedConnect(uri, token));
}

/** The current ws as sender; options as for its constructor. */
function wsSender(uri, token, protocols = [], options = {}) {
  const headers = token ? { ServiceBusAuthorization: token } : {};
  return opened(new ws.WebSocket(uri, protocols, { headers, ...options }));
}

/** The websocket package, which has a framer of its own, as sender. */
function websocketSender(uri, token, protocols = []) {
  const headers = token ? { ServiceBusAuthorization: token } : {};
  const client = new WebSocketClient({ maxReceivedMessageSize: 64 << 20,
    maxReceivedFrameSize: 1 << 20 });
  return within(2 * patience, 'the handshake', new Promise((resolve, reject) => {
    client.on('connect', (connection) => resolve(wrapWebsocket(connection)));
    client.on('httpResponse', (response) => {
      reject(new Refused(response.statusCode, response.statusMessage));
    });
    client.on('connectFailed', reject);
    client.connect(uri, protocols, undefined, headers);
  }));
}

function wrapWebsocket(connection) {
  const inbox = new Inbox();
  connection.on('message', (message) => {
    const binary = message.type === 'binary';
    inbox.put({ data: binary ? message.binaryData : Buffer.from(message.utf8Data), binary });
  });
  connection.on('error', () => {}); // the close event follows
  const closed = new Promise((resolve) => {
    connection.on('close', (code, reason) => resolve({ code, reason: String(reason) }));
  });
  return {
    connection,
    closed: () => within(patience, 'the close', closed),
    next: () => inbox.next(),
    send: (data) => (Buffer.isBuffer(data) ? connection.sendBytes(data)
      : connection.sendUTF(data)),
    close: (code, reason) => connection.close(code, reason),
    get protocol() { return connection.protocol || ''; },
  };
}

/** Sends back what comes; for sockets of ws, old or new. */
function echo(socket) {
  socket.on('message', (data, flags) => {
    const binary = typeof flags === 'object' ? Boolean(flags.binary) : flags;
    socket.send(data, { binary });
  });
  socket.on('error', () => {}); // the sender sees how it ends
}

/**
 * hyco-ws as listener. The server keeps every refusal and error in `errors`
 * and stops on the first: by itself it would reconnect without any pause.
 */
async function hycoListener(t, gateway, entity, onConnection = echo, options = {}) {
  const server = hyco.createRelayedServer({ server: gateway.listenUri(entity),
    token: gateway.token(entity), ...options }, onConnection);
  const errors = [];
  server.on('error', (error) => {
    errors.push(error);
    server.closeRequested = true;
  });
  t.after(() => {
    server.closeRequested = true;
    for (const client of server.clients) client.terminate();
    server.controlChannel.terminate();
  });
  const refused = new Promise((resolve, reject) => {
    server.controlChannel.on('unexpected-response', (request, response) => {
      server.closeRequested = true;
      reject(new Refused(response.statusCode, response.statusMessage));
      request.destroy();
    });
  });
  const listening = new Promise((resolve) => server.on('listening', resolve));
  await within(patience, 'the registration', Promise.race([listening, refused]));
  refused.catch(() => {});
  server.errors = errors;
  return server;
}

/** A listener made of the current ws: accepts every sender with onConnection. */
async function wsListener(t, gateway, entity, onConnection = echo) {
  const { socket: control } = await wsSender(gateway.listenUri(entity),
    gateway.token(entity));
  const clients = [];
  t.after(() => [control, ...clients].forEach((client) => client.terminate()));
  control.on('message', (data) => {
    const { accept } = JSON.parse(data);
    const offer = Object.entries(accept.connectHeaders)
      .find(([name]) => name.toLowerCase() === 'sec-websocket-protocol');
    const protocols = offer ? [offer[1].split(/, */)[0]] : [];
    const client = new ws.WebSocket(accept.address, protocols);
    clients.push(client);
    onConnection(client);
  });
  return { control, clients, close: () => control.close(1000) };
}

module.exports = { Refused, hycoSender, wsSender, websocketSender, hycoListener,
  wsListener, echo };
