// Package store is PostgreSQL, one file per aggregate. It is the only importer of pgx and goose.
//
// An exported method is exactly one transaction or one statement; nothing above sees either. What may happen once is a
// property of a method's signature, and a refusal is a value, not an error, since an error rolls back.
//
// Spend is the heart: requests that arrive while a statement is under way wait together and go out in the next one, so
// that the batch grows with the load and nothing waits for a timer. The statement inserts the uses of all requests whose
// client record is still the version that they were judged by, and answers only refusals.
//
// An Observer is told what becomes of spends, and Pool how the connections are used; what is made of it is not known here.
//
// READ COMMITTED throughout, columns enumerated, SQL beside the function that uses it. An error that the same request may
// well not meet again (no connection, a time-out, a lock) says so through Temporary.
package store
