// openid-client asks a person: PAR, PKCE and DPoP, the code, refreshing, and giving it all back.

import assert from 'node:assert/strict';
import test from 'node:test';
import * as client from 'openid-client';
import { answer } from './person.mjs';
import { accounts, accountsFor, accountsScope, issuer, metadata, newKey, witness } from './recipient.mjs';

const plainHTTP = issuer.startsWith('http:') ? [client.allowInsecureRequests] : [];
// Without a query: the package takes the query away before it redeems.
const redirectURI = 'https://recipient.example/callback';

async function register(alg = 'ES256') {
  const wire = witness();
  const key = await newKey(alg);
  const asked = { grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'], redirect_uris: [redirectURI] };
  const config = await client.dynamicClientRegistration(new URL(issuer), metadata(key, asked), client.PrivateKeyJwt(key), {
    algorithm: 'oauth2', execute: plainHTTP, [client.customFetch]: wire.fetch,
  });
  wire.take();
  return { config, wire, DPoP: client.getDPoPHandle(config, await client.randomDPoPKeyPair(alg)) };
}

// push pushes a request and returns where to send the browser, and what to check its return by.
async function push({ config, DPoP }, more = { authorization_details: JSON.stringify(accountsFor(30)) }) {
  const pkceCodeVerifier = client.randomPKCECodeVerifier();
  const expectedState = client.randomState();
  const url = await client.buildAuthorizationUrlWithPAR(config, {
    redirect_uri: redirectURI, scope: accountsScope, state: expectedState,
    code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier), code_challenge_method: 'S256', ...more,
  }, { DPoP });
  return { url, checks: { pkceCodeVerifier, expectedState } };
}

const call = ({ config, DPoP }, token) =>
  client.fetchProtectedResource(config, token.access_token, accounts, 'GET', undefined, undefined, { DPoP });

for (const alg of ['ES256', 'PS256', 'EdDSA']) {
  test(`a person says yes to a client with ${alg}, which redeems, refreshes and revokes`, async () => {
    const own = await register(alg);
    const { config, wire, DPoP } = own;
    const { url, checks } = await push(own);
    assert.deepEqual(wire.take(), ['POST /oauth2/par 400', 'POST /oauth2/par 201'], 'a nonce is asked for once');
    assert.deepEqual([...url.searchParams.keys()].sort(), ['client_id', 'request_uri']);

    const token = await client.authorizationCodeGrant(config, await answer(url, 'approve'), checks, undefined, { DPoP });
    assert.deepEqual(wire.take(), ['POST /oauth2/token 200'], 'the nonce of the push serves the token endpoint too');
    assert.equal(token.token_type, 'dpop');
    assert.equal(token.scope, accountsScope);
    assert.equal(token.id_token, undefined);
    const shared = (await (await call(own, token)).json()).accounts.map((account) => account.accountId);
    const [{ consentRequest }] = token.authorization_details;
    assert.deepEqual(consentRequest.resources.map((resource) => resource.resourceId).sort(), shared.sort());
    assert.equal(consentRequest.durationPeriod, 30);

    const again = await client.refreshTokenGrant(config, token.refresh_token, undefined, { DPoP });
    assert.equal(again.refresh_token, token.refresh_token, 'no rotation');
    assert.notEqual(again.access_token, token.access_token);
    assert.deepEqual(again.authorization_details, token.authorization_details);
    assert.equal(again.grant_id, token.grant_id);
    assert.equal((await client.tokenIntrospection(config, again.access_token)).fdxConsentId, token.grant_id);
    const other = client.getDPoPHandle(config, await client.randomDPoPKeyPair(alg));
    const moved = await client.refreshTokenGrant(config, token.refresh_token, undefined, { DPoP: other });
    assert.equal((await call({ config, DPoP: other }, moved)).status, 200, 'a new key is taken at a refresh');

    await client.tokenRevocation(config, token.refresh_token);
    await assert.rejects(client.refreshTokenGrant(config, token.refresh_token, undefined, { DPoP }), { status: 400, error: 'invalid_grant' });
    assert.deepEqual(await client.tokenIntrospection(config, moved.access_token), { active: false });
    await assert.rejects(call(own, again), { status: 401 });
  });
}

test('a client that asks by scope alone may do so once', async () => {
  const own = await register();
  const { url, checks } = await push(own, {});
  const token = await client.authorizationCodeGrant(own.config, await answer(url, 'approve'), checks, undefined, { DPoP: own.DPoP });
  assert.equal(token.refresh_token, undefined);
  assert.equal(token.authorization_details[0].consentRequest.durationType, 'ONE_TIME');
  assert.equal((await call(own, token)).status, 200);
});

test('details that FDX does not have are refused by the path of the member', async () => {
  const [detail] = accountsFor(366);
  await assert.rejects(push(await register(), { authorization_details: JSON.stringify([detail]) }), (refusal) => {
    assert.equal(refusal.error, 'invalid_authorization_details');
    assert.match(refusal.error_description, /^authorization_details\[0\]\.consentRequest\.durationPeriod /);
    return true;
  });
});

test('a person says no', async () => {
  const own = await register();
  const { url, checks } = await push(own);
  await assert.rejects(client.authorizationCodeGrant(own.config, await answer(url, 'deny'), checks, undefined, { DPoP: own.DPoP }),
    { error: 'access_denied' });
});

test('prompt=none is told to the client, with state and iss, which the package checks', async () => {
  const own = await register();
  const { url, checks } = await push(own, { prompt: 'none' });
  await assert.rejects(client.authorizationCodeGrant(own.config, await answer(url, 'approve'), checks, undefined, { DPoP: own.DPoP }),
    { error: 'login_required' });
});

test('a code is good once, and takes its tokens with it', async () => {
  const own = await register();
  const { url, checks } = await push(own);
  const back = await answer(url, 'approve');
  const token = await client.authorizationCodeGrant(own.config, back, checks, undefined, { DPoP: own.DPoP });
  await assert.rejects(client.authorizationCodeGrant(own.config, back, checks, undefined, { DPoP: own.DPoP }), (refusal) => {
    assert.equal(refusal.error, 'invalid_grant');
    assert.match(refusal.error_description, /redeemed before/);
    assert.equal(refusal.cause.error_uri, issuer + '/errors/code_replayed');
    return true;
  });
  await assert.rejects(call(own, token), { status: 401 });
});
