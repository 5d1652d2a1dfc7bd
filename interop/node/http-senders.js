'use strict';

// The senders of HTTP requests, each behind the same call, so that a test can
// go through them:
//
//   send(url, {method, headers, body, pieces, agent}) ->
//     {status, reason, headers, pairs, body, ...}
//
// body is a Buffer or a string and goes with a Content-Length; pieces is an
// array of Buffers and goes in chunks. In the result, headers has lower-case
// names and joined values, pairs the fields one by one, body is a Buffer.
// Redirects are not followed, and nothing is decoded.

const { spawn } = require('node:child_process');
const crypto = require('node:crypto');
const http = require('node:http');
const https = require('node:https');
const net = require('node:net');
const { ReadableStream } = require('node:stream/web');
const { within, authority, overTLS, moreFlags } = require('./gateway.js');

const patience = 30000; // milliseconds, for every request

/** Fetch of Node.js. Its own answer to 407 is a failure: it is no proxy's. */
async function viaFetch(url, { method = 'GET', headers = {}, body, pieces } = {}) {
  const options = { method, headers, redirect: 'manual' };
  if (pieces) Object.assign(options, { body: streamOf(pieces), duplex: 'half' });
  else if (body !== undefined) options.body = body;
  const response = await within(patience, `fetch ${method} ${url}`, fetch(url, options));
  const whole = await within(patience, `the body of ${url}`, response.arrayBuffer());
  return answer(response.status, response.statusText, [...response.headers],
    Buffer.from(whole));
}

function streamOf(pieces) {
  const rest = [...pieces];
  return new ReadableStream({
    pull(controller) {
      if (rest.length > 0) controller.enqueue(new Uint8Array(rest.shift()));
      else controller.close();
    },
  });
}

/**
 * http.request of Node.js. With an agent that keeps connections alive,
 * reused tells whether an earlier request had used the connection.
 */
function viaHttp(url, options = {}) {
  const { body, pieces } = options;
  const request = openRequest(url, options);
  const answered = new Promise((resolve, reject) => {
    request.on('error', reject);
    request.on('response', (response) => {
      const parts = [];
      response.on('error', reject);
      response.on('data', (part) => parts.push(part));
      response.on('end', () => {
        const pairs = pairsOf(response.rawHeaders);
        resolve({ ...answer(response.statusCode, response.statusMessage, pairs,
          Buffer.concat(parts)), reused: request.reusedSocket });
      });
    });
  });
  for (const piece of pieces || []) request.write(piece);
  request.end(pieces ? undefined : body);
  return within(patience, `${request.method} ${url}`, answered)
    .finally(() => request.destroy());
}

/** A request of http.request that the test writes by itself. */
function openRequest(url, { method = 'GET', headers = {}, body, pieces, agent, path,
  localAddress } = {}) {
  const framing = {};
  if (pieces) framing['Transfer-Encoding'] = 'chunked';
  else if (body !== undefined) framing['Content-Length'] = Buffer.byteLength(body);
  const options = { method, headers: { ...headers, ...framing }, agent: agent || false,
    localAddress };
  if (path !== undefined) options.path = path; // as it is, without any cleaning
  return (url.startsWith('https:') ? https : http).request(url, options);
}

/** curl as a process of its own; args are more arguments. */
async function viaCurl(url, { method = 'GET', headers = {}, body, pieces, args = [] } = {}) {
  const command = ['-sS', '-i', '--noproxy', '*', '--globoff', '--path-as-is', '--http1.1',
    '--max-time', String(patience / 1000), ...args];
  if (authority) command.push('--cacert', authority);
  if (method === 'HEAD') command.push('--head');
  else command.push('-X', method);
  for (const [name, value] of Object.entries(headers)) command.push('-H', `${name}: ${value}`);
  let input;
  if (pieces) {
    command.push('-H', 'Transfer-Encoding: chunked', '-H', 'Content-Type:');
    input = Buffer.concat(pieces);
  } else if (body !== undefined) {
    input = Buffer.from(body);
  }
  if (input) command.push('--data-binary', '@-');
  const { code, stdout, stderr } = await run('curl', [...command, url], input);
  if (code !== 0) throw new Error(`curl ended with ${code}: ${stderr}`);
  return parseAnswer(stdout);
}

