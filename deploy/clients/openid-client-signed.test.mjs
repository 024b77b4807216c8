// openid-client at all that FAPI 2.0 Message Signing and OpenID have: signed requests, signed and encrypted answers, who
// signed in, and signing out. The package decrypts, and checks every signature that it comes to see.

import assert from 'node:assert/strict';
import test from 'node:test';
import * as client from 'openid-client';
import { answer, newBrowser, signOut } from './person.mjs';
import {
  accounts, accountsFor, accountsScope, issuer, metadata, newDecryptionKey, newKey, serveKeySet, witness,
} from './recipient.mjs';

const plainHTTP = issuer.startsWith('http:') ? [client.allowInsecureRequests] : [];
const redirectURI = 'https://recipient.example/callback';
const afterLogout = 'https://recipient.example/bye';
const scope = 'openid ' + accountsScope;
const password = 'urn:authserver:acr:password';

// register makes a client that signs its requests and is answered by JWTs. With decryption these are encrypted for that key
// too, by enc.
async function register(alg = 'PS256', { key, decryption, enc, ...more } = {}) {
  const wire = witness();
  key ??= await newKey(alg);
  const kinds = ['id_token', 'userinfo', 'authorization', 'introspection'];
  const asked = {
    grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'], redirect_uris: [redirectURI],
    post_logout_redirect_uris: [afterLogout], scope, jwks: { keys: [key.jwk] },
    request_object_signing_alg: alg, require_signed_request_object: true,
    ...Object.fromEntries(kinds.map((kind) => [kind + '_signed_response_alg', alg])),
  };
  const execute = [...plainHTTP, client.useJwtResponseMode, client.enableNonRepudiationChecks];
  if (decryption) {
    asked.jwks.keys.push(decryption.jwk);
    for (const kind of kinds) {
      asked[kind + '_encrypted_response_alg'] = decryption.alg;
      asked[kind + '_encrypted_response_enc'] = enc;
    }
    execute.push((config) => client.enableDecryptingResponses(config, [enc], decryption));
  }
  const registration = metadata(key, { ...asked, ...more });
  const config = await client.dynamicClientRegistration(new URL(issuer), registration, client.PrivateKeyJwt(key), {
    execute, [client.customFetch]: wire.fetch,
  });
  wire.take();
  return { config, key, wire, DPoP: client.getDPoPHandle(config, await client.randomDPoPKeyPair()) };
}

// push pushes a signed request and returns where to send the browser, and what to check its return by.
async function push({ config, key, DPoP }, more, signing) {
  const checks = {
    pkceCodeVerifier: client.randomPKCECodeVerifier(), expectedState: client.randomState(),
    expectedNonce: client.randomNonce(), maxAge: 300,
  };
  const signed = await client.buildAuthorizationUrlWithJAR(config, {
    redirect_uri: redirectURI, scope,
    state: checks.expectedState, nonce: checks.expectedNonce, max_age: String(checks.maxAge),
    code_challenge: await client.calculatePKCECodeChallenge(checks.pkceCodeVerifier), code_challenge_method: 'S256',
    authorization_details: JSON.stringify(accountsFor(30)),
    claims: JSON.stringify({ id_token: { acr: { essential: true, values: [password] }, email: null } }), ...more,
  }, key, signing);
  return { url: await client.buildAuthorizationUrlWithPAR(config, signed.searchParams, { DPoP }), checks };
}

// redeem takes what the browser brought back to a token response.
const redeem = ({ config, DPoP }, back, checks) => client.authorizationCodeGrant(config, back, checks, undefined, { DPoP });

const call = ({ config, DPoP }, token) =>
  client.fetchProtectedResource(config, token.access_token, accounts, 'GET', undefined, undefined, { DPoP });

// parts tells a signed JWT, which has three, from an encrypted one, which has five.
const parts = (jwt) => jwt.split('.').length;

// What a client registers: how it signs and is signed to, and with a key how it is encrypted for.
const registrations = [
  { alg: 'PS256', key: 'RSA-OAEP-256', enc: 'A256GCM' },
  { alg: 'PS256', key: 'RSA-OAEP', enc: 'A256GCM' },
  { alg: 'ES256', key: 'ECDH-ES', enc: 'A256GCM' },
  { alg: 'ES256', key: 'ECDH-ES', enc: 'A128GCM' },
  { alg: 'EdDSA', key: 'ECDH-ES+A256KW', enc: 'A256CBC-HS512' },
  { alg: 'EdDSA', key: 'RSA-OAEP-256', enc: 'A128CBC-HS256' },
  { alg: 'PS256' },
  { alg: 'ES256' },
  { alg: 'EdDSA' },
];

