// A strict receiver of security events for tests: npm jose, and the rules of SSF 1.0, RFC 8417, RFC 8935, RFC 8936, CAEP 1.0,
// RISC 1.0 and the CAEP interoperability profile, each of them checked. What breaks a rule is refused, and told.
//
// The first line of standard input is its set-up, every further line an order; each is one JSON value and is answered by
// one line of JSON on standard output. Standard error is the log. When standard input ends, so does the receiver.
import { createServer } from 'node:https';
import { createInterface } from 'node:readline';
import { compactVerify, createLocalJWKSet, decodeProtectedHeader } from '../../app/testdata/node_modules/jose/dist/webapi/index.js';

const CAEP = 'https://schemas.openid.net/secevent/caep/event-type/';
const RISC = 'https://schemas.openid.net/secevent/risc/event-type/';
const SSF = 'https://schemas.openid.net/secevent/ssf/event-type/';
const SCIM = 'urn:ietf:params:scim:event:';
const SSE = 'https://schemas.openid.net/secevent/sse/event-type/'; // of the drafts before SSF 1.0
const PUSH = 'urn:ietf:rfc:8935';
const POLL = 'urn:ietf:rfc:8936';
const CREDENTIALS = ['password', 'pin', 'x509', 'fido2-platform', 'fido2-roaming', 'fido-u2f', 'verifiable-credential', 'phone-voice', 'phone-sms', 'app'];

const log = (...words) => console.error(new Date().toISOString(), ...words);
const input = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const answer = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
const setup = JSON.parse((await input.next()).value);

class Broken extends Error {
  constructor(err, text) { super(text); this.err = err; }
}
const must = (good, text, err = 'invalid_request') => { if (!good) throw new Broken(err, text); };
const known = (value, names, where) => {
  must(value !== null && typeof value === 'object' && !Array.isArray(value), `${where} is no object`);
  for (const name of Object.keys(value)) must(names.includes(name), `${where} has a member ${name}`);
};
const text = (value, where) => must(typeof value === 'string' && value !== '', `${where} is no text`);
const moment = (value, where) => {
  must(Number.isInteger(value), `${where} is no whole number of seconds`);
  must(value <= setup.now + 5, `${where} is in the future, or not in seconds`);
  must(value > setup.now - 86400, `${where} is long past, or not in seconds`);
};

// request calls the transmitter with JSON and a token in the header.
async function request(method, address, value, bearer = token) {
  const headers = { accept: 'application/json' };
  if (bearer) headers.authorization = `Bearer ${bearer}`;
  if (value !== undefined) headers['content-type'] = 'application/json';
  const r = await fetch(address, { method, headers, redirect: 'error', body: value === undefined ? undefined : JSON.stringify(value) });
  const said = await r.text();
  let json;
  try { json = said === '' ? undefined : JSON.parse(said); } catch { /* judged by whoever wants JSON */ }
  return { status: r.status, json, type: r.headers.get('content-type') ?? '', cache: r.headers.get('cache-control') ?? '', challenge: r.headers.get('www-authenticate') ?? '' };
}

// Metadata (SSF 1.0 §7.1, CAEP interoperability profile §2.3).
const found = await request('GET', `${setup.base}/.well-known/ssf-configuration`, undefined, '');
const metadata = found.json;
let keys;
let token = '';
function judgeMetadata() {
  must(found.status === 200 && found.type.startsWith('application/json'), `metadata: ${found.status} ${found.type}`);
  known(metadata, ['spec_version', 'issuer', 'jwks_uri', 'delivery_methods_supported', 'configuration_endpoint', 'status_endpoint', 'add_subject_endpoint', 'remove_subject_endpoint',
    'verification_endpoint', 'critical_subject_members', 'authorization_schemes', 'default_subjects'], 'metadata');
  must(/^\d+_\d+(-.*)?$/.test(metadata.spec_version) && metadata.spec_version >= '1_0', 'spec_version');
  must(metadata.issuer === setup.base, 'the issuer is not the one asked');
  for (const name of ['jwks_uri', 'configuration_endpoint', 'status_endpoint', 'add_subject_endpoint', 'remove_subject_endpoint', 'verification_endpoint']) {
    must(new URL(metadata[name]).origin === new URL(setup.base).origin, name);
  }
  must(metadata.delivery_methods_supported.includes(PUSH) && metadata.delivery_methods_supported.includes(POLL), 'push and poll');
  must(metadata.authorization_schemes.some((s) => s.spec_urn === 'urn:ietf:rfc:6749'), 'OAuth 2.0');
  must(metadata.default_subjects === 'ALL', 'a receiver assumes that all subjects are in a stream');
  must(metadata.critical_subject_members === undefined || metadata.critical_subject_members.length > 0, 'an empty member');
}