/** Parses what `curl -i` prints, leaving out interim answers. */
function parseAnswer(output) {
  for (let rest = output; ;) {
    const end = rest.indexOf('\r\n\r\n');
    if (end < 0) throw new Error(`no head in ${JSON.stringify(String(rest.subarray(0, 500)))}`);
    const [first, ...lines] = rest.subarray(0, end).toString('latin1').split('\r\n');
    const match = /^HTTP\/1\.1 (\d{3}) (.*)$/.exec(first);
    if (!match) throw new Error(`no status line: ${JSON.stringify(first)}`);
    rest = rest.subarray(end + 4);
    if (match[1].startsWith('1')) continue;
    const pairs = lines.map((line) => {
      const colon = line.indexOf(': ');
      return [line.slice(0, colon), line.slice(colon + 2)];
    });
    return answer(Number(match[1]), match[2], pairs, rest);
  }
}

/**
 * Sends bytes as they are and returns everything that comes until the end. With
 * halfClose, no more can follow, and the gateway sees the end of the stream.
 */
function viaSocket(gateway, data, { halfClose = false } = {}) {
  const [host, port] = gateway.http.split(':');
  const socket = net.connect({ host, port: Number(port), allowHalfOpen: halfClose }, () => {
    if (halfClose) socket.end(data);
    else socket.write(data);
  });
  const parts = [];
  socket.on('data', (part) => parts.push(part));
  return within(patience, 'the end of the connection', new Promise((resolve, reject) => {
    socket.on('error', reject);
    socket.on('end', () => resolve(Buffer.concat(parts)));
  })).finally(() => socket.destroy());
}

function answer(status, reason, pairs, body) {
  const headers = {};
  for (const [name, value] of pairs) {
    const key = name.toLowerCase();
    headers[key] = key in headers ? `${headers[key]}, ${value}` : value;
  }
  return { status, reason, headers, pairs, body };
}

function pairsOf(rawHeaders) {
  const pairs = [];
  for (let i = 0; i < rawHeaders.length; i += 2) pairs.push([rawHeaders[i], rawHeaders[i + 1]]);
  return pairs;
}

/** Runs a program to its end and returns {code, stdout, stderr}; options as for spawn. */
function run(command, args, input, options = {}) {
  const child = spawn(command, args, { ...options, stdio: ['pipe', 'pipe', 'pipe'] });
  const stdout = [];
  let stderr = '';
  child.stdout.on('data', (data) => stdout.push(data));
  child.stderr.on('data', (text) => { stderr += text; });
  child.stdin.on('error', () => {}); // it may end without reading everything
  child.stdin.end(input);
  const ended = new Promise((resolve, reject) => {
    child.on('error', (error) => reject(new Error(
      `${command} is missing; see tools/prerequisites: ${error.message}`)));
    child.on('close', (code) => resolve({ code, stdout: Buffer.concat(stdout), stderr }));
  });
  return within(2 * patience, command, ended).finally(() => child.kill('SIGKILL'));
}

/** An agent that keeps one connection alive; it ends with the test t. */
function keepAlive(t, maxSockets = 1) {
  const { Agent } = overTLS.includes('sender') ? https : http;
  const agent = new Agent({ keepAlive: true, maxSockets });
  t.after(() => agent.destroy());
  return agent;
}

/** Bytes that tell when some are missing, doubled or moved. */
function pattern(size, seed = 0) {
  const bytes = Buffer.allocUnsafe(size);
  let x = (seed * 2654435761 + 1) >>> 0;
  for (let i = 0; i < size; i++) {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    bytes[i] = x >>> 24;
  }
  return bytes;
}

function sha256(bytes) {
  return crypto.createHash('sha256').update(bytes).digest('hex');
}

/** All senders by name. */
const senders = { fetch: viaFetch, 'http.request': viaHttp, curl: viaCurl };
if (overTLS.includes('sender')) {
  const curls = { 'curl, TLS 1.3': ['--tlsv1.3'], 'curl, HTTP/2 offered': ['--http2'] };
  if (!moreFlags.includes('1.3')) curls['curl, TLS 1.2'] = ['--tls-max', '1.2'];
  for (const [name, args] of Object.entries(curls)) {
    senders[name] = (url, options = {}) => viaCurl(url,
      { ...options, args: [...args, ...(options.args || [])] });
  }
}

module.exports = { senders, viaFetch, viaHttp, viaCurl, viaSocket, openRequest, run, keepAlive,
  pattern, sha256 };
