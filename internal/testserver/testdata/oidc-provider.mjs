// An OpenID provider for tests: the certified npm oidc-provider as the identity provider of an organisation, with people,
// a second factor, a sign-in that needs no password, and pages of plain forms.
//
// The first line of standard input is its set-up, every further line an order; each is one JSON value and is answered by
// one line of JSON on standard output. Standard error is the log. When standard input ends, so does the provider.
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { Provider, interactionPolicy } from '../../app/testdata/node_modules/oidc-provider/lib/index.js';

const PASSWORD = '1';
const SECOND = 'urn:example:mfa';
const PASSWORDLESS = 'urn:example:passwordless';

const log = (...words) => console.error(new Date().toISOString(), ...words);
const input = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const answer = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

const setup = JSON.parse((await input.next()).value);
const people = new Map(setup.users.map((u) => [u.login, u]));
const bySubject = new Map(setup.users.map((u) => [u.sub, u]));

const server = createServer();
const listen = (port) => new Promise((resolve, reject) => {
  server.once('error', reject);
  server.listen(port, '127.0.0.1', () => { server.off('error', reject); resolve(server.address().port); });
});
const port = await listen(0);
const issuer = `http://127.0.0.1:${port}`;

const escaped = (s) => String(s).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
const page = (ctx, title, body, status = 200) => {
  ctx.status = status;
  ctx.type = 'html';
  ctx.body = `<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>${escaped(title)}</title></head><body><main><h1>${escaped(title)}</h1>${body}</main></body></html>`;
};

// asked returns the classes of sign-in a request wants, by acr_values or by claims, and whether it takes no other.
function asked(params) {
  let acr;
  try { acr = JSON.parse(params.claims ?? '{}').id_token?.acr; } catch { /* the provider has refused it by now */ }
  const values = [...(params.acr_values?.split(' ') ?? []), ...(acr?.values ?? []), ...(acr?.value ? [acr.value] : [])];
  return { values, essential: acr?.essential === true };
}

// A class of sign-in that is asked for and that the session does not have is a reason to ask the person again, once:
// who signs in with less is let through with what they have, as acr_values are a wish (OIDC Core §3.1.2.1).
const policy = interactionPolicy.base();
policy.get('login').checks.add(new interactionPolicy.Check('acr_wanted', 'another class of sign-in is wanted', (ctx) => {
  const { values } = asked(ctx.oidc.params);
  return values.length > 0 && !values.includes(ctx.oidc.session.acr) && !ctx.oidc.result?.login;
}));

const scoped = { openid: ['sub', 'amr'], profile: ['name', 'preferred_username'], email: ['email', 'email_verified'], acr: null, auth_time: null, iss: null, sid: null };
const listed = new Set([...Object.keys(scoped), ...Object.values(scoped).flat().filter(Boolean)]);
scoped.openid.push(...new Set(setup.users.flatMap((u) => Object.keys(u.claims ?? {})).filter((c) => !listed.has(c))));

const provider = new Provider(issuer, {
  clients: setup.clients.map((c) => ({
    client_id: c.id,
    redirect_uris: c.redirect_uris,
    post_logout_redirect_uris: c.post_logout ?? [],
    ...(c.jwk
      ? { token_endpoint_auth_method: 'private_key_jwt', token_endpoint_auth_signing_alg: 'ES256', jwks: { keys: [c.jwk] } }
      : { token_endpoint_auth_method: 'client_secret_basic', client_secret: c.secret }),
    ...(c.backchannel ? { backchannel_logout_uri: c.backchannel, backchannel_logout_session_required: true } : {}),
  })),
  jwks: { keys: [setup.signing_key] },
  acrValues: [PASSWORD, SECOND, PASSWORDLESS],
  claims: scoped,
  conformIdTokenClaims: false,
  scopes: ['openid', 'profile', 'email'],
  features: {
    devInteractions: { enabled: false },
    claimsParameter: { enabled: true },
    pushedAuthorizationRequests: { enabled: setup.par !== 'off', requirePushedAuthorizationRequests: setup.par === 'required' },
    backchannelLogout: { enabled: true },
    rpInitiatedLogout: {
      enabled: true,
      logoutSource: (ctx, form) => page(ctx, 'Sign out?', `${form}<button id="sign-out" type="submit" form="op.logoutForm" name="logout" value="yes">Sign out</button> <button id="stay" type="submit" form="op.logoutForm">Stay signed in</button>`),
      postLogoutSuccessSource: (ctx) => page(ctx, 'Signed out', '<p id="signed-out">You are signed out.</p>'),
    },
  },
  pkce: { required: () => true },
  interactions: { policy, url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  cookies: {
    keys: [setup.cookie_key],
    // Cookies know no ports: two providers of one test must not take each other's.
    names: { session: `op-${port}`, interaction: `op-${port}-interaction`, resume: `op-${port}-resume` },
  },
  findAccount: (ctx, sub) => bySubject.has(sub) && ({
    accountId: sub,
    claims: async () => ({ ...bySubject.get(sub).claims, sub }),
  }),
  // The organisation's own applications: nobody is asked whether they may know who signed in.
  loadExistingGrant: async (ctx) => {
    const grant = new ctx.oidc.provider.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId });
    grant.addOIDCScope('openid profile email');
    grant.addOIDCClaims([...listed, ...scoped.openid]);
    await grant.save();
    return grant;
  },
  // The library's own fetch refuses loopback, where the tests' applications are.
  fetch: (url, { dispatcher, ...options }) => fetch(url, options),
  renderError: (ctx, out) => page(ctx, 'This cannot go on', `<p id="error">${escaped(out.error)}: ${escaped(out.error_description ?? '')}</p>`, ctx.status),
  ttl: { Session: 12 * 3600, Interaction: 600, Grant: 3600, AccessToken: 300, IdToken: 300, AuthorizationCode: 60 },
});

