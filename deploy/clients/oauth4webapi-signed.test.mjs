// oauth4webapi at signed requests and answers, and at who signed in. Every step is a call of its own, and so every check.

import assert from 'node:assert/strict';
import test from 'node:test';
import * as oauth from 'oauth4webapi';
import { answer } from './person.mjs';
import { accountsFor, accountsScope, algs, issuer, metadata, newKey, serveKeySet } from './recipient.mjs';

const options = { [oauth.allowInsecureRequests]: issuer.startsWith('http:') };
const redirectURI = 'https://recipient.example/callback';

// register makes a client that signs its requests with alg and is answered by JWTs of that alg.
async function register(alg = 'PS256') {
  const as = await oauth.processDiscoveryResponse(new URL(issuer), await oauth.discoveryRequest(new URL(issuer), options));
  const key = await newKey(alg);
  const asked = metadata(key, {
    grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'], redirect_uris: [redirectURI],
    scope: 'openid ' + accountsScope, request_object_signing_alg: alg, require_signed_request_object: true,
    id_token_signed_response_alg: alg, authorization_signed_response_alg: alg, userinfo_signed_response_alg: alg,
  });
  const registered = await oauth.dynamicClientRegistrationRequest(as, asked, options);
  const client = await oauth.processDynamicClientRegistrationResponse(registered);
  const DPoP = oauth.DPoP(client, await oauth.generateKeyPair('ES256'));
  return { as, client, key, DPoP, authentication: oauth.PrivateKeyJwt(key) };
}

// twice sends a request again when the server asks for a nonce.
async function twice(send, read) {
  try {
    return await read(await send());
  } catch (err) {
    if (!oauth.isDPoPNonceError(err)) throw err;
    return read(await send());
  }
}

// push pushes a signed request and returns where to send the browser, and what to check the answers by.
async function push({ as, client, key, DPoP, authentication }, response_mode = 'jwt') {
  const checks = {
    verifier: oauth.generateRandomCodeVerifier(), state: oauth.generateRandomState(), nonce: oauth.generateRandomNonce(),
  };
  const request = await oauth.issueRequestObject(as, client, {
    response_type: 'code', response_mode, redirect_uri: redirectURI, scope: client.scope, max_age: '300',
    state: checks.state, nonce: checks.nonce, authorization_details: JSON.stringify(accountsFor(30)),
    code_challenge: await oauth.calculatePKCECodeChallenge(checks.verifier), code_challenge_method: 'S256',
  }, key);
  const pushed = await twice(
    () => oauth.pushedAuthorizationRequest(as, client, authentication, { request }, { ...options, DPoP }),
    (response) => oauth.processPushedAuthorizationResponse(as, client, response));
  const url = new URL(as.authorization_endpoint);
  url.search = new URLSearchParams({ client_id: client.client_id, request_uri: pushed.request_uri });
  return { url, checks };
}

// redeem sends the code of an answer that was found good.
const redeem = ({ as, client, authentication, DPoP }, good, { verifier }) =>
  oauth.authorizationCodeGrantRequest(as, client, authentication, good, redirectURI, verifier, { ...options, DPoP });

for (const alg of algs) {
  test(`requests and answers are signed with ${alg}, and tell who signed in`, async () => {
    const own = await register(alg);
    const { as, client, authentication, DPoP } = own;
    const { url, checks } = await push(own);
    const good = await oauth.validateJwtAuthResponse(as, client, await answer(url, 'approve'), checks.state, options);
    const response = await redeem(own, good, checks);
    const expected = { expectedNonce: checks.nonce, maxAge: 300, requireIdToken: true };
    const token = await oauth.processAuthorizationCodeResponse(as, client, response, expected);
    await oauth.validateApplicationLevelSignature(as, response, options);
    const { sub, aud, nonce } = oauth.getValidatedIdTokenClaims(token);
    assert.deepEqual({ aud, nonce }, { aud: client.client_id, nonce: checks.nonce });

    const told = { iss: issuer, aud: client.client_id, sub };
    const userinfo = await oauth.userInfoRequest(as, client, token.access_token, { ...options, DPoP });
    assert.deepEqual(await oauth.processUserInfoResponse(as, client, sub, userinfo), told);
    await oauth.validateApplicationLevelSignature(as, userinfo, options);
    const [endpoint, proof] = [new URL(as.userinfo_endpoint), { ...options, DPoP }];
    const posted = await oauth.protectedResourceRequest(token.access_token, 'POST', endpoint, undefined, undefined, proof);
    assert.deepEqual(await oauth.processUserInfoResponse(as, client, sub, posted), told);

    const again = await oauth.refreshTokenGrantRequest(as, client, authentication, token.refresh_token, proof);
    const refreshed = await oauth.processRefreshTokenResponse(as, client, again);
    await oauth.validateApplicationLevelSignature(as, again, options);
    assert.equal(oauth.getValidatedIdTokenClaims(refreshed).sub, sub);
  });
}

test('the answer is posted as a form, and taken from it', async () => {
  const own = await register();
  const { url, checks } = await push(own, 'form_post.jwt');
  const form = new URLSearchParams(await oauth.formPostResponse(await answer(url, 'approve')));
  assert.deepEqual([...form.keys()], ['response']);
  const good = await oauth.validateJwtAuthResponse(own.as, own.client, form, checks.state, options);
  assert.equal((await redeem(own, good, checks)).status, 200);
});

test('a person says no, and that is signed too', async () => {
  const own = await register();
  const { url, checks } = await push(own);
  const refused = oauth.validateJwtAuthResponse(own.as, own.client, await answer(url, 'deny'), checks.state, options);
  await assert.rejects(refused, (refusal) => {
    assert.ok(refusal instanceof oauth.AuthorizationResponseError, refusal);
    assert.equal(refusal.error, 'access_denied');
    return true;
  });
});

test('the package checks the nonce, the state, the audience and the signature', async (t) => {
  const own = await register();
  const { as, client } = own;
  const { url, checks } = await push(own);
  const back = await answer(url, 'approve');
  await assert.rejects(oauth.validateJwtAuthResponse(as, client, back, 'another', options), /unexpected "state"/);
  const other = { ...client, client_id: 'another' };
  await assert.rejects(oauth.validateJwtAuthResponse(as, other, back, checks.state, options), /unexpected JWT "aud"/);

  const foreign = await newKey('PS256');
  foreign.jwk.kid = (await (await fetch(as.jwks_uri)).json()).keys.find((jwk) => jwk.alg === 'PS256').kid;
  const elsewhere = { ...as, jwks_uri: (await serveKeySet(t, foreign)).uri };
  const [insecure, unverified] = [{ [oauth.allowInsecureRequests]: true }, /signature verification failed/];
  await assert.rejects(oauth.validateJwtAuthResponse(elsewhere, client, back, checks.state, insecure), unverified);

  const response = await redeem(own, await oauth.validateJwtAuthResponse(as, client, back, checks.state, options), checks);
  await assert.rejects(oauth.processAuthorizationCodeResponse(as, client, response.clone(), { expectedNonce: 'another' }),
    /unexpected ID Token "nonce"/);
  await oauth.processAuthorizationCodeResponse(as, client, response, { expectedNonce: checks.nonce });
  await assert.rejects(oauth.validateApplicationLevelSignature(elsewhere, response, insecure), unverified);
});
