// What a data recipient has, whichever package it speaks through: the issuer it was told, keys, metadata, a host for its
// key set, and the management of its registration (RFC 7592), which neither package offers.

import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';

if (!process.env.ISSUER) throw new Error('ISSUER must be the issuer to test against, for example http://localhost:8080');

export const issuer = process.env.ISSUER;
export const accounts = new URL(issuer + '/demo/accounts');
export const accountsScope = 'fdx:accountbasic:read';

// accountsFor are the authorization details (RFC 9396) that ask for the data of accountsScope, for so many days. A client
// that pushes a scope alone gets it once, and nothing to refresh with.
export const accountsFor = (days) => [{
  type: 'fdx_v1.0',
  consentRequest: {
    durationType: 'TIME_BOUND', durationPeriod: days, resources: [{ resourceType: 'ACCOUNT', dataClusters: ['ACCOUNT_BASIC'] }],
  },
}];

const algorithms = {
  ES256: { name: 'ECDSA', namedCurve: 'P-256' },
  PS256: { name: 'RSA-PSS', hash: 'SHA-256', modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]) },
  EdDSA: { name: 'Ed25519' },
};

export const algs = Object.keys(algorithms);

// newKey makes a signing key. key and kid are what both packages sign assertions with; jwk is what the server may know.
export async function newKey(alg = 'ES256') {
  const { privateKey, publicKey } = await crypto.subtle.generateKey(algorithms[alg], false, ['sign', 'verify']);
  const kid = randomUUID();
  const jwk = await crypto.subtle.exportKey('jwk', publicKey);
  return { alg, key: privateKey, kid, jwk: { ...jwk, kid, use: 'sig', alg } };
}

const rsa = { name: 'RSA-OAEP', modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]) };
const ecdh = { name: 'ECDH', namedCurve: 'P-256' };
const decryption = {
  'RSA-OAEP': [{ ...rsa, hash: 'SHA-1' }, ['encrypt', 'decrypt']],
  'RSA-OAEP-256': [{ ...rsa, hash: 'SHA-256' }, ['encrypt', 'decrypt']],
  'ECDH-ES': [ecdh, ['deriveBits']],
  'ECDH-ES+A256KW': [ecdh, ['deriveBits']],
};

// newDecryptionKey makes a key that answers are encrypted for, in the form that newKey has.
export async function newDecryptionKey(alg) {
  const [algorithm, usages] = decryption[alg];
  const { privateKey, publicKey } = await crypto.subtle.generateKey(algorithm, false, usages);
  const kid = randomUUID();
  const { kty, n, e, crv, x, y } = await crypto.subtle.exportKey('jwk', publicKey);
  return { alg, key: privateKey, kid, jwk: { kty, n, e, crv, x, y, kid, use: 'enc', alg } };
}

// metadata is a registration of the key, inline unless more names a jwks_uri.
export function metadata(key, more = {}) {
  return {
    client_name: 'Recipient with ' + key.alg,
    grant_types: ['client_credentials'],
    response_types: [],
    scope: accountsScope + ' fdx:balances:read',
    token_endpoint_auth_method: 'private_key_jwt',
    token_endpoint_auth_signing_alg: key.alg,
    dpop_bound_access_tokens: true,
    ...(more.jwks_uri ? {} : { jwks: { keys: [key.jwk] } }),
    ...more,
  };
}

// serveKeySet is the recipient's own host for a jwks_uri. Its keys may change while it runs; fetched counts who came.
export async function serveKeySet(t, ...keys) {
  const host = { keys, fetched: 0 };
  const listener = createServer((_request, response) => {
    host.fetched++;
    response.setHeader('Content-Type', 'application/jwk-set+json');
    response.end(JSON.stringify({ keys: host.keys.map((key) => key.jwk) }));
  }).listen(0, '127.0.0.1');
  t.after(() => listener.close());
  await once(listener, 'listening');
  host.uri = `http://127.0.0.1:${listener.address().port}/jwks`;
  return host;
}

// witness is fetch, and remembers what went over the wire: neither package tells of its retries.
export function witness() {
  const exchanges = [];
  return {
    async fetch(url, init) {
      const response = await fetch(url, init);
      exchanges.push({ url, init, response: response.clone() });
      return response;
    },
    // take tells what went since it was last asked, one line each, such as POST /oauth2/token 200.
    take: () => exchanges.splice(0).map((e) => `${e.init.method} ${e.url.replace(issuer, '')} ${e.response.status}`),
    // last is the latest exchange, as it was sent and answered.
    last: () => exchanges.at(-1),
  };
}

// manage sends a request to the registration's own address, with the token that came with it.
export function manage(registration, method, body) {
  return fetch(registration.registration_client_uri, {
    method,
    headers: {
      Authorization: 'Bearer ' + registration.registration_access_token,
      ...(body && { 'Content-Type': 'application/json' }),
    },
    body: body && JSON.stringify(body),
  });
}

// replacement is a registration as an update may send it: without the members that only the server sets (RFC 7592 §2.2).
export function replacement(registration, changes) {
  const { registration_access_token, registration_client_uri, client_id_issued_at, ...own } = registration;
  return { ...own, ...changes };
}
