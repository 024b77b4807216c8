// openid-client, by which most Node applications speak OAuth. It repeats a request after use_dpop_nonce by itself, once.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import test from 'node:test';
import * as client from 'openid-client';
import {
  accounts, accountsScope, algs, issuer, manage, metadata, newKey, replacement, serveKeySet, witness,
} from './recipient.mjs';

const plainHTTP = issuer.startsWith('http:') ? [client.allowInsecureRequests] : [];

// register makes a client of its own for each test; wire is what that client sends afterwards.
async function register(key, more, extensions = []) {
  const wire = witness();
  const config = await client.dynamicClientRegistration(new URL(issuer), metadata(key, more), client.PrivateKeyJwt(key), {
    algorithm: 'oauth2',
    execute: [...plainHTTP, ...extensions],
    [client.customFetch]: wire.fetch,
  });
  assert.equal(wire.take().at(-1), 'POST /fdx/v6/register 201');
  return { config, wire };
}

// as is the registered client with another way of making assertions.
function as({ config }, authentication) {
  const registration = config.clientMetadata();
  const other = new client.Configuration(config.serverMetadata(), registration.client_id, registration, authentication);
  for (const extension of plainHTTP) extension(other);
  return { config: other };
}

async function grant({ config }, parameters, keys) {
  const DPoP = client.getDPoPHandle(config, keys ?? (await client.randomDPoPKeyPair()));
  return { DPoP, token: await client.clientCredentialsGrant(config, parameters, { DPoP }) };
}

const call = ({ config }, { DPoP, token }) =>
  client.fetchProtectedResource(config, token.access_token, accounts, 'GET', undefined, undefined, { DPoP });

// altered is the package's own way of changing an assertion or a proof before it is signed.
const altered = (change) => ({ [client.modifyAssertion]: (_header, claims) => change(claims) });

for (const algorithm of ['oauth2', 'oidc']) {
  test(`the metadata is discovered by ${algorithm}`, async () => {
    const config = await client.discovery(new URL(issuer), 'nobody', undefined, undefined, { algorithm, execute: plainHTTP });
    assert.equal(config.serverMetadata().issuer, issuer);
    assert.ok(config.serverMetadata().dpop_signing_alg_values_supported.includes('ES256'));
  });
}

for (const alg of algs) {
  test(`a token bound to a key for ${alg} is fetched, used, introspected and revoked`, async () => {
    const registered = await register(await newKey(alg));
    const { config, wire } = registered;
    const keys = await client.randomDPoPKeyPair(alg);
    const granted = await grant(registered, { scope: accountsScope }, keys);
    const { DPoP, token } = granted;
    assert.deepEqual(wire.take(), ['POST /oauth2/token 400', 'POST /oauth2/token 200']);
    assert.equal(token.token_type, 'dpop');
    assert.equal(token.scope, accountsScope);
    assert.ok(token.expiresIn() > 60);

    const answer = await call(registered, granted);
    assert.equal((await answer.json()).accounts.length, 2);
    assert.deepEqual(wire.take(), ['GET /demo/accounts 200'], 'the nonce of the token endpoint serves the resource too');
    await call(registered, { DPoP: client.getDPoPHandle(config, keys), token });
    assert.deepEqual(wire.take(), ['GET /demo/accounts 401', 'GET /demo/accounts 200'], 'the resource gives a nonce as well');

    const known = await client.tokenIntrospection(config, token.access_token);
    assert.equal(known.active, true);
    assert.equal(known.client_id, config.clientMetadata().client_id);
    assert.equal(known.token_type, 'DPoP');
    assert.equal(known.cnf.jkt, await DPoP.calculateThumbprint());

    await client.tokenRevocation(config, token.access_token);
    assert.deepEqual(await client.tokenIntrospection(config, token.access_token), { active: false });
    await assert.rejects(call(registered, granted), { status: 401 });
  });

  test(`introspection is answered as a JWT signed with ${alg}`, async () => {
    const asked = { introspection_signed_response_alg: alg };
    const { config, wire } = await register(await newKey(), asked, [client.enableNonRepudiationChecks]);
    const { token } = await grant({ config });
    wire.take();
    const known = await client.tokenIntrospection(config, token.access_token);
    assert.equal(known.active, true);
    assert.deepEqual(wire.take(), ['POST /oauth2/introspect 200', 'GET /oauth2/jwks 200'], 'the signature was verified');

    await client.tokenRevocation(config, token.access_token);
    assert.deepEqual(await client.tokenIntrospection(config, token.access_token), { active: false });
    assert.equal(wire.last().response.headers.get('Content-Type'), 'application/token-introspection+jwt');
  });

  test(`a key for ${alg} behind a jwks_uri is fetched, and the next one too`, async (t) => {
    const first = await newKey(alg);
    const host = await serveKeySet(t, first);
    const registered = await register(first, { jwks_uri: host.uri });
    assert.equal(host.fetched, 0, 'registration fetches nothing');
    await grant(registered);
    assert.equal(host.fetched, 1);

    const next = await newKey(alg);
    host.keys = [next];
    await grant(as(registered, client.PrivateKeyJwt(next)));
    assert.equal(host.fetched, 2);
  });
}