async function readKeys() {
  const { status, json } = await request('GET', metadata.jwks_uri, undefined, '');
  must(status === 200 && json.keys.length > 0, `keys: ${status}`, 'invalid_key');
  for (const k of json.keys) {
    for (const secret of ['d', 'p', 'q', 'dp', 'dq', 'qi', 'k']) must(!(secret in k), 'a private key is published', 'invalid_key');
    must(k.kty === 'RSA' && k.alg === 'RS256' && k.use === 'sig' && k.kid, 'a key that is not for RS256', 'invalid_key');
    must(Buffer.from(k.n, 'base64url').length * 8 >= 2048, 'a key shorter than 2048 bits', 'invalid_key');
  }
  keys = createLocalJWKSet(json);
}

// A token lives for at most an hour (CAEP interoperability profile §2.7.1), and comes by either way of RFC 6749 §2.3.1.
async function readToken({ scope = 'ssf.manage ssf.read', post = false } = {}) {
  const form = new URLSearchParams({ grant_type: 'client_credentials', scope });
  const headers = {};
  if (post) {
    form.set('client_id', setup.client_id);
    form.set('client_secret', setup.client_secret);
  } else {
    headers.authorization = `Basic ${Buffer.from(`${encodeURIComponent(setup.client_id)}:${encodeURIComponent(setup.client_secret)}`).toString('base64')}`;
  }
  const r = await fetch(setup.token_endpoint, { method: 'POST', headers, body: form, redirect: 'error' });
  const said = await r.json();
  must(r.status === 200 && said.token_type === 'Bearer' && said.expires_in > 0 && said.expires_in <= 3600, `token: ${r.status} ${said.error}`);
  must(r.headers.get('cache-control') === 'no-store', 'a token that may be kept by a cache');
  must(said.scope === scope, `scope: ${said.scope}`);
  token = said.access_token;
  return token;
}

const streams = new Map(); // by id: the document, the header, what state is expected, and what was verified

function judgeDocument(doc, asked) {
  known(doc, ['stream_id', 'iss', 'aud', 'delivery', 'events_supported', 'events_requested', 'events_delivered', 'min_verification_interval', 'description', 'inactivity_timeout'], 'stream');
  text(doc.stream_id, 'stream_id');
  must(/^[A-Za-z0-9._~-]+$/.test(doc.stream_id), 'stream_id has characters that need escaping');
  must(doc.iss === metadata.issuer, 'iss is not the issuer');
  must(doc.aud === setup.audience, 'aud is another one');
  known(doc.delivery, ['method', 'endpoint_url'], 'delivery'); // the header is never shown
  must(doc.delivery.method === asked.method, 'another method');
  must(new URL(doc.delivery.endpoint_url).origin === (asked.method.includes('push') || asked.method === PUSH ? new URL(endpoint).origin : new URL(setup.base).origin), 'endpoint_url');
  for (const list of [doc.events_supported, doc.events_delivered]) must(Array.isArray(list) && list.length > 0 && new Set(list).size === list.length, 'events');
  for (const e of doc.events_delivered) must(doc.events_supported.includes(e) && (!asked.events || asked.events.includes(e)), `${e} is delivered and was not asked for`);
}