for (const { alg, key, enc } of registrations) {
  const encrypted = key ? `encrypted with ${key} and ${enc}` : 'not encrypted';
  test(`requests and answers are signed with ${alg}, and ${encrypted}`, async () => {
    const own = await register(alg, key && { decryption: await newDecryptionKey(key), enc });
    const { config, wire, DPoP } = own;
    const wrapped = key ? 5 : 3;
    const browser = newBrowser();
    const { url, checks } = await push(own);
    assert.deepEqual(wire.take(), ['POST /oauth2/par 400', 'POST /oauth2/par 201'], 'one request object serves both');

    const back = await answer(url, 'approve', browser);
    assert.deepEqual([...back.searchParams.keys()], ['response']);
    assert.equal(parts(back.searchParams.get('response')), wrapped);
    const token = await redeem(own, back, checks);
    assert.deepEqual(wire.take(), ['GET /oauth2/jwks 200', 'POST /oauth2/token 200'], 'the signature was verified');
    assert.equal(parts(token.id_token), wrapped);
    assert.equal(token.scope, scope);
    assert.equal(token.authorization_details[0].consentRequest.resources.length, 2, 'the accounts that were chosen');
    const { sub, nonce, acr, email } = token.claims();
    assert.deepEqual({ nonce, acr, email }, { nonce: checks.expectedNonce, acr: password, email: undefined });

    assert.deepEqual(await client.fetchUserInfo(config, token.access_token, sub, { DPoP }), {
      sub, iss: issuer, aud: config.clientMetadata().client_id,
    });
    assert.equal(parts(await wire.last().response.text()), wrapped);
    assert.equal((await call(own, token)).status, 200);

    const again = await client.refreshTokenGrant(config, token.refresh_token, undefined, { DPoP });
    assert.equal(again.claims().sub, sub);
    assert.equal(again.claims().auth_time, token.claims().auth_time);
    assert.equal(again.claims().nonce, undefined);

    const known = await client.tokenIntrospection(config, again.access_token);
    assert.equal(known.sub, sub);
    assert.equal(known.cnf.jkt, await DPoP.calculateThumbprint());
    await client.tokenRevocation(config, token.refresh_token);
    assert.deepEqual(await client.tokenIntrospection(config, again.access_token), { active: false });
    assert.equal(wire.last().response.headers.get('Content-Type'), 'application/token-introspection+jwt');
    assert.equal(parts(await wire.last().response.text()), wrapped);
    await assert.rejects(client.fetchUserInfo(config, again.access_token, sub, { DPoP }), { status: 401 });

    const state = client.randomState();
    const parameters = { post_logout_redirect_uri: afterLogout, state, ...(key ? {} : { id_token_hint: token.id_token }) };
    const bye = await signOut(client.buildEndSessionUrl(config, parameters), browser);
    assert.equal(bye.href, `${afterLogout}?state=${state}`);
  });
}

test('who registers only how answers are encrypted gets them signed all the same', async () => {
  const own = await register('PS256', {
    decryption: await newDecryptionKey('ECDH-ES'), enc: 'A256GCM', id_token_signed_response_alg: undefined,
    authorization_signed_response_alg: undefined, introspection_signed_response_alg: undefined,
  });
  const { url, checks } = await push(own);
  const back = await answer(url, 'approve');
  assert.equal(parts(back.searchParams.get('response')), 5);
  const token = await redeem(own, back, checks);
  assert.equal((await client.tokenIntrospection(own.config, token.access_token)).active, true);
  assert.equal(parts(await own.wire.last().response.text()), 5);
});

test('userinfo is JSON for a client that registered nothing for it', async () => {
  const own = await register('PS256', { userinfo_signed_response_alg: undefined });
  const { url, checks } = await push(own);
  const token = await redeem(own, await answer(url, 'approve'), checks);
  const { sub } = token.claims();
  assert.deepEqual(await client.fetchUserInfo(own.config, token.access_token, sub, { DPoP: own.DPoP }), { sub });
  assert.equal(own.wire.last().response.headers.get('Content-Type'), 'application/json');
});

