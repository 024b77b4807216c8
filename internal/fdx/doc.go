// Package fdx is the vocabulary of the Financial Data Exchange as pure data and rules: the data clusters and the scopes that
// open them (FDX Consent API 6.3; the later names are those of 6.4), and the consent that a client asks a person for with
// authorization_details of the type fdx_v1.0 (RFC 9396). Nothing here waits, reads or writes.
//
// Details go through five steps, each a pure function:
//
//	ParseDetails   the client's text: strict JSON, known members and words; a refusal begins with the path of its member
//	Settle         against the scope, the client's registration and each other: what the person is asked
//	Granted        with the accounts that the person chose: what the client is told, and what its tokens bear
//	Narrow         to what a token request asks for
//	Intersect      to what the token's scope opens; access is what both details and scope give
//
// Life says when the grant ends, and Refreshes whether it has a refresh token.
//
// Where FDX leaves something open, this server decides:
//
//   - Whoever asks by scope alone asks for a ONE_TIME consent to the clusters of those scopes.
//   - All details of a request have one durationType, durationPeriod and lookbackPeriod: what a person grants at once is one
//     consent, with one end. They stay several elements, in the client's order.
//   - durationPeriod stands beside TIME_BOUND alone, 1 to 365 days. lookbackPeriod is 1 to 36500 days; without one the
//     registered ceiling holds, and without that either all of the past. A day is 24 hours.
//   - A client that registered a duration_period gets no PERSISTENT consent that lasts longer.
//   - A request has no resourceId. It comes with the grant, and may come back in a token request.
//   - Data of accounts cannot be asked for below resourceType CUSTOMER, which would go past the choice of accounts. DOCUMENT
//     means documents of the chosen accounts.
//   - A cluster with several scopes (TRANSFERS, NOTIFICATIONS) needs one of them; the others stay closed.
//
// A further type of details implements Detail, and enters what reads it in readers; nothing else changes for it.
package fdx