// sessions are those alive, so that an order can age or end those of a person.
const sessions = new Map();
provider.on('session.saved', (s) => sessions.set(s.uid, s.accountId));
provider.on('session.destroyed', (s) => sessions.delete(s.uid));
provider.on('server_error', (ctx, err) => log('error', err.stack));
for (const what of ['authorization.error', 'grant.error', 'pushed_authorization_request.error', 'end_session.error']) {
  provider.on(what, (ctx, err) => log(what, err.error, err.error_description ?? '', err.error_detail ?? ''));
}

async function sessionsOf(login) {
  const { sub } = people.get(login);
  const found = await Promise.all([...sessions].filter(([, account]) => account === sub).map(([uid]) => provider.Session.findByUid(uid)));
  return found.filter(Boolean);
}

const button = (step, id, text, fields = '') => `<form method="post" id="${step}"><input type="hidden" name="step" value="${step}">${fields}<button id="${id}">${text}</button></form>`;

function firstPage(ctx, login, error) {
  page(ctx, 'Sign in', `${error ? `<p id="error" role="alert">${error}</p>` : ''}
${button('password', 'sign-in', 'Sign in', `<p><label for="login">Name</label> <input id="login" name="login" autocomplete="username" value="${escaped(login ?? '')}"></p><p><label for="password">Password</label> <input id="password" name="password" type="password" autocomplete="current-password"></p>`)}
<h2>Without a password</h2>
${button('passwordless', 'passwordless-sign-in', 'Sign in with the device', `<p><label for="device-login">Name</label> <input id="device-login" name="login" autocomplete="username" value="${escaped(login ?? '')}"></p>`)}
${button('cancel', 'cancel-sign-in', 'Cancel')}`, error ? 422 : 200);
}

function secondPage(ctx, login, error) {
  page(ctx, 'Second factor', `${error ? `<p id="error" role="alert">${error}</p>` : ''}<p>You are <b id="who">${escaped(login)}</b>.</p>
${button('second', 'confirm', 'Confirm', '<p><label for="otp">Code</label> <input id="otp" name="otp" inputmode="numeric" autocomplete="one-time-code"></p>')}
${button('none', 'no-second-factor', 'I have no second factor')}
${button('other', 'other-account', 'Use another account')}
${button('cancel', 'cancel-second-factor', 'Cancel')}`, error ? 422 : 200);
}

// half holds who has given a password in an interaction and not the second factor that is wanted: by interaction.
const half = new Map();

