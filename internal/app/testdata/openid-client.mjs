// An app written with the certified npm openid-client, for tests: one order a line on standard input, one answer a line on
// standard output. What the library refuses is the answer { error }.
import { createInterface } from "node:readline";
import * as client from "openid-client";

let config, asked, tokens;

const algorithms = {
  ES256: { name: "ECDSA", namedCurve: "P-256" },
  RS256: { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" },
  PS256: { name: "RSA-PSS", hash: "SHA-256" },
  EdDSA: { name: "Ed25519" },
};

async function authentication({ auth, secret, pem, kid, alg }) {
  if (auth === "client_secret_basic") return client.ClientSecretBasic(secret);
  if (auth === "client_secret_post") return client.ClientSecretPost(secret);
  if (auth === "none") return client.None();
  const key = await crypto.subtle.importKey("pkcs8", Buffer.from(pem.replace(/-----[A-Z ]+-----|\s/g, ""), "base64"), algorithms[alg], false, ["sign"]);
  return client.PrivateKeyJwt({ key, kid });
}

const orders = {
  // Discovery, and the client as it is registered.
  async begin(o) {
    const execute = [client.allowInsecureRequests, client.enableNonRepudiationChecks];
    const metadata = o.signed ? { id_token_signed_response_alg: o.signed } : {};
    config = await client.discovery(new URL(o.issuer), o.client_id, metadata, await authentication(o), { execute });
    return { server: config.serverMetadata() };
  },
  // A request, pushed or not, and what is kept of it.
  async ask(o) {
    asked = { state: client.randomState(), nonce: client.randomNonce(), verifier: client.randomPKCECodeVerifier() };
    const parameters = {
      redirect_uri: o.redirect_uri, scope: o.scope, state: asked.state, nonce: asked.nonce,
      code_challenge: await client.calculatePKCECodeChallenge(asked.verifier), code_challenge_method: "S256", ...o.parameters,
    };
    for (const [name, value] of Object.entries(parameters)) if (value === "") delete parameters[name];
    const url = o.par ? await client.buildAuthorizationUrlWithPAR(config, parameters) : client.buildAuthorizationUrl(config, parameters);
    return { url: url.href };
  },
  // The answer a browser brought, and the code of it. What is given takes the place of what was kept.
  async answer(o) {
    tokens = await client.authorizationCodeGrant(config, new URL(o.url), {
      expectedState: o.state ?? asked.state, expectedNonce: o.nonce ?? asked.nonce, pkceCodeVerifier: o.verifier ?? asked.verifier, idTokenExpected: true,
    });
    return { claims: tokens.claims(), tokens };
  },
  async userinfo(o) {
    return { userinfo: await client.fetchUserInfo(config, o.access_token ?? tokens.access_token, o.sub ?? tokens.claims().sub) };
  },
  async refresh(o) {
    return { tokens: await client.refreshTokenGrant(config, o.refresh_token) };
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line);
  let answer;
  try {
    answer = await orders[order.do](order);
  } catch (e) {
    answer = { error: { name: e.name, code: e.code, error: e.error, message: e.message, cause: String(e.cause?.message ?? "") } };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
