'use strict';

// npm @azure/arm-relay, unmodified, with its endpoint option, against the
// management API; and hyco-ws with the connection strings that it gets.

const test = require('node:test');
const assert = require('node:assert/strict');
const fs = require('node:fs');
const https = require('node:https');
const path = require('node:path');
const hyco = require('hyco-ws');
const { RelayAPI } = require('@azure/arm-relay');
const { start, within } = require('./gateway.js');

const patience = 10000; // milliseconds
const subscription = '11111111-2222-3333-4444-555555555555';
const group = 'Team-A';
const root = 'RootManageSharedAccessKey';

/** A gateway and a client of its management API. */
async function manage(t, options = {}) {
  const gateway = await start(t, ['--management', '127.0.0.1:0']);
  const token = fs.readFileSync(path.join(gateway.data, 'management.token'), 'utf8').trim();
  const credential = {
    getToken: async () => ({ token: options.token || token, expiresOnTimestamp: Date.now() + 3600e3 }),
  };
  const endpoint = `https://${gateway.endpoints.management}`;
  const client = new RelayAPI(credential, options.subscription || subscription,
    { endpoint, ...options });
  for (const group of groupsOf(client)) client[group] = watched(group, client[group]);
  return { gateway, client, token, endpoint };
}

// The operations that have been called, as "group.operation".
const called = new Set();

const groupsOf = (client) => ['operations', 'namespaces', 'hybridConnections', 'wCFRelays']
  .filter((group) => client[group]);

/** All operations of a group of the client. */
const operationsOf = (group) => Object.getOwnPropertyNames(Object.getPrototypeOf(group))
  .filter((name) => name !== 'constructor' && !name.startsWith('_') &&
    !name.endsWith('PagingPage') && !name.endsWith('PagingAll'));

/** The group, noting which of its operations are called. */
const watched = (name, group) => new Proxy(group, {
  get(target, key) {
    const value = target[key];
    if (typeof value !== 'function') return value;
    called.add(`${name}.${String(key)}`);
    return value.bind(target);
  },
});

async function collect(pages) {
  const all = [];
  for await (const item of pages) all.push(item);
  return all;
}

const namesOf = (list) => list.map((item) => item.name).sort();

/** A namespace of the client's own. */
async function createNamespace(client, name, parameters = {}) {
  return within(patience, 'namespace', client.namespaces.beginCreateOrUpdateAndWait(group, name,
    { location: 'West US', sku: { name: 'Standard', tier: 'Standard' }, ...parameters }));
}

/** Where and with what a connection string says to connect. */
function parse(text) {
  const fields = Object.fromEntries(text.split(';').filter(Boolean)
    .map((part) => [part.slice(0, part.indexOf('=')), part.slice(part.indexOf('=') + 1)]));
  const url = new URL(fields.Endpoint);
  assert.equal(url.protocol, 'sb:');
  assert.ok(fields.Endpoint.endsWith('/'), fields.Endpoint);
  const token = (entity) => hyco.createRelayToken(`http://${url.host}/${entity}`,
    fields.SharedAccessKeyName, fields.SharedAccessKey);
  return { host: url.host, path: fields.EntityPath, token, keyName: fields.SharedAccessKeyName,
    key: fields.SharedAccessKey };
}

const addressOf = (host, entity, action) => `wss://${host}/$hc/${entity}?sb-hc-action=${action}`;

/** An echo listener by hyco-ws with a connection string; resolves when it listens. */
function listen(t, connectionString, entity) {
  const at = parse(connectionString);
  return within(patience, 'listener', new Promise((resolve, reject) => {
    const server = hyco.createRelayedServer({
      server: addressOf(at.host, entity || at.path, 'listen'),
      token: () => at.token(entity || at.path),
    }, (ws) => ws.on('message', (m) => ws.send(m)));
    t.after(() => server.close());
    server.on('listening', () => resolve(server));
    server.on('error', reject);
  }));
}

