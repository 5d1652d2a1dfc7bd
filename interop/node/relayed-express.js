'use strict';

// Express as an application of hyco-https. Neither is changed; this is what an
// application has to add, wherever it is relayed:
//
//   - Express gives every request and response the prototypes of Node's own
//     HTTP server. Those of hyco-https go in between.
//   - Express and its parts ask the socket whether a request is finished, and
//     the headers whether there is a body. hyco-https has WebSockets in place
//     of sockets, and a relayed request has neither of the headers that tell.
//   - hyco-https never says that a response is finished, and what waits for it
//     would stay on the control channel for ever.

const express = require('express');
const https = require('hyco-https');
const { IncomingMessage } = require('hyco-https/lib/_hyco_incoming');

Object.setPrototypeOf(express.request, IncomingMessage.prototype);
Object.setPrototypeOf(express.response, https.ServerResponse.prototype);

/** The handler for hyco-https that serves an Express application. */
function handlerOf(app) {
  return (request, response) => {
    const sockets = [request.socket, response.socket];
    for (const socket of sockets) if (socket) socket.readable = socket.writable = true;
    response.on('socket', (socket) => { socket.readable = socket.writable = true; });
    if (!['GET', 'HEAD'].includes(request.method)) {
      request.headers['transfer-encoding'] = 'chunked';
    }
    const { end } = response;
    response.end = (...args) => {
      end.apply(response, args);
      process.nextTick(() => response.emit('finish'));
      return response;
    };
    app(request, response);
  };
}

module.exports = { express, handlerOf };
