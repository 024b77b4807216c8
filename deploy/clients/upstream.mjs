// An OpenID provider for people to come from: oidc-provider, unmodified, on a free port of the loopback. CLIENTS holds the
// metadata of its clients, a JSON list. It says "issuer <URL>" on standard output when it answers, and ends when its
// standard input does.

import { once } from 'node:events';
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const server = createServer().listen(0, '127.0.0.1');
await once(server, 'listening');
const issuer = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(issuer, {
  clients: JSON.parse(process.env.CLIENTS),
  acrValues: ['urn:example:password', 'urn:example:passkey'],
  claims: { openid: ['sub', 'preferred_username'], acr: null, amr: null, auth_time: null },
  conformIdTokenClaims: false,
  findAccount: (_context, id) => ({ accountId: id, claims: () => ({ sub: id, preferred_username: id }) }),
  features: { devInteractions: { enabled: true }, claimsParameter: { enabled: true } },
  pkce: { required: () => true },
});

// The package's own forms do not say how somebody signed in.
const finish = provider.interactionFinished.bind(provider);
provider.interactionFinished = (request, response, result, options) => {
  if (result.login) Object.assign(result.login, { acr: 'urn:example:password', amr: ['pwd'] });
  return finish(request, response, result, options);
};

server.on('request', provider.callback());
process.stdin.on('end', () => process.exit()).resume();
console.log('issuer', issuer);
