// oauth4webapi asks a person. It repeats nothing by itself: the nonce is asked for, and then sent.

import assert from 'node:assert/strict';
import test from 'node:test';
import * as oauth from 'oauth4webapi';
import { answer } from './person.mjs';
import { accounts, accountsFor, accountsScope, issuer, metadata, newKey } from './recipient.mjs';

const options = { [oauth.allowInsecureRequests]: issuer.startsWith('http:') };
const redirectURI = 'https://recipient.example/callback';

// twice sends a request again when the server asks for a nonce.
async function twice(send, read) {
  try {
    return await read(await send());
  } catch (err) {
    if (!oauth.isDPoPNonceError(err)) throw err;
    return read(await send());
  }
}

test('a person says yes, and the client redeems and refreshes', async () => {
  const discovered = await oauth.discoveryRequest(new URL(issuer), { ...options, algorithm: 'oauth2' });
  const as = await oauth.processDiscoveryResponse(new URL(issuer), discovered);
  const key = await newKey();
  const asked = { grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'], redirect_uris: [redirectURI] };
  const registered = await oauth.dynamicClientRegistrationRequest(as, metadata(key, asked), options);
  const client = await oauth.processDynamicClientRegistrationResponse(registered);
  const authentication = oauth.PrivateKeyJwt(key);
  const DPoP = oauth.DPoP(client, await oauth.generateKeyPair('ES256'));

  const verifier = oauth.generateRandomCodeVerifier();
  const state = oauth.generateRandomState();
  const parameters = {
    response_type: 'code', redirect_uri: redirectURI, scope: accountsScope, state,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
    authorization_details: JSON.stringify(accountsFor(30)),
  };
  const pushed = await twice(
    () => oauth.pushedAuthorizationRequest(as, client, authentication, parameters, { ...options, DPoP }),
    (response) => oauth.processPushedAuthorizationResponse(as, client, response));
  const url = new URL(as.authorization_endpoint);
  url.search = new URLSearchParams({ client_id: client.client_id, request_uri: pushed.request_uri });

  const back = oauth.validateAuthResponse(as, client, await answer(url, 'approve'), state);
  const token = await twice(
    () => oauth.authorizationCodeGrantRequest(as, client, authentication, back, redirectURI, verifier, { ...options, DPoP }),
    (response) => oauth.processAuthorizationCodeResponse(as, client, response));
  assert.equal(token.scope, accountsScope);
  assert.equal(token.authorization_details[0].consentRequest.resources.length, 2, 'the accounts that were chosen');
  const shared = await oauth.protectedResourceRequest(token.access_token, 'GET', accounts, undefined, undefined, { ...options, DPoP });
  assert.equal(shared.status, 200);

  const again = await twice(
    () => oauth.refreshTokenGrantRequest(as, client, authentication, token.refresh_token, { ...options, DPoP }),
    (response) => oauth.processRefreshTokenResponse(as, client, response));
  assert.equal(again.refresh_token, token.refresh_token);
  assert.deepEqual(again.authorization_details, token.authorization_details);
});