test('a registration is read, updated and deleted', async () => {
  const registered = await register(await newKey());
  const registration = registered.config.clientMetadata();
  const read = await manage(registration, 'GET');
  assert.equal(read.status, 200);
  assert.deepEqual(await read.json(), registration);

  const changes = { client_name: 'Renamed', scope: accountsScope };
  const updated = await manage(registration, 'PUT', replacement(registration, changes));
  assert.equal(updated.status, 200);
  assert.deepEqual(await updated.json(), { ...registration, ...changes });
  const granted = await grant(registered);
  assert.equal(granted.token.scope, accountsScope, 'the next token has the new scope');

  assert.equal((await manage(registration, 'DELETE')).status, 204);
  assert.equal((await manage(registration, 'GET')).status, 401);
  await assert.rejects(grant(registered), { status: 401, error: 'invalid_client' });
  await assert.rejects(call(registered, granted), { status: 401 }, 'its tokens ended with it');
});

// What was wrong, and what openid-client then tells the application.
const refusals = [
  {
    of: 'a private key in the registration',
    status: 400, error: 'invalid_client_metadata', reason: 'metadata_keys', description: /^jwks: .*private/,
    act: async () => {
      const key = await newKey();
      return register(key, { jwks: { keys: [{ ...key.jwk, d: 'AAAA' }] } });
    },
  },
  {
    of: 'an algorithm that is not offered',
    status: 400, error: 'invalid_client_metadata', reason: 'metadata_member',
    description: /^token_endpoint_auth_signing_alg must be one of PS256, ES256, EdDSA/,
    act: async () => register(await newKey(), { token_endpoint_auth_signing_alg: 'RS256' }),
  },
  {
    of: 'an assertion for another audience',
    status: 401, error: 'invalid_client', reason: 'assertion_audience', description: /^aud must be the issuer as one string/,
    act: async () => {
      const key = await newKey();
      const endpoint = altered((claims) => { claims.aud += '/oauth2/token'; });
      return grant(as(await register(key), client.PrivateKeyJwt(key, endpoint)));
    },
  },
  {
    of: 'an assertion that was used before',
    status: 401, error: 'invalid_client', reason: 'assertion_replayed', description: /used before/,
    act: async () => {
      const [key, jti] = [await newKey(), randomUUID()];
      const same = altered((claims) => { claims.jti = jti; });
      const registered = as(await register(key), client.PrivateKeyJwt(key, same));
      await grant(registered); // two requests, for the refusal of a missing nonce uses nothing up
      return grant(registered);
    },
  },
  {
    of: 'a key that is not registered',
    status: 401, error: 'invalid_client', reason: 'client_not_proven', description: /^the assertion does not prove/,
    act: async () => grant(as(await register(await newKey()), client.PrivateKeyJwt(await newKey()))),
  },
  {
    of: 'no proof of possession',
    status: 400, error: 'invalid_request', reason: 'proof_missing', description: /DPoP/,
    act: async () => client.clientCredentialsGrant((await register(await newKey())).config),
  },
  {
    of: 'a proof that was used before',
    status: 400, error: 'invalid_dpop_proof', reason: 'proof_replayed', description: /used before/,
    act: async () => {
      const [{ config }, jti] = [await register(await newKey()), randomUUID()];
      const same = altered((claims) => { claims.jti = jti; });
      const DPoP = client.getDPoPHandle(config, await client.randomDPoPKeyPair(), same);
      await client.clientCredentialsGrant(config, undefined, { DPoP });
      return client.clientCredentialsGrant(config, undefined, { DPoP });
    },
  },
  {
    of: 'a scope that is not registered',
    status: 400, error: 'invalid_scope', reason: 'scope_not_registered',
    description: /registered: fdx:accountbasic:read fdx:balances:read$/,
    act: async () => grant(await register(await newKey()), { scope: 'fdx:tax:read' }),
  },
  {
    of: 'a grant type that is not offered',
    status: 400, error: 'unsupported_grant_type', reason: 'grant_type_unsupported', description: /client_credentials/,
    act: async () => client.genericGrantRequest((await register(await newKey())).config, 'password'),
  },
  {
    of: 'introspection with a key that is not registered',
    status: 401, error: 'invalid_client', reason: 'client_not_proven', description: /^the assertion does not prove/,
    act: async () => {
      const { config } = as(await register(await newKey()), client.PrivateKeyJwt(await newKey()));
      return client.tokenIntrospection(config, 'token');
    },
  },
  {
    of: 'revocation with a key that is not registered',
    status: 401, error: 'invalid_client', reason: 'client_not_proven', description: /^the assertion does not prove/,
    act: async () => {
      const { config } = as(await register(await newKey()), client.PrivateKeyJwt(await newKey()));
      return client.tokenRevocation(config, 'token');
    },
  },
];

