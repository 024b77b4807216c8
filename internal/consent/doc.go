// Package consent is the consents API of FDX: how a client looks at what a person has allowed it, and ends it.
//
//	GET /fdx/v6/consents/{consent_id}             200   the consent, whatever became of it (FDX, ConsentGrant)
//	PUT /fdx/v6/consents/{consent_id}/revocation  204   ends it, and all its tokens at the commit
//	GET /fdx/v6/consents/{consent_id}/revocation  200   who ended it and why; an empty list as long as nobody did
//
// A consent is a grant with details of FDX, and its id is the grant's: grant_id, and fdxConsentId in tokens. Callers bring a
// bound access token of the consent's client, with a proof: one that the client fetched in its own name, or one of this very
// consent. A token of another consent of the client opens nothing here, since it may be in other hands. For everybody
// else, for an unknown id and for a grant without details of FDX the answer is the same 404, after the same look-up.
//
// The body of a revocation is judged before the proof is spent, so that one that is refused uses nothing up and changes
// nothing. A consent that has ended before stays as it ended: 409.
//
// Where FDX leaves something open, this server decides:
//
//   - The data recipient is one party. Of several registry references it shows the first: a party for each would read as
//     if several companies had the data.
//   - A client ends a consent on anybody's initiative but the data provider's, which is this server.
//   - That the time of a consent is over is no revocation, and stands in none.
package consent
