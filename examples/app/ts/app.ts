// An app that sends people to regain to reset a password. That is no sign-in: nobody has a session after it.
import { createServer, type ServerResponse } from "node:http";
import * as client from "openid-client";

const { ISSUER = "", CLIENT_ID = "", CLIENT_SECRET = "", REDIRECT_URI = "", SIGN_IN = "", LISTEN } = process.env;
const callback = new URL(REDIRECT_URI);
const listen = LISTEN ? new URL("http://" + LISTEN) : callback;

const checks = [client.enableNonRepudiationChecks]; // signatures of ID tokens are looked at, too
if (ISSUER.startsWith("http:")) checks.push(client.allowInsecureRequests); // only on this computer
const config = await client.discovery(new URL(ISSUER), CLIENT_ID, undefined, client.ClientSecretBasic(CLIENT_SECRET), { execute: checks });

const told: Record<string, string> = {
  done: "Your password is changed.",
  partial: "Your password is changed. Some systems need a while.",
  unknown: "Try the new password first, then the old one.",
};

type Result = { action: string; status: string; txn: string; sign_in?: string };

const escape = (text: string) => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

function show(res: ServerResponse, status: number, text: string, to = SIGN_IN) {
  res.writeHead(status, { "content-type": "text/html; charset=utf-8" });
  res.end(`<!doctype html><html lang="en"><title>Example shop</title><h1>Example shop</h1>
<p id="told">${escape(text)}</p><p><a id="sign-in" href="${escape(to)}">Sign in</a></p><p><a id="forgot" href="/forgot">Forgot your password?</a></p>`);
}

function keep(res: ServerResponse, value: string, rest = "") {
  const secure = callback.protocol === "https:" ? "; Secure" : "";
  res.setHeader("set-cookie", `forgot=${value}; Path=${callback.pathname}; HttpOnly; SameSite=Lax${secure}${rest}`);
}

async function forgot(res: ServerResponse) {
  const [state, nonce, verifier] = [client.randomState(), client.randomNonce(), client.randomPKCECodeVerifier()];
  keep(res, [state, nonce, verifier].join("."));
  const to = await client.buildAuthorizationUrlWithPAR(config, {
    redirect_uri: REDIRECT_URI, scope: "openid regain.reset", state, nonce,
    code_challenge: await client.calculatePKCECodeChallenge(verifier), code_challenge_method: "S256",
  });
  res.writeHead(303, { location: to.href }).end();
}

async function answer(res: ServerResponse, url: URL, cookies: string) {
  const [state, nonce, verifier] = /(?:^|; )forgot=([\w-]+\.[\w-]+\.[\w-]+)/.exec(cookies)?.[1]?.split(".") ?? [];
  keep(res, "", "; Max-Age=0"); // one answer to one question
  if (!state || url.searchParams.get("state") !== state) return show(res, 400, "That is no answer to a question of this browser.");
  try { // iss and state first, then the code for the signed statement: signature, issuer, audience, expiry, nonce
    const tokens = await client.authorizationCodeGrant(config, url, { expectedState: state, expectedNonce: nonce, pkceCodeVerifier: verifier, idTokenExpected: true });
    const claims = tokens.claims();
    const result = claims?.["urn:regain:claim:result"] as Result | undefined;
    if (claims?.acr !== "urn:regain:acr:recovery" || result?.action !== "reset") throw new Error("not the statement of a reset asked for here");
    const to = result.sign_in ?? SIGN_IN;
    res.setHeader("refresh", `5; url=${to}`); // no session and no cookie: only a sign-in is a sign-in
    show(res, 200, told[result.status] ?? "", to);
  } catch (error) {
    if (error instanceof client.AuthorizationResponseError) return show(res, 200, "Nothing was changed."); // access_denied: stopped, or not proved; nobody says which
    console.error(error);
    show(res, 502, "We could not learn what became of it. Try the new password first.");
  }
}

createServer(async (req, res) => {
  const url = new URL(req.url ?? "/", callback);
  try {
    if (req.method === "GET" && url.pathname === "/") show(res, 200, "");
    else if (req.method === "GET" && url.pathname === "/forgot") await forgot(res);
    else if (req.method === "GET" && url.pathname === callback.pathname) await answer(res, url, req.headers.cookie ?? "");
    else show(res, 404, "There is no such page.");
  } catch (error) {
    console.error(error);
    show(res, 502, "That did not work. Please try again.");
  }
}).listen(Number(listen.port), listen.hostname);
