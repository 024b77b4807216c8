// Package audit is the trail of what was changed: a client registered, a token issued or revoked, a key rotated; and of what
// people did: signed in, approved, denied. It is a stream of its own, one JSON object a line, apart from the log of requests,
// so that it can be kept longer and by others: who a person is stands here alone.
//
// A Record is written after the change was committed, so that the trail claims nothing that did not happen; what the
// process had no time to write before it was killed stands in the log or the database alone. What a Record may hold is its
// fields and nothing else: ids and names, never a token, a key or a claim. A record that cannot be written never fails
// what it is about.
//
// It is only ever appended to: a person who is erased stays in it as a subject, which is nobody's from then on.
//
// Actors are the client itself, the person at the browser, the operator through a sub-command, and the server of its own
// accord (a rotation by age).
package audit
