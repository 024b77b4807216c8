// oauth4webapi, the layer below openid-client: one function sends a request, a second judges the answer, and the
// application repeats after use_dpop_nonce. It is also a resource server's library: it judges our access tokens.

import assert from 'node:assert/strict';
import test from 'node:test';
import * as oauth from 'oauth4webapi';
import {
  accounts, accountsScope, algs, issuer, manage, metadata, newKey, replacement, serveKeySet, witness,
} from './recipient.mjs';

const plainHTTP = { [oauth.allowInsecureRequests]: issuer.startsWith('http:') };

async function discover(algorithm = 'oauth2') {
  const response = await oauth.discoveryRequest(new URL(issuer), { algorithm, ...plainHTTP });
  return oauth.processDiscoveryResponse(new URL(issuer), response);
}

// register makes a client of its own for each test. What it sends afterwards goes through wire, by way of options.
async function register(key, more) {
  const as = await discover();
  const response = await oauth.dynamicClientRegistrationRequest(as, metadata(key, more), plainHTTP);
  const client = await oauth.processDynamicClientRegistrationResponse(response);
  const wire = witness();
  const options = { ...plainHTTP, [oauth.customFetch]: wire.fetch };
  return { as, client, authentication: oauth.PrivateKeyJwt(key), wire, options };
}

// altered is the package's own way of changing an assertion or a proof before it is signed.
const altered = (change) => ({ [oauth.modifyAssertion]: (_header, claims) => change(claims) });

// onceMore repeats what was refused for want of a nonce; the DPoP handle has kept the one that came with the refusal.
async function onceMore(act) {
  try {
    return await act();
  } catch (refusal) {
    if (!oauth.isDPoPNonceError(refusal)) throw refusal;
    return act();
  }
}

async function grant({ as, client, authentication, options }, parameters = {}, keys) {
  const DPoP = oauth.DPoP(client, keys ?? (await oauth.generateKeyPair('ES256')));
  const token = await onceMore(async () => {
    const response = await oauth.clientCredentialsGrantRequest(as, client, authentication, parameters, { DPoP, ...options });
    return oauth.processClientCredentialsResponse(as, client, response);
  });
  return { DPoP, token };
}

const call = ({ options }, { DPoP, token }) =>
  onceMore(() => oauth.protectedResourceRequest(token.access_token, 'GET', accounts, undefined, undefined, { DPoP, ...options }));

async function introspect({ as, client, authentication, options }, { token }, requestJwtResponse) {
  const how = { requestJwtResponse, ...options };
  const response = await oauth.introspectionRequest(as, client, authentication, token.access_token, how);
  return { response, known: await oauth.processIntrospectionResponse(as, client, response) };
}

async function revoke({ as, client, authentication, options }, { token }) {
  await oauth.processRevocationResponse(await oauth.revocationRequest(as, client, authentication, token.access_token, options));
}

for (const algorithm of ['oauth2', 'oidc']) {
  test(`the metadata is discovered by ${algorithm}`, async () => {
    const as = await discover(algorithm);
    assert.equal(as.issuer, issuer);
    assert.deepEqual(as.token_endpoint_auth_methods_supported, ['private_key_jwt']);
  });
}

