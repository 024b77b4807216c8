// Package person is who sits at the browser: people with passwords, or of an upstream OpenID provider; their sessions, and
// the accounts that they may share.
//
// A password is kept as an argon2id hash, never in clear, and a subject looks like no client_id. Attempts are counted
// before a password is looked at, for the account and for the address; an unknown name costs and says the same as a
// wrong password.
package person
