'use strict';

// The listeners that answer relayed HTTP requests: the npm package hyco-https,
// unmodified, and one made of the current ws, which speaks the protocol by
// itself and can so be as odd as any client.

const https = require('hyco-https');
const ws = require('ws');
const { within } = require('./gateway.js');
const { Refused } = require('./peers.js');

const patience = 15000; // milliseconds, for every wait

/**
 * hyco-https as listener, with a handler as for http.createServer. The id, if
 * any, is the listener's own, which senders may choose it by; other options go
 * to the package. By itself it would reconnect for ever: it ends with the test t.
 */
async function httpsListener(t, gateway, entity, handler, { id, ...options } = {}) {
  const uri = gateway.listenUri(entity) + (id ? `&sb-hc-id=${id}` : '');
  const server = https.createRelayedServer(
    { server: uri, token: gateway.token(entity), ...options }, (request, response) => {
      // The connection that it makes for a large response has no handler for
      // errors; without one, a failed dial would end this process.
      response.on('socket', (socket) => {
        if (socket !== server.controlChannel) socket.on('error', (e) => server.errors.push(e));
      });
      handler(request, response);
    });
  server.errors = [];
  server.on('error', (event) => server.errors.push(event.error || event));
  t.after(() => {
    server.closeRequested = true;
    server.controlChannel.terminate();
  });
  const listening = new Promise((resolve) => server.on('listening', resolve));
  server.listen();
  const refused = new Promise((resolve, reject) => {
    server.controlChannel.on('unexpected-response', (request, response) => {
      server.closeRequested = true;
      reject(new Refused(response.statusCode, response.statusMessage));
      request.destroy();
    });
  });
  refused.catch(() => {});
  await within(patience, 'the registration', Promise.race([listening, refused]));
  return server;
}

/** Reads the body of a request of hyco-https. */
function bodyOf(request) {
  return new Promise((resolve, reject) => {
    const parts = [];
    request.on('data', (part) => parts.push(part));
    request.on('end', () => resolve(Buffer.concat(parts)));
    request.on('error', reject);
  });
}

/**
 * A listener that speaks the protocol by itself. onRequest(request, exchange)
 * is called when a request is there whole. request is the protocol's message
 * with the body as a Buffer in .body, or null, and .form, "control" or
 * "rendezvous". exchange has
 *
 *   channel:         where the request came: control or rendezvous WebSocket
 *   respond(fields, body, options): the response there, in one piece
 *   dial():          a new WebSocket to the request's address, open
 *
 * The result has control, the requests so far, and offers: the short messages
 * of requests by rendezvous. With onOffer(address, id), nobody dials by itself.
 */
async function rawListener(t, gateway, entity, onRequest, { onOffer } = {}) {
  const listener = { requests: [], offers: [], sockets: [] };
  function open(address, headers = {}) {
    const socket = new ws.WebSocket(address, { headers, maxPayload: 0, perMessageDeflate: false });
    listener.sockets.push(socket);
    return socket;
  }
  function take(request, body, channel, form) {
    const whole = { ...request, body, form };
    listener.requests.push(whole);
    onRequest(whole, {
      channel,
      respond: (fields, data, options) => respond(channel, request.id, fields, data, options),
      dial: () => connected(open(request.address)),
    });
  }
  function readFrom(channel, form) {
    let waiting = null; // the request whose body comes next
    channel.on('message', (data, binary) => {
      if (binary) {
        const request = waiting;
        waiting = null;
        take(request, data, channel, form);
        return;
      }
      const { request } = JSON.parse(data);
      if (request.method === undefined) {
        listener.offers.push(request);
        if (onOffer) onOffer(request.address, request.id);
        else readFrom(open(request.address), 'rendezvous');
      } else if (request.body) {
        waiting = request;
      } else {
        take(request, null, channel, form);
      }
    });
    channel.on('error', () => {}); // what the test wants to know comes by close
  }
  listener.control = open(gateway.listenUri(entity),
    { ServiceBusAuthorization: gateway.token(entity) });
  t.after(() => listener.sockets.forEach((socket) => socket.terminate()));
  readFrom(listener.control, 'control');
  await connected(listener.control);
  return listener;
}

/** Sends a response and, if there is one, its body as one message. */
function respond(channel, id, fields, data, options = {}) {
  const body = data !== undefined;
  channel.send(JSON.stringify({ response: { requestId: id, statusCode: 200,
    statusDescription: 'OK', responseHeaders: {}, body, ...fields } }));
  if (body) channel.send(data, { binary: true, ...options });
}

function connected(socket) {
  return within(patience, 'the handshake', new Promise((resolve, reject) => {
    socket.on('open', () => resolve(socket));
    socket.on('unexpected-response', (request, response) => {
      reject(new Refused(response.statusCode, response.statusMessage));
      request.destroy();
    });
    socket.on('error', reject);
  }));
}

/** The close of a WebSocket: {code, reason, after}, after in milliseconds. */
function closeOf(socket) {
  const begun = Date.now();
  return within(patience, 'the close', new Promise((resolve) => {
    socket.on('close', (code, reason) => {
      resolve({ code, reason: String(reason), after: Date.now() - begun });
    });
  }));
}

module.exports = { httpsListener, rawListener, bodyOf, closeOf };