for (const alg of algs) {
  test(`a token bound to a key for ${alg} is fetched, used, introspected and revoked`, async () => {
    const registered = await register(await newKey(alg));
    const { as, client, wire } = registered;
    const keys = await oauth.generateKeyPair(alg);
    const granted = await grant(registered, { scope: accountsScope }, keys);
    const { DPoP, token } = granted;
    assert.deepEqual(wire.take(), ['POST /oauth2/token 400', 'POST /oauth2/token 200']);
    assert.equal(token.token_type, 'dpop');
    assert.equal(token.scope, accountsScope);
    assert.ok(token.expires_in > 60);

    const answer = await call(registered, granted);
    assert.equal((await answer.json()).accounts.length, 2);
    const { url, init } = wire.last();
    assert.deepEqual(wire.take(), ['GET /demo/accounts 200'], 'the nonce of the token endpoint serves the resource too');
    const asSent = new Request(url, init);
    const claims = await oauth.validateJwtAccessToken(as, asSent, issuer, { requireDPoP: true, ...plainHTTP });
    assert.equal(claims.client_id, client.client_id, 'a resource server with this package takes the same request');
    await call(registered, { DPoP: oauth.DPoP(client, keys), token });
    assert.deepEqual(wire.take(), ['GET /demo/accounts 401', 'GET /demo/accounts 200'], 'the resource gives a nonce as well');

    const { known } = await introspect(registered, granted);
    assert.equal(known.active, true);
    assert.equal(known.client_id, client.client_id);
    assert.equal(known.token_type, 'DPoP');
    assert.equal(known.cnf.jkt, await DPoP.calculateThumbprint());

    await revoke(registered, granted);
    assert.deepEqual((await introspect(registered, granted)).known, { active: false });
    await assert.rejects(call(registered, granted), { status: 401 });
  });

  test(`a key for ${alg} behind a jwks_uri is fetched, and the next one too`, async (t) => {
    const first = await newKey(alg);
    const host = await serveKeySet(t, first);
    const registered = await register(first, { jwks_uri: host.uri });
    await grant(registered);
    assert.equal(host.fetched, 1);

    const next = await newKey(alg);
    host.keys = [next];
    await grant({ ...registered, authentication: oauth.PrivateKeyJwt(next) });
    assert.equal(host.fetched, 2);
  });
}

// undefined: the client registered nothing and asks in the Accept header alone.
for (const alg of [undefined, ...algs]) {
  test(`introspection is answered as a JWT, registered: ${alg ?? 'nothing'}`, async (t) => {
    const registered = await register(await newKey(), { introspection_signed_response_alg: alg });
    const { as, client } = registered;
    assert.equal(client.introspection_signed_response_alg, alg, 'echoed only when asked for');
    const granted = await grant(registered);
    const { response, known } = await introspect(registered, granted, true);
    assert.equal(response.headers.get('Content-Type'), 'application/token-introspection+jwt');
    assert.equal(known.active, true);
    assert.equal(known.client_id, client.client_id);
    await oauth.validateApplicationLevelSignature(as, response, plainHTTP);

    const published = (await (await fetch(as.jwks_uri)).json()).keys.find((jwk) => jwk.alg === (alg ?? 'PS256'));
    const foreign = await newKey(alg ?? 'PS256');
    foreign.jwk.kid = published.kid;
    const elsewhere = { ...as, jwks_uri: (await serveKeySet(t, foreign)).uri };
    const refused = oauth.validateApplicationLevelSignature(elsewhere, response, { [oauth.allowInsecureRequests]: true });
    await assert.rejects(refused, /signature verification failed/, 'so the check above was one');

    await revoke(registered, granted);
    assert.deepEqual((await introspect(registered, granted, true)).known, { active: false });
  });
}

test('a registration is read, updated and deleted', async () => {
  const registered = await register(await newKey());
  const { client } = registered;
  const read = await manage(client, 'GET');
  assert.equal(read.status, 200);
  assert.deepEqual(await read.json(), client);

  const next = await newKey('PS256');
  const changes = { jwks: { keys: [next.jwk] }, token_endpoint_auth_signing_alg: 'PS256' };
  const updated = await manage(client, 'PUT', replacement(client, changes));
  assert.equal(updated.status, 200);
  assert.deepEqual(await updated.json(), { ...client, ...changes });
  await assert.rejects(grant(registered), { status: 401, error: 'invalid_client' }, 'the old key is good no more');
  const renewed = { ...registered, authentication: oauth.PrivateKeyJwt(next) };
  const granted = await grant(renewed);

  assert.equal((await manage(client, 'DELETE')).status, 204);
  assert.equal((await manage(client, 'GET')).status, 401);
  await assert.rejects(grant(renewed), { status: 401, error: 'invalid_client' });
  await assert.rejects(call(renewed, granted), { status: 401 }, 'its tokens ended with it');
});