for (const { of, status, error, reason, description, act } of refusals) {
  test(`told of ${of}: ${error}, ${reason}`, async () => {
    await assert.rejects(act, (refusal) => {
      assert.ok(refusal instanceof client.ResponseBodyError, refusal);
      assert.equal(refusal.status, status);
      assert.equal(refusal.error, error);
      assert.match(refusal.error_description, description);
      assert.equal(refusal.cause.error_uri, `${issuer}/errors/${reason}`);
      return true;
    });
    assert.equal((await fetch(`${issuer}/errors/${reason}`)).status, 200);
  });
}

// What was wrong at the resource, and the challenge as openid-client parsed it.
const challenges = [
  {
    of: 'a scope that is too small',
    status: 403, error: 'insufficient_scope', description: /needs the scope fdx:accountbasic:read/,
    act: async (registered) => call(registered, await grant(registered, { scope: 'fdx:balances:read' })),
  },
  {
    of: 'a proof by another key',
    status: 401, error: 'invalid_token', description: /not the one that the access token is bound to/,
    act: async (registered) => {
      const { token } = await grant(registered);
      return call(registered, { DPoP: client.getDPoPHandle(registered.config, await client.randomDPoPKeyPair()), token });
    },
  },
  {
    of: 'no proof',
    status: 401, error: 'invalid_token', description: /bound to a key/,
    act: async (registered) => {
      const { token } = await grant(registered);
      return call(registered, { token });
    },
  },
];

for (const { of, status, error, description, act } of challenges) {
  test(`challenged for ${of}: ${error}`, async () => {
    await assert.rejects(act(await register(await newKey())), (refusal) => {
      assert.ok(refusal instanceof client.WWWAuthenticateChallengeError, refusal);
      assert.equal(refusal.status, status);
      assert.equal(refusal.cause.length, 1);
      const [{ scheme, parameters }] = refusal.cause;
      assert.equal(scheme, 'dpop');
      assert.equal(parameters.error, error);
      assert.match(parameters.error_description, description);
      assert.equal(parameters.algs, 'PS256 ES256 EdDSA');
      return true;
    });
  });
}