async function interact(ctx) {
  const { uid, params, session } = await provider.interactionDetails(ctx.req, ctx.res);
  const { values, essential } = asked(params);
  const wantsSecond = values.includes(SECOND) && !values.includes(PASSWORD);
  const again = (params.prompt ?? '').split(' ').includes('login') || params.max_age !== undefined;
  const known = half.get(uid) ?? (session && !again ? bySubject.get(session.accountId)?.login : undefined);
  const hint = params.login_hint ?? (session ? bySubject.get(session.accountId)?.login : undefined);
  const refuse = (error, error_description) => provider.interactionFinished(ctx.req, ctx.res, { error, error_description }, { mergeWithLastSubmission: false });
  const done = (login, acr, amr) => {
    half.delete(uid);
    if (essential && values.length > 0 && !values.includes(acr)) return refuse('unmet_authentication_requirements', 'the class of sign-in that is required was not reached');
    return provider.interactionFinished(ctx.req, ctx.res, { login: { accountId: people.get(login).sub, acr, amr, remember: true } }, { mergeWithLastSubmission: false });
  };

  if (ctx.method === 'GET') return known && wantsSecond ? secondPage(ctx, known) : firstPage(ctx, hint);
  let body = '';
  for await (const chunk of ctx.req) {
    body += chunk;
    if (body.length > 10_000) { ctx.status = 413; return undefined; }
  }
  const form = new URLSearchParams(body);
  const person = people.get(form.get('login'));
  switch (form.get('step')) {
    case 'password':
      if (!person?.password || person.password !== form.get('password')) return firstPage(ctx, form.get('login'), 'Name or password is wrong.');
      if (!wantsSecond) return done(person.login, PASSWORD, ['pwd']);
      half.set(uid, person.login);
      return secondPage(ctx, person.login);
    case 'second':
      if (!known) return firstPage(ctx, hint);
      if (!people.get(known).code || people.get(known).code !== form.get('otp')) return secondPage(ctx, known, 'That code is wrong.');
      return done(known, SECOND, ['pwd', 'otp', 'mfa']);
    case 'none':
      if (!known) return firstPage(ctx, hint);
      return done(known, PASSWORD, ['pwd']);
    case 'passwordless':
      if (!person?.passwordless) return firstPage(ctx, form.get('login'), 'This device does not know that name.');
      return done(person.login, PASSWORDLESS, ['hwk', 'fido', 'user']);
    case 'other':
      half.delete(uid);
      return firstPage(ctx);
    case 'cancel':
      half.delete(uid);
      return refuse('access_denied', 'the person cancelled');
    default:
      ctx.status = 400;
      return undefined;
  }
}

provider.use(async (ctx, next) => {
  try {
    if (!ctx.path.startsWith('/interaction/')) return await next();
    ctx.set('cache-control', 'no-store');
    return await interact(ctx);
  } finally {
    log(ctx.method, ctx.path.startsWith('/interaction/') ? '/interaction' : ctx.path, ctx.status);
  }
});
server.on('request', provider.callback());

// logoutToken is what Client#backchannelLogout of the library sends, with the subject, the session, or both.
async function logoutToken(client, sub, sid) {
  const token = new provider.IdToken({ sub }, { client, ctx: undefined });
  token.mask = { sub: null };
  token.set('events', { 'http://schemas.openid.net/event/backchannel-logout': {} });
  token.set('jti', crypto.randomUUID());
  if (sid) token.set('sid', sid);
  return token.issue({ use: 'logout' });
}

async function deliver(client, token) {
  const response = await fetch(client.backchannelLogoutUri, { method: 'POST', redirect: 'manual', body: new URLSearchParams({ logout_token: token }) });
  log('logout token to', client.clientId, response.status);
  return { client: client.clientId, token, status: response.status };
}

const orders = {
  // stop hangs up on everybody and listens no more; sessions and keys stay.
  stop: async () => {
    const closed = new Promise((resolve) => { server.close(resolve); });
    server.closeAllConnections();
    await closed;
  },
  start: () => listen(port),
  // age makes the sign-ins of a person older.
  age: async ({ login, seconds }) => {
    const all = await sessionsOf(login);
    for (const s of all) {
      s.loginTs -= seconds;
      await s.persist();
    }
    return all.length;
  },
  // logout ends every session of a person and tells the applications: of each session, or once of the subject.
  logout: async ({ login, subject }) => {
    const told = [];
    const once = new Set();
    for (const s of await sessionsOf(login)) {
      for (const id of Object.keys(s.authorizations ?? {})) {
        const client = await provider.Client.find(id);
        if (!client?.backchannelLogoutUri || (subject && once.has(id))) continue;
        once.add(id);
        told.push(await deliver(client, await logoutToken(client, s.accountId, subject ? undefined : s.sidFor(id))));
      }
      await s.destroy();
    }
    return told;
  },
};

answer({ value: issuer });
for await (const line of input) {
  try {
    const { order, ...args } = JSON.parse(line);
    answer({ value: (await orders[order](args)) ?? null });
  } catch (err) {
    log('order failed', err.stack);
    answer({ error: String(err) });
  }
}
process.exit(0);