test('the token response is spelled as RFC 9449 has it, and no cache keeps it', async () => {
  const registered = await register(await newKey());
  await grant(registered);
  const { response } = registered.wire.last();
  const body = await response.json();
  assert.equal(body.token_type, 'DPoP', 'this package does not mind the case, others do');
  assert.deepEqual(Object.keys(body), ['access_token', 'token_type', 'expires_in', 'scope'], 'what has no value is left out');
  assert.equal(response.headers.get('Cache-Control'), 'no-store');
});

// What was wrong, and what oauth4webapi then tells the application.
const refusals = [
  {
    of: 'a registration for a scope that there is not',
    status: 400, error: 'invalid_client_metadata', reason: 'metadata_scope', description: /^scope must be of scopes_supported/,
    act: async () => register(await newKey(), { scope: 'moon:read' }),
  },
  {
    of: 'a token request with an assertion for several audiences',
    status: 401, error: 'invalid_client', reason: 'assertion_audience', description: /^aud must be the issuer as one string/,
    act: async () => {
      const key = await newKey();
      const array = altered((claims) => { claims.aud = [claims.aud]; });
      return grant({ ...(await register(key)), authentication: oauth.PrivateKeyJwt(key, array) });
    },
  },
  {
    of: 'a token request with a proof for another method',
    status: 400, error: 'invalid_dpop_proof', reason: 'proof_htm', description: /htm/,
    act: async () => {
      const { as, client, authentication, options } = await register(await newKey());
      const get = altered((claims) => { claims.htm = 'GET'; });
      const DPoP = oauth.DPoP(client, await oauth.generateKeyPair('ES256'), get);
      const response = await oauth.clientCredentialsGrantRequest(as, client, authentication, {}, { DPoP, ...options });
      return oauth.processClientCredentialsResponse(as, client, response);
    },
  },
  {
    of: 'introspection with an assertion that has expired',
    status: 401, error: 'invalid_client', reason: 'assertion_expired', description: /exp/,
    act: async () => {
      const key = await newKey();
      const expired = altered((claims) => { claims.exp -= 3600; });
      const registered = { ...(await register(key)), authentication: oauth.PrivateKeyJwt(key, expired) };
      return introspect(registered, { token: { access_token: 'token' } });
    },
  },
  {
    of: 'revocation without authentication',
    status: 401, error: 'invalid_client', reason: 'client_authentication_missing', description: /client_assertion/,
    act: async () => {
      const registered = { ...(await register(await newKey())), authentication: oauth.None() };
      return revoke(registered, { token: { access_token: 'token' } });
    },
  },
];

for (const { of, status, error, reason, description, act } of refusals) {
  test(`told of ${of}: ${error}, ${reason}`, async () => {
    await assert.rejects(act, (refusal) => {
      assert.ok(refusal instanceof oauth.ResponseBodyError, refusal);
      assert.equal(refusal.status, status);
      assert.equal(refusal.error, error);
      assert.match(refusal.error_description, description);
      assert.equal(refusal.cause.error_uri, `${issuer}/errors/${reason}`);
      return true;
    });
  });
}

test('challenged for a scope that is too small: insufficient_scope', async () => {
  const registered = await register(await newKey());
  const granted = await grant(registered, { scope: 'fdx:balances:read' });
  await assert.rejects(call(registered, granted), (refusal) => {
    assert.ok(refusal instanceof oauth.WWWAuthenticateChallengeError, refusal);
    assert.equal(refusal.status, 403);
    const [{ scheme, parameters }] = refusal.cause;
    assert.equal(scheme, 'dpop');
    assert.equal(parameters.error, 'insufficient_scope');
    assert.equal(parameters.scope, accountsScope + ' fdx:accountdetailed:read');
    assert.match(parameters.error_description, /needs the scope fdx:accountbasic:read/);
    return true;
  });
});