test('answers are encrypted for a key behind a jwks_uri', async (t) => {
  const [signing, decryption] = [await newKey(), await newDecryptionKey('RSA-OAEP-256')];
  const host = await serveKeySet(t, signing, decryption);
  const own = await register('ES256', { key: signing, decryption, enc: 'A256GCM', jwks: undefined, jwks_uri: host.uri });
  const { url, checks } = await push(own);
  const token = await redeem(own, await answer(url, 'approve'), checks);
  assert.equal(token.claims().nonce, checks.expectedNonce);
  assert.equal(host.fetched, 1);
});

// The package asks for query.jwt by itself. Another mode is written into the claims before they are signed.
test('the answer is posted as a form, and taken from it', async () => {
  const own = await register();
  const posted = { [client.modifyAssertion]: (_header, claims) => { claims.response_mode = 'form_post.jwt'; } };
  const { url, checks } = await push(own, {}, posted);
  const back = await answer(url, 'approve');
  assert.ok(back instanceof Request);
  assert.equal(back.url, redirectURI);
  const token = await redeem(own, back, checks);
  assert.equal(token.claims().nonce, checks.expectedNonce);
});

// Refusals come as signed answers too: the package reads them from the JWT.
for (const { of, more, decision, error } of [
  { of: 'a person says no', decision: 'deny', error: 'access_denied' },
  { of: 'nobody is signed in, and nobody may be asked', more: { prompt: 'none' }, error: 'login_required' },
]) {
  test(`${of}: ${error}`, async () => {
    const own = await register();
    const { url, checks } = await push(own, more);
    const back = await answer(url, decision);
    assert.deepEqual([...back.searchParams.keys()], ['response']);
    await assert.rejects(redeem(own, back, checks), (refusal) => {
      assert.ok(refusal instanceof client.AuthorizationResponseError, refusal);
      assert.equal(refusal.error, error);
      return true;
    });
  });
}

test('a client that must sign its requests is refused without', async () => {
  const { config, DPoP } = await register();
  const plain = {
    redirect_uri: redirectURI, scope, code_challenge_method: 'S256',
    code_challenge: await client.calculatePKCECodeChallenge(client.randomPKCECodeVerifier()),
  };
  const refused = { status: 400, error: 'invalid_request' };
  await assert.rejects(client.buildAuthorizationUrlWithPAR(config, plain, { DPoP }), refused);
});

test('a request object that another key signed, and one that was sent to another server, are refused', async () => {
  const own = await register();
  const refused = { status: 400, error: 'invalid_request_object' };
  await assert.rejects(push({ ...own, key: await newKey('PS256') }), refused);
  const elsewhere = { [client.modifyAssertion]: (_header, claims) => { claims.aud = 'https://other.example'; } };
  await assert.rejects(push(own, {}, elsewhere), refused);
});

// What a client finds wrong that is told something else than the server: so the checks above were checks.
for (const { of, checks: other, registration, message } of [
  { of: 'state', checks: { expectedState: 'another' }, message: /^unexpected "state"/ },
  { of: 'nonce', checks: { expectedNonce: 'another' }, message: /^unexpected ID Token "nonce"/ },
  { of: 'audience', registration: { client_id: 'another' }, message: /^unexpected JWT "aud"/ },
  { of: 'algorithm', registration: { authorization_signed_response_alg: 'ES256' }, message: /^unexpected JWT "alg"/ },
]) {
  test(`the package checks the ${of}`, async () => {
    const own = await register();
    const { url, checks } = await push(own);
    const config = registration ? misled(own.config, {}, registration) : own.config;
    const refused = redeem({ ...own, config }, await answer(url, 'approve'), { ...checks, ...other });
    await assert.rejects(refused, ({ cause }) => message.test(cause.message));
  });
}

test('the package checks the signature', async (t) => {
  const own = await register();
  const { url, checks } = await push(own);
  const { keys } = await (await fetch(own.config.serverMetadata().jwks_uri)).json();
  const foreign = await newKey('PS256');
  foreign.jwk.kid = keys.find(({ alg }) => alg === 'PS256').kid;
  const config = misled(own.config, { jwks_uri: (await serveKeySet(t, foreign)).uri });
  const refused = redeem({ ...own, config }, await answer(url, 'approve'), checks);
  await assert.rejects(refused, ({ cause }) => /signature verification failed/.test(cause.message));
});

// misled is a client that believes something else of the server, or of itself.
function misled(config, server, registration) {
  const own = { ...config.clientMetadata(), ...registration };
  const other = new client.Configuration({ ...config.serverMetadata(), ...server }, own.client_id, own, client.None());
  for (const extension of [client.allowInsecureRequests, client.useJwtResponseMode]) extension(other);
  return other;
}
