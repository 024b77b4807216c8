// Package grant is the rules for the life of an authorization, as pure functions of a record and the time. The store runs
// them under the lock of the row that they judge; nothing here waits, reads or writes.
//
//	Pushed ──first visit──► Interaction (one for each browser) ──decision──► Grant ──► Code ──redeemed──► Refresh
//	   │                        │
//	   └ not visited by ArriveBy └ not decided in time: both end, and nobody was asked anything
//
// A pushed request is dead after one decision, whichever interaction brought it; the others are told that it was answered.
package grant
