// Package store is PostgreSQL, one file per aggregate. It is the only importer of pgx and goose.
//
// An exported method is exactly one transaction or one statement; nothing above sees either. What may happen once is a
// property of a method's signature, and a refusal is a value, not an error, since an error rolls back.
//
// Spend is the heart: requests that arrive while a statement is under way wait together and go out in the next one, so
// that the batch grows with the load and nothing waits for a timer. The statement inserts the uses of all requests whose
// client record is still the version that they were judged by, and answers only refusals.
//
// What people allow is judged by the pure rules of packages grant and person, under the lock of a row: all that happens about
// one request takes turns at that request, all that happens about one code at the code, and all that ends a grant at the
// grant, so that one of them does and the history has one entry for it. Rows are locked in one order, so that nothing waits in
// a circle: request, interaction, client, person, session, code, grant. Every order of the statements of two calls is played
// in the tests and held against the rules. Of secrets only the SHA-256 comes here.
//
// What is over goes with the sweeper, which passes by what is locked and so waits for nobody: at once where nobody can go on
// with it, and after the time that the operator has set where it is a record (Retention). A person goes when the operator says
// so, with everything (ErasePerson).
//
// An Observer is told what becomes of spends, and Pool how the connections are used; what is made of it is not known here.
//
// READ COMMITTED, but for consents, which are read with their history as of one moment; columns enumerated, SQL beside the
// function that uses it. An error that the same request may well not meet again (no connection, a time-out, a lock) says so
// through Temporary.
package store
