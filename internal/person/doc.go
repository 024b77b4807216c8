// Package person is who sits at the browser: people with passwords, or of an upstream OpenID provider; their sessions, and
// the accounts that they may share.
//
// State. The store keeps people, sessions and counts of attempts; a password only as an argon2id hash. A subject looks like
// no client_id. This package keeps a decoy hash, the slots for hashing, and for an hour what the upstream publishes.
//
// Passwords. An attempt counts, for the account and for the address, before its password is looked at. An unknown name, a
// disabled person and one of an upstream cost and say the same as a wrong password. Who signs in is forgiven for the
// account, never for the address. Only so many passwords are hashed at a time; whoever waits too long is told to come back.
//
// Upstream. Of a departure the caller keeps that its state was used; nonce and code verifier are HMACs of the state, under
// keys derived from one that all replicas share. Whoever comes back must bring the answer of that issuer (RFC 9207) to that
// state; the ID token must be signed with a public-key algorithm, be for us alone, and bear the nonce. Then it is held
// against the wish: one of acr_values, and an auth_time that is recent enough; a wish without an answer is not granted.
// Nothing is claimed above what the upstream says: no acr is no acr. Only auth_time, when nobody asked for a recent one and
// the upstream does not say, is the iat of the ID token. Times of the upstream are brought onto this server's clock, and by
// ten seconds at most. The access token and the userinfo endpoint are not used.
//
// Accounts. They stand in a file, which is read again when it changes, or the bank's own system is asked for them each time;
// neither is kept in the database. Both are read strictly, and a list that is wrong in one place is no list: whoever chooses
// from half of it would be misled. Numbers are masked as they are read, so that nothing behind knows them.
//
// Refusals: oauth.LoginRefused and RateLimited for passwords; PersonDenied, AuthenticationTooWeak, LoginNeeded and
// UpstreamRefused for the upstream, the last with its cause in the log alone; Unavailable when either has no time;
// AccountsUnavailable when the bank's own system has not, or does not say what it should.
package person