// judge verifies one security event token and everything it says.
async function judge(jws, stream) {
  const doc = stream.document;
  must(typeof jws === 'string' && /^[\w-]+\.[\w-]+\.[\w-]+$/.test(jws), 'no compact JWS');
  const header = decodeProtectedHeader(jws);
  known(header, ['typ', 'alg', 'kid'], 'header');
  must(header.typ === 'secevent+jwt', `typ ${header.typ}`); // RFC 8417 §2.3: explicit typing
  must(header.alg === 'RS256', `alg ${header.alg}`, 'invalid_key');
  let payload;
  try {
    ({ payload } = await compactVerify(jws, keys, { algorithms: ['RS256'] }));
  } catch (err) {
    await readKeys(); // once: after a rotation the key is a new one
    try { ({ payload } = await compactVerify(jws, keys, { algorithms: ['RS256'] })); } catch { throw new Broken('invalid_key', `signature: ${err.code}`); }
  }
  const set = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload));
  const old = doc.delivery.method.startsWith('https://schemas.openid.net/secevent/risc/delivery-method/');
  known(set, ['iss', 'jti', 'iat', 'aud', 'txn', 'sub_id', 'events'], 'SET'); // so no sub, exp, nbf, nonce or email
  must(set.iss === metadata.issuer && set.iss === doc.iss, 'iss', 'invalid_issuer');
  must(set.aud === doc.aud, 'aud', 'invalid_audience');
  text(set.jti, 'jti');
  moment(set.iat, 'iat');
  must(set.events && Object.keys(set.events).length === 1, 'not exactly one event');
  const [type] = Object.keys(set.events);
  const event = { ...set.events[type] };
  let subject = set.sub_id;
  if (old) {
    must(set.sub_id === undefined, 'the older shape has its subject inside the event');
    must(!type.startsWith(SSF), 'the older shape has other names');
    subject = event.subject;
    delete event.subject;
  }
  if (type.startsWith(SSE)) {
    must(old && subject === undefined, 'an older name, or a subject with it');
  } else if (type.startsWith(SSF)) {
    known(subject, ['format', 'id'], 'subject');
    must(subject.format === 'opaque' && subject.id === doc.stream_id, 'the subject is not the stream');
  } else if (type.startsWith(SCIM)) { // RFC 9967 §2.1, §2.2
    must(doc.events_delivered.includes(type) && doc.events_requested.includes(type), `${type} is not asked for`);
    must(!old, 'an event of SCIM in the older shape');
    known(subject, ['format', 'uri', 'externalId'], 'subject');
    must(subject.format === 'scim', `a subject of format ${subject.format}`);
    must(/^\/[A-Za-z]+(\/[^/?#]+)?$/.test(subject.uri), `uri ${subject.uri} is not relative`);
    if (subject.externalId !== undefined) text(subject.externalId, 'externalId');
    text(set.txn, 'txn');
    const rest = JSON.stringify({ ...set, sub_id: null });
    for (const word of setup.secrets) must(!rest.includes(word), 'it holds what it must not');
  } else {
    must(doc.events_delivered.includes(type), `${type} is not delivered`);
    must(subject.format === setup.format, `a subject of format ${subject.format}`);
    const members = { iss_sub: ['iss', 'sub'], email: ['email'], opaque: ['id'] }[setup.format];
    known(subject, ['format', ...members], 'subject');
    for (const m of members) text(subject[m], `subject ${m}`);
    text(set.txn, 'txn');
    // What tells who it is stands in the subject and nowhere else.
    const rest = JSON.stringify({ ...set, sub_id: null, events: { [type]: event } });
    for (const word of setup.secrets) must(!rest.includes(word), 'it holds what it must not');
    if (setup.format === 'opaque') for (const word of setup.secrets) must(!JSON.stringify(set).includes(word), 'its subject holds what it must not');
  }
  judgeEvent(type, event, stream);
  return { jti: set.jti, type, subject, event, txn: set.txn ?? '', iat: set.iat };
}

function judgeEvent(type, event, stream) {
  const caep = ['initiating_entity', 'reason_admin', 'event_timestamp'];
  const judgeCAEP = () => {
    must(['admin', 'user', 'policy', 'system'].includes(event.initiating_entity), 'initiating_entity');
    known(event.reason_admin, ['en', 'de'], 'reason_admin');
    text(event.reason_admin.en, 'reason_admin'); // CAEP interoperability profile §3
    moment(event.event_timestamp, 'event_timestamp');
  };
  switch (type) {
    case `${CAEP}credential-change`:
      known(event, ['credential_type', 'change_type', 'friendly_name', 'fido2_aaguid', ...caep], type);
      must(CREDENTIALS.includes(event.credential_type), `credential_type ${event.credential_type}`);
      must(['create', 'revoke', 'update', 'delete'].includes(event.change_type), `change_type ${event.change_type}`);
      return judgeCAEP();
    case `${CAEP}session-revoked`:
      known(event, caep, type);
      return judgeCAEP();
    case `${RISC}recovery-activated`:
    case `${RISC}recovery-information-changed`:
    case `${RISC}account-credential-change-required`:
      known(event, caep, type); // RISC 1.0 asks for none of them, and forbids none
      return judgeCAEP();
    case `${SSE}verification`:
    case `${SSF}verification`:
      known(event, ['state'], type);
      return must(event.state === stream.state, `state ${event.state}, want ${stream.state}`, 'invalid_state');
    case `${SSE}stream-updated`:
    case `${SSF}stream-updated`:
      known(event, ['status', 'reason'], type);
      must(['enabled', 'paused', 'disabled'].includes(event.status), 'status');
      return must(event.reason === undefined || (typeof event.reason === 'string' && event.reason !== ''), 'reason');
    case `${SCIM}prov:create:notice`:
    case `${SCIM}prov:put:notice`:
    case `${SCIM}prov:patch:notice`: // RFC 9967 §2.4: attributes and no data
      known(event, ['attributes', 'version'], type);
      must(Array.isArray(event.attributes) && event.attributes.length > 0 && new Set(event.attributes).size === event.attributes.length, 'attributes');
      for (const a of event.attributes) must(/^([A-Za-z0-9:._-]+:)?[A-Za-z$][A-Za-z0-9_-]*$/.test(a), `attribute ${a} is no path`);
      return must(event.version === undefined || /^W\/"[^"]+"$/.test(event.version), 'version');
    case `${SCIM}prov:delete`:
    case `${SCIM}prov:activate`:
    case `${SCIM}prov:deactivate`:
      return known(event, [], type);
    case `${SCIM}misc:asyncresp`: // RFC 9967 §2.5.1.3, RFC 7644 §3.7.3
      known(event, ['method', 'bulkId', 'location', 'version', 'status', 'response'], type);
      must(['POST', 'PUT', 'PATCH', 'DELETE'].includes(event.method), `method ${event.method}`);
      must(/^[1-5]\d\d$/.test(event.status), `status ${event.status}`);
      if (event.status.startsWith('2')) {
        must(event.response === undefined, 'an error with a success');
        return text(event.location, 'location');
      }
      known(event.response, ['schemas', 'status', 'scimType', 'detail'], 'response');
      return must(event.response.schemas.includes('urn:ietf:params:scim:api:messages:2.0:Error') && event.response.status === event.status, 'response');
    default:
      throw new Broken('invalid_request', `an event of type ${type}`);
  }
}

// take keeps what was verified. The same jti again is the same event and no second one.
async function take(jws, stream) {
  const verified = await judge(jws, stream);
  const before = stream.events.find((e) => e.jti === verified.jti);
  if (before) {
    must(before.jws === jws || JSON.stringify({ ...before, jws: 0, times: 0, iat: 0 }) === JSON.stringify({ ...verified, jws: 0, times: 0, iat: 0 }), 'another event with the same jti');
    before.times++;
  } else {
    stream.events.push({ ...verified, jws, times: 1 });
  }
  return verified.jti;
}

const broken = [];
const refuse = (err, stream) => {
  const e = err instanceof Broken ? err : new Broken('invalid_request', String(err.stack));
  broken.push(`${e.err}: ${e.message}`);
  log('refused', stream, e.err, e.message);
  return { err: e.err, description: e.message };
};

// Pushed events come in one at a time (RFC 8935 §2).
let failures = [];
const server = createServer({ cert: setup.cert, key: setup.key }, async (req, res) => {
  const chunks = [];
  for await (const c of req) chunks.push(c);
  const say = (status, value) => {
    res.writeHead(status, value ? { 'content-type': 'application/json', 'content-language': 'en' } : {});
    res.end(value && JSON.stringify(value));
  };
  const stream = [...streams.values()].find((s) => new URL(s.document.delivery.endpoint_url).pathname === req.url && s.header !== undefined);
  if (!stream) return say(404, refuse(new Broken('invalid_request', `a push to ${req.url}`), '?'));
  try {
    must(req.method === 'POST' && req.headers['content-type'] === 'application/secevent+jwt' && req.headers.accept === 'application/json', 'not a push of RFC 8935');
    must((req.headers.authorization ?? '') === stream.header, 'the header is not the one asked for', 'authentication_failed');
    if (failures.length > 0) return say(failures.shift());
    await take(Buffer.concat(chunks).toString('utf8'), stream);
    return say(202);
  } catch (err) {
    return say(400, refuse(err, stream.document.stream_id));
  }
});
const port = await new Promise((resolve, reject) => {
  server.once('error', reject);
  server.listen(0, '127.0.0.1', () => resolve(server.address().port));
});
const endpoint = `https://127.0.0.1:${port}`;

const orders = {
  begin: async () => {
    judgeMetadata();
    await readKeys();
    return metadata;
  },
  token: readToken,
  // create makes a stream with what is asked for.
  create: async ({ method, events, header, description }) => {
    const path = `/events/${streams.size + 1}`;
    const push = method !== POLL && !method.endsWith('/poll');
    const delivery = push ? { method, endpoint_url: endpoint + path, authorization_header: header } : { method };
    const { status, json, cache } = await request('POST', metadata.configuration_endpoint, { delivery, events_requested: events, description });
    must(status === 201, `create: ${status} ${json?.error_description}`);
    must(cache === 'no-store', 'an answer that may be kept by a cache');
    judgeDocument(json, { method, events });
    streams.set(json.stream_id, { document: json, header: push ? header ?? '' : undefined, events: [], state: undefined });
    const again = await request('GET', `${metadata.configuration_endpoint}?stream_id=${json.stream_id}`);
    must(again.status === 200 && JSON.stringify(again.json) === JSON.stringify(json), 'it reads otherwise than it was made');
    return json;
  },
  verify: async ({ stream, state }) => {
    streams.get(stream).state = state;
    return (await request('POST', metadata.verification_endpoint, { stream_id: stream, state })).status;
  },
  // poll asks, verifies, and acknowledges with the next request, until a request brings nothing (RFC 8936 §2.4).
  poll: async ({ stream, most = 10 }) => {
    const s = streams.get(stream);
    let ack = [];
    let setErrs = {};
    let n = 0;
    for (;;) {
      const { status, json } = await request('POST', s.document.delivery.endpoint_url, { maxEvents: most, returnImmediately: true, ack, setErrs });
      must(status === 200, `poll: ${status}`);
      known(json, ['sets', 'moreAvailable'], 'poll');
      must(Object.keys(json.sets).length <= most && typeof json.moreAvailable === 'boolean', 'more than asked for');
      [ack, setErrs] = [[], {}];
      for (const [jti, jws] of Object.entries(json.sets)) {
        n++;
        try {
          must(await take(jws, s) === jti, 'it stands under another jti');
          ack.push(jti);
        } catch (err) { setErrs[jti] = refuse(err, stream); }
      }
      if (Object.keys(json.sets).length === 0) return n;
    }
  },
  // fail answers the next pushes with these statuses instead of taking them.
  fail: ({ statuses }) => { failures = statuses; },
  request: async ({ method, path, value, bearer }) => request(method, setup.base + path, value, bearer),
  now: ({ now }) => { setup.now = now; },
  judge: async ({ stream, jws }) => judge(jws, streams.get(stream)).then(() => '', (err) => `${err.err}: ${err.message}`),
  events: ({ stream }) => streams.get(stream).events,
  broken: () => broken,
};

answer({ value: endpoint });
for await (const line of input) {
  try {
    const { order, ...args } = JSON.parse(line);
    answer({ value: (await orders[order](args)) ?? null });
  } catch (err) {
    log('order failed', err.stack);
    answer({ error: String(err.message ?? err) });
  }
}
process.exit(0);