/** Sends a text by hyco-ws with a connection string, and resolves with what comes back. */
function echo(connectionString, text, entity) {
  const at = parse(connectionString);
  return within(patience, 'echo', new Promise((resolve, reject) => {
    const ws = hyco.relayedConnect(addressOf(at.host, entity || at.path, 'connect'),
      at.token(entity || at.path));
    ws.on('open', () => ws.send(text));
    ws.on('message', (m) => { resolve(m.toString()); ws.close(); });
    ws.on('error', reject);
  }));
}

test('operations and the name check', async (t) => {
  const { client } = await manage(t);
  const operations = await collect(client.operations.list());
  assert.ok(operations.length > 10);
  for (const o of operations) {
    assert.match(o.name, /^Microsoft\.Relay\//);
    assert.ok(o.display.provider && o.display.resource && o.display.operation, o.name);
  }
  const check = (name) => client.namespaces.checkNameAvailability({ name });
  assert.equal((await check('a-free-name')).nameAvailable, true);
  assert.equal((await check('x')).nameAvailable, false);
  assert.equal((await check('x')).reason, 'InvalidName');
  await createNamespace(client, 'taken-name');
  const taken = await check('TAKEN-name');
  assert.equal(taken.nameAvailable, false);
  assert.equal(taken.reason, 'NameInUse');
  assert.ok(taken.message);
});

test('namespaces: create, get, update, list, delete', async (t) => {
  const { client } = await manage(t);
  const made = await createNamespace(client, 'Contoso-1', { tags: { a: 'b' } });
  assert.equal(made.name, 'Contoso-1');
  assert.equal(made.location, 'West US');
  assert.equal(made.provisioningState, 'Succeeded');
  assert.equal(made.type, 'Microsoft.Relay/Namespaces');
  assert.equal(made.id, `/subscriptions/${subscription}/resourceGroups/${group}` +
    '/providers/Microsoft.Relay/namespaces/Contoso-1');
  assert.ok(made.createdAt instanceof Date && made.updatedAt instanceof Date);
  assert.match(made.serviceBusEndpoint, /^https:\/\/.+\/$/);
  assert.equal(made.metricId, `${subscription}:Contoso-1`);
  assert.deepEqual(made.sku, { name: 'Standard', tier: 'Standard' });
  assert.deepEqual((await client.namespaces.get(group, 'contoso-1')).tags, { a: 'b' });
  assert.deepEqual((await client.namespaces.update(group, 'contoso-1', { tags: { c: 'd' } })).tags,
    { c: 'd' });
  assert.ok(namesOf(await collect(client.namespaces.list())).includes('Contoso-1'));
  assert.ok(namesOf(await collect(client.namespaces.listByResourceGroup(group)))
    .includes('Contoso-1'));
  assert.ok(!namesOf(await collect(client.namespaces.listByResourceGroup('other')))
    .includes('Contoso-1'));
  assert.deepEqual(namesOf(await collect(client.namespaces.listAuthorizationRules(group,
    'contoso-1'))), [root]);
  await within(patience, 'delete', client.namespaces.beginDeleteAndWait(group, 'contoso-1'));
  await assert.rejects(client.namespaces.get(group, 'contoso-1'),
    (e) => e.statusCode === 404 && e.code === 'ResourceNotFound');
  await within(patience, 'delete', client.namespaces.beginDeleteAndWait(group, 'contoso-1'));
});

test('hybrid connections and their rules', async (t) => {
  const { client } = await manage(t);
  const ns = 'contoso-2';
  await createNamespace(client, ns);
  const { hybridConnections: hc } = client;
  const made = await hc.createOrUpdate(group, ns, 'site/api', {
    requiresClientAuthorization: false, userMetadata: 'texts "and" ümläuts',
  });
  assert.equal(made.name, 'site/api');
  assert.equal(made.requiresClientAuthorization, false);
  assert.equal(made.userMetadata, 'texts "and" ümläuts');
  assert.equal(made.listenerCount, 0);
  assert.equal((await hc.createOrUpdate(group, ns, 'plain', {})).requiresClientAuthorization, true);
  assert.deepEqual(namesOf(await collect(hc.listByNamespace(group, ns))), ['plain', 'site/api']);
  assert.equal((await hc.get(group, ns, 'SITE/api')).name, 'site/api');
  for (const rights of [['Listen'], ['Send'], ['Listen', 'Send', 'Manage']]) {
    const rule = await hc.createOrUpdateAuthorizationRule(group, ns, 'plain', rights.join('-'),
      { rights });
    assert.deepEqual([...rule.rights].sort(), [...rights].sort());
    const keys = await hc.listKeys(group, ns, 'plain', rights.join('-'));
    assert.equal(keys.keyName, rights.join('-'));
    assert.equal(keys.primaryKey.length, 44);
    assert.notEqual(keys.primaryKey, keys.secondaryKey);
    assert.ok(keys.primaryConnectionString.endsWith(';EntityPath=plain'));
  }
  assert.equal((await collect(hc.listAuthorizationRules(group, ns, 'plain'))).length, 3);
  assert.deepEqual((await hc.getAuthorizationRule(group, ns, 'plain', 'listen')).rights, ['Listen']);
  await hc.deleteAuthorizationRule(group, ns, 'plain', 'Listen');
  await hc.deleteAuthorizationRule(group, ns, 'plain', 'Listen');
  await assert.rejects(hc.getAuthorizationRule(group, ns, 'plain', 'Listen'), { statusCode: 404 });
  await assert.rejects(hc.createOrUpdateAuthorizationRule(group, ns, 'plain', 'bad',
    { rights: ['Manage'] }), (e) => e.statusCode === 400 && e.code === 'BadRequest');
  await hc.delete(group, ns, 'plain');
  await hc.delete(group, ns, 'plain');
  await assert.rejects(hc.get(group, ns, 'plain'), { statusCode: 404 });
  await assert.rejects(hc.get(group, 'no-such-ns', 'plain'),
    (e) => e.statusCode === 404 && /ResourceNotFound/.test(e.code));
});

test('WCF relays and their rules', async (t) => {
  const { client } = await manage(t);
  const ns = 'contoso-3';
  await createNamespace(client, ns);
  const { wCFRelays: relays } = client;
  const made = await relays.createOrUpdate(group, ns, 'echo', {
    relayType: 'NetTcp', requiresClientAuthorization: true, requiresTransportSecurity: true,
    userMetadata: 'text',
  });
  assert.equal(made.relayType, 'NetTcp');
  assert.equal(made.requiresTransportSecurity, true);
  assert.equal(made.isDynamic, false);
  await relays.createOrUpdate(group, ns, 'web', { relayType: 'Http' });
  assert.deepEqual(namesOf(await collect(relays.listByNamespace(group, ns))), ['echo', 'web']);
  await relays.createOrUpdateAuthorizationRule(group, ns, 'echo', 'r', { rights: ['Send'] });
  const keys = await relays.listKeys(group, ns, 'echo', 'r');
  const renewed = await relays.regenerateKeys(group, ns, 'echo', 'r', { keyType: 'SecondaryKey' });
  assert.equal(renewed.primaryKey, keys.primaryKey);
  assert.notEqual(renewed.secondaryKey, keys.secondaryKey);
  assert.equal((await collect(relays.listAuthorizationRules(group, ns, 'echo'))).length, 1);
  assert.deepEqual((await relays.getAuthorizationRule(group, ns, 'echo', 'r')).rights, ['Send']);
  await relays.deleteAuthorizationRule(group, ns, 'echo', 'r');
  await relays.delete(group, ns, 'echo');
  assert.deepEqual(namesOf(await collect(relays.listByNamespace(group, ns))), ['web']);
});

test('what it makes serves hyco-ws at once', async (t) => {
  const { client } = await manage(t);
  const ns = 'contoso-4';
  await createNamespace(client, ns);
  const { hybridConnections: hc } = client;
  await hc.createOrUpdate(group, ns, 'orders', {});
  await hc.createOrUpdateAuthorizationRule(group, ns, 'orders', 'l', { rights: ['Listen'] });
  await hc.createOrUpdateAuthorizationRule(group, ns, 'orders', 's', { rights: ['Send'] });
  const listener = await hc.listKeys(group, ns, 'orders', 'l');
  const sender = await hc.listKeys(group, ns, 'orders', 's');
  await listen(t, listener.primaryConnectionString);
  assert.equal((await hc.get(group, ns, 'orders')).listenerCount, 1);
  assert.equal(await echo(sender.primaryConnectionString, 'one'), 'one');
  assert.equal(await echo(sender.secondaryConnectionString, 'two'), 'two');
  const rootKeys = await client.namespaces.listKeys(group, ns, root);
  assert.equal(await echo(rootKeys.primaryConnectionString, 'three', 'orders'), 'three');
  await assert.rejects(echo(listener.primaryConnectionString, 'no right to send'), /401/);

  const renewed = await hc.regenerateKeys(group, ns, 'orders', 's', { keyType: 'PrimaryKey' });
  await assert.rejects(echo(sender.primaryConnectionString, 'old key'), /401/);
  assert.equal(await echo(renewed.primaryConnectionString, 'four'), 'four');
  assert.equal(await echo(sender.secondaryConnectionString, 'five'), 'five');
  const given = 'R2l2ZW4ga2V5IHdpdGggYSB2YWx1ZSBvZiBvdXJzISE=';
  const set = await hc.regenerateKeys(group, ns, 'orders', 's', { keyType: 'PrimaryKey', key: given });
  assert.equal(set.primaryKey, given);
  assert.equal(await echo(set.primaryConnectionString, 'six'), 'six');

  const rule = await client.namespaces.createOrUpdateAuthorizationRule(group, ns, 'all',
    { rights: ['Listen', 'Send', 'Manage'] });
  assert.equal(rule.name, 'all');
  const all = await client.namespaces.listKeys(group, ns, 'all');
  assert.equal(await echo(all.primaryConnectionString, 'seven', 'orders'), 'seven');
  await client.namespaces.regenerateKeys(group, ns, 'all', { keyType: 'PrimaryKey' });
  await assert.rejects(echo(all.primaryConnectionString, 'old key', 'orders'), /401/);
  await client.namespaces.deleteAuthorizationRule(group, ns, 'all');
  await assert.rejects(echo(all.secondaryConnectionString, 'no rule', 'orders'), /401/);
});

test('an entity that goes takes its listeners along', async (t) => {
  const { client } = await manage(t);
  const ns = 'contoso-5';
  await createNamespace(client, ns);
  const { hybridConnections: hc } = client;
  for (const end of ['entity', 'namespace']) {
    await hc.createOrUpdate(group, ns, end, {});
    const keys = await client.namespaces.listKeys(group, ns, root);
    const server = await listen(t, keys.primaryConnectionString, end);
    assert.equal(await echo(keys.primaryConnectionString, 'x', end), 'x');
    const closed = within(patience, 'close', new Promise((resolve) => {
      server.controlChannel.on('close', (event, reason) => resolve(event));
    }));
    if (end === 'entity') await hc.delete(group, ns, end);
    else await client.namespaces.beginDeleteAndWait(group, ns);
    assert.equal(await closed, 1001);
    server.close();
    await assert.rejects(echo(keys.primaryConnectionString, 'x', end),
      end === 'entity' ? /404/ : /40[14]/); // the keys of a namespace go with it
  }
});

test('two namespaces with the same names', async (t) => {
  const { client } = await manage(t);
  const strings = [];
  for (const ns of ['contoso-6', 'contoso-7']) {
    await createNamespace(client, ns);
    await client.hybridConnections.createOrUpdate(group, ns, 'same', {});
    const keys = await client.namespaces.listKeys(group, ns, root);
    strings.push(keys.primaryConnectionString);
    await listen(t, keys.primaryConnectionString, 'same');
  }
  for (const ns of ['contoso-6', 'contoso-7']) {
    assert.equal((await client.hybridConnections.get(group, ns, 'same')).listenerCount, 1);
  }
  for (const text of strings) assert.equal(await echo(text, text, 'same'), text);
});

test('the emulator\'s own namespace, in any subscription', async (t) => {
  const { client } = await manage(t, { subscription: 'another' });
  assert.deepEqual(namesOf(await collect(client.hybridConnections.listByNamespace('any', 'dev'))),
    ['authenticated', 'unauthenticated']);
  const keys = await client.namespaces.listKeys('any', 'dev', root);
  assert.equal(keys.primaryKey, 'SAS_KEY_VALUE');
  await listen(t, keys.primaryConnectionString, 'authenticated');
  assert.equal(await echo(keys.primaryConnectionString, 'x', 'authenticated'), 'x');
});

test('many entities come page by page', async (t) => {
  const { client } = await manage(t);
  const ns = 'contoso-8';
  await createNamespace(client, ns);
  const names = Array.from({ length: 250 }, (_, i) => `e${String(i).padStart(3, '0')}`);
  for (const name of names) await client.hybridConnections.createOrUpdate(group, ns, name, {});
  let pages = 0;
  const all = [];
  for await (const page of client.hybridConnections.listByNamespace(group, ns).byPage()) {
    pages++;
    all.push(...page.map((e) => e.name));
  }
  assert.deepEqual(all, names);
  assert.ok(pages > 1, `${pages} pages`);
});

test('who may not is told so', async (t) => {
  const { gateway, client, endpoint } = await manage(t, { token: 'wrong' });
  await assert.rejects(collect(client.namespaces.list()),
    (e) => e.statusCode === 401 && e.code === 'InvalidAuthenticationToken');
  const status = await new Promise((resolve, reject) => {
    https.get(`${endpoint}/subscriptions/x/providers/Microsoft.Relay/namespaces` +
      '?api-version=2024-01-01', (response) => { response.resume(); resolve(response.statusCode); })
      .on('error', reject);
  });
  assert.equal(status, 401);
  assert.ok(gateway.pid);
});

test('every version of the API', async (t) => {
  for (const apiVersion of ['2016-07-01', '2017-04-01', '2021-11-01', '2024-01-01', '2026-01-01',
    '2026-07-01-preview']) {
    const { client } = await manage(t, { apiVersion });
    await createNamespace(client, 'contoso-9');
    await client.hybridConnections.createOrUpdate(group, 'contoso-9', 'e', {});
    assert.equal((await client.hybridConnections.get(group, 'contoso-9', 'e')).name, 'e', apiVersion);
    await assert.rejects(client.hybridConnections.get(group, 'contoso-9', 'none'),
      (e) => e.statusCode === 404 && e.code === 'ResourceNotFound' && e.message !== '');
  }
  const { client } = await manage(t, { apiVersion: '2015-01-01' });
  await assert.rejects(collect(client.namespaces.list()),
    (e) => e.statusCode === 400 && /ApiVersion/.test(e.code));
});

test('the rest of its operations, and then none is left', async (t) => {
  const { client } = await manage(t);
  const ns = 'contoso-10';
  const making = await client.namespaces.beginCreateOrUpdate(group, ns, { location: 'here' });
  assert.equal((await within(patience, 'namespace', making.pollUntilDone())).name, ns);
  await client.namespaces.createOrUpdateAuthorizationRule(group, ns, 'r', { rights: ['Send'] });
  assert.deepEqual((await client.namespaces.getAuthorizationRule(group, ns, 'R')).rights, ['Send']);
  await client.wCFRelays.createOrUpdate(group, ns, 'w', { relayType: 'Http' });
  assert.equal((await client.wCFRelays.get(group, ns, 'W')).relayType, 'Http');
  const going = await client.namespaces.beginDelete(group, ns);
  await within(patience, 'delete', going.pollUntilDone());

  const missing = [];
  for (const name of groupsOf(client)) {
    for (const operation of operationsOf(client[name])) {
      if (!called.has(`${name}.${operation}`)) missing.push(`${name}.${operation}`);
    }
  }
  assert.deepEqual(missing, []);
  assert.ok(called.size > 35, `${called.size} operations`);
});
