package token

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"authserver/internal/audit"
	"authserver/internal/client"
	"authserver/internal/grant"
	"authserver/internal/oauth"
)

const authorizationCode = "authorization_code"

// judgeAuthorizationCode reads a try to redeem a code (RFC 6749 §4.1.3). Only what is no try at all is refused here: a
// wrong redirect_uri or code_verifier counts against the code, by its own rule, which knows what is right.
func (e *Endpoint) judgeAuthorizationCode(
	w http.ResponseWriter, r *http.Request, c client.Client, form oauth.Form, jkt string, now time.Time,
) (redemption, error) {
	code, err := form.Required("code")
	if err != nil {
		return nil, err
	}
	resources, err := form.Resources(e.Resources)
	if err != nil {
		return nil, err
	}
	details, err := c.Details(form)
	if err != nil {
		return nil, err
	}
	seal := e.seal(r.Context(), c)
	try := attempt{sent: form.Get("redirect_uri"), Attempt: grant.Attempt{
		ClientID: c.ID, Verifier: form.Get("code_verifier"), JKT: jkt, Resources: resources, Unnamed: e.Resources[0],
		Details: details, Lifetime: e.usual(c), InteractionID: oauth.InteractionID(w),
		Unsealed: seal.missing,
	}}
	if c.RedirectsTo(try.sent) { // one that is not registered any more is as wrong as any other
		try.RedirectURI = try.sent
	}
	var refresh oauth.Secret
	var refreshHash []byte
	if c.May(refreshToken) {
		refresh = oauth.NewSecret()
		refreshHash = refresh.Hash()
	}
	return func(ctx context.Context) (granted, error) {
		g, became, err := e.Store.RedeemCode(ctx, oauth.Secret(code).Hash(), try.Attempt, refreshHash, now)
		if err != nil {
			return granted{}, err
		}
		if became.Outcome != grant.Redeemed {
			noteRevoked(w, g)
			return granted{}, try.refused(became)
		}
		result, err := e.ofPerson(c, g, wanted{details: details, resources: resources, seal: seal, nonce: became.Nonce}, now)
		if g.Details.Refreshes() {
			result.refreshToken = refresh.Reveal()
		}
		return result, err
	}, nil
}

// noteRevoked tells the trail of the grant that a replay has revoked, if it was one.
func noteRevoked(w http.ResponseWriter, revoked grant.Grant) {
	if revoked.ID == "" {
		return
	}
	oauth.Note(w, oauth.FieldEvent, audit.GrantRevoked)
	oauth.Note(w, oauth.FieldSubject, revoked.Subject)
	oauth.Note(w, oauth.FieldGrantID, revoked.ID)
}

// attempt is a try to redeem a code, for whoever made it to be told of.
type attempt struct {
	sent string // redirect_uri, which stands in the Attempt only if it is registered
	grant.Attempt
}

// refused says what was wrong with a try, and whether there may be another.
func (a attempt) refused(became grant.Redemption) error {
	switch became.Outcome {
	case grant.CodeExpired:
		return oauth.Refuse(oauth.CodeExpired, "the code is older than %.0f s", grant.CodeLifetime.Seconds())
	case grant.CodeReplayed:
		return oauth.Refuse(oauth.CodeReplayed, "the code was redeemed before; all tokens that came of it are revoked now")
	case grant.WrongRedirect:
		return oauth.Refuse(oauth.CodeRedirectURI, "%s; %s", a.redirectDefect(), tries(became))
	case grant.WrongVerifier:
		return oauth.Refuse(oauth.CodeVerifier,
			"code_verifier must be the 43 to 128 characters that the pushed code_challenge was made from; received %d; %s",
			len(a.Verifier), tries(became))
	case grant.WrongKey:
		return oauth.Refuse(oauth.CodeKey, "the code is bound to %s; %s", a.keyDefect(), tries(became))
	case grant.WrongResource:
		return oauth.Refuse(oauth.ResourceRefused, "resource goes beyond what the person granted; %s", tries(became))
	case grant.WrongDetails:
		return beyond(became)
	case grant.NoIDToken:
		return a.Unsealed
	}
	return oauth.Refuse(oauth.CodeUnknown, "the code is not one of this client's, or it has been ended")
}

// keyDefect is what the code is bound to, and the request does not prove: it may have a certificate instead.
func (a attempt) keyDefect() string {
	if a.JKT == "" {
		return "the key of a DPoP proof, and the request has none"
	}
	return "another key than the proof's, whose thumbprint is " + a.JKT
}

// beyond says which of the details go beyond the grant, in the words of whoever knows them.
func beyond(became grant.Redemption) error {
	refusal, ok := errors.AsType[*oauth.Error](became.Beyond)
	if !ok {
		return became.Beyond
	}
	return oauth.Refuse(refusal.Reason, "%s; %s", refusal.Description, tries(became))
}

func (a attempt) redirectDefect() string {
	switch {
	case a.sent == "":
		return "redirect_uri is missing; it must be that of the pushed request"
	case a.RedirectURI == "":
		return "redirect_uri is not one of the client's registered redirect_uris"
	}
	return "redirect_uri must be that of the pushed request, character by character"
}

// tries counts the wrong tries for the client's developer.
func tries(became grant.Redemption) string {
	if became.Failures >= grant.CodeFailures {
		return fmt.Sprintf("wrong try %d of %d: the code has ended", became.Failures, grant.CodeFailures)
	}
	return fmt.Sprintf("wrong try %d of %d: the code is still good", became.Failures, grant.CodeFailures)
}
