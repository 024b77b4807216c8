// Package grant is the rules for the life of an authorization, as pure functions of a record and the time. The store runs
// them under the lock of the row that they judge; nothing here waits, reads or writes.
//
//	Pushed ──first visit──► Interaction (one for each browser) ──decision──► Grant ──► Code ──redeemed──► Refresh
//	   │                        │
//	   └ not visited by ArriveBy └ not decided in time: both end, and nobody was asked anything
//
// A pushed request is dead after one decision, whichever interaction brought it; the others are told that it was answered.
//
// A grant is the record of what a person consented to (FDX, ConsentGrant): its id is the consent's, and its details, which
// package fdx reads, say which data of which accounts may be shared, and for how long. It is alive until its end, or until its
// person, its client or the operator ends it, each of whom is an Owner; a code that is redeemed twice ends it too. Each
// Change is an entry of its history. A consent for once has no refresh token, and from Fetch on ends with its one access token.
package grant
