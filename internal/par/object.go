package par

import (
	"context"
	"slices"
	"strings"
	"time"

	"authserver/internal/client"
	"authserver/internal/jose"
	"authserver/internal/oauth"
)

const (
	// maxObject bounds a request object, in bytes. With the longest authorization_details it has 22 KiB.
	maxObject = 48 << 10
	// maxObjectAge is how far exp may lie after nbf, and nbf in the past (FAPI 2.0 Message Signing §5.3.1).
	maxObjectAge = time.Hour
)

// needed are the parameters without which a request is refused, and scope: an object without it asks for all that is
// registered, which whoever wrote one beside it did not mean.
var needed = []string{"response_type", "redirect_uri", "code_challenge", "code_challenge_method", "scope"}

// parameters are those of the request object, if there is one, and of nothing beside it (RFC 9101 §6.3), or else the form's.
func (e *Endpoint) parameters(ctx context.Context, c client.Client, form oauth.Form, now time.Time) (oauth.Form, error) {
	object := form.Get("request")
	switch {
	case form.Get("request_uri") != "":
		return oauth.Form{}, oauth.Refuse(oauth.RequestURINested, "request_uri must not stand in a pushed request")
	case object != "":
		return e.open(ctx, c, object, form, now)
	case c.Metadata.RequireSignedRequestObject:
		return oauth.Form{}, oauth.Refuse(oauth.RequestObjectMissing,
			"the client is registered to sign its requests (require_signed_request_object)")
	}
	return form, nil
}

// open returns what stands in a request object (RFC 9101 §6). Until the signature verifies, a refusal tells only what the
// object shows by itself.
func (e *Endpoint) open(ctx context.Context, c client.Client, object string, form oauth.Form, now time.Time) (
	opened oauth.Form, err error) {
	token, err := parseObject(object)
	if err != nil {
		return opened, err
	}
	claims, err := e.Clients.KeySets.Verify(ctx, c.KeySource(), token, jose.Alg(c.Metadata.RequestObjectSigningAlg), now)
	if err != nil {
		return opened, refuse(oauth.RequestObjectSignature, "no registered key of the client made the signature: "+
			"check kid, the registered keys and request_object_signing_alg").Because(err)
	}
	if err := checkParties(claims, c.ID); err != nil {
		return opened, err
	}
	if err := checkAudience(claims, e.Clients.Issuer); err != nil {
		return opened, err
	}
	if err := checkTimes(claims, c.Metadata.RequireSignedRequestObject, now); err != nil {
		return opened, err
	}
	values, err := read(claims)
	if err != nil {
		return opened, err
	}
	// Clients of FDX push authorization_details beside an object that has none: without them the consent would be lost in
	// silence. Of a client that must sign, only what it signed counts.
	if !claims.Has("authorization_details") && !c.Metadata.RequireSignedRequestObject {
		values["authorization_details"] = form.All("authorization_details")
	}
	opened, err = oauth.FormOf(values)
	if err != nil {
		return opened, err
	}
	for _, name := range needed {
		if opened.Get(name) == "" && form.Get(name) != "" {
			return opened, oauth.Refuse(oauth.ParameterMissing,
				"%s is missing in the request object; beside it %s does not count", name, name)
		}
	}
	return opened, nil
}

// refuse is the refusal of a request object, which begins with its path.
func refuse(r oauth.Reason, sentence string, args ...any) *oauth.Error {
	return oauth.Refuse(r, "request: "+sentence, args...)
}

// parseObject lets a request object through the door of package jose. Tokens of other kinds stay outside, so that none is
// taken for a request (RFC 9101 §10.8).
func parseObject(object string) (*jose.JWS, error) {
	if strings.Count(object, ".") == 4 {
		return nil, refuse(oauth.RequestObjectEncrypted,
			"five segments are an encrypted object, which is not taken; send the signed one")
	}
	door := jose.Door{MaxBytes: maxObject, Types: []string{"", "JWT", "oauth-authz-req+jwt"}}
	token, err := door.Parse(object)
	if err == nil {
		return token, nil
	}
	reason := oauth.RequestObjectMalformed
	switch jose.KindOf(err) {
	case jose.AlgNotOffered:
		reason = oauth.RequestObjectAlg
	case jose.TypRefused:
		reason = oauth.RequestObjectTyp
	}
	return nil, refuse(reason, "%s", jose.Detail(err)).Because(err)
}

// checkParties wants the object to be the client's own, and no client assertion of it (RFC 9101 §4, §10.8).
func checkParties(claims jose.Object, id string) error {
	for _, name := range []string{"request", "request_uri"} {
		if claims.Has(name) {
			return refuse(oauth.RequestObjectNested, "%s must not stand in a request object", name)
		}
	}
	clientID, _, err := claims.String("client_id")
	if err != nil || clientID != id {
		return refuse(oauth.RequestObjectClient, "client_id must be the client's own, as a string")
	}
	iss, hasIss, err := claims.String("iss")
	if err != nil || hasIss && iss != id {
		return refuse(oauth.RequestObjectClient, "iss must be the client_id, as a string, or absent")
	}
	sub, _, err := claims.String("sub")
	if err != nil || sub == id {
		return refuse(oauth.RequestObjectClient,
			"sub must be absent, or a string that is not the client_id: that is what a client assertion has")
	}
	return nil
}

// checkAudience wants the issuer among those whom the object is for.
func checkAudience(claims jose.Object, issuer string) error {
	if aud, present := claims.Raw("aud"); present {
		if audience, ok := texts.values(aud); ok && slices.Contains(audience, issuer) {
			return nil
		}
	}
	return refuse(oauth.RequestObjectAudience, "aud must be the issuer, %s, or an array of strings that has it", issuer)
}

// checkTimes applies the clock rules. Who must sign its requests must also say from when on they are good.
func checkTimes(claims jose.Object, mustSign bool, now time.Time) error {
	exp, hasExp, err := claims.Time("exp")
	switch {
	case err != nil:
		return refuse(oauth.RequestObjectLifetime, "exp must be a number of seconds since 1970")
	case !hasExp:
		return refuse(oauth.RequestObjectLifetime, "exp is missing; every request object needs it")
	}
	nbf, hasNbf, err := claims.Time("nbf")
	switch {
	case err != nil:
		return refuse(oauth.RequestObjectLifetime, "nbf must be a number of seconds since 1970")
	case mustSign && !hasNbf:
		return refuse(oauth.RequestObjectLifetime,
			"nbf is missing; the client needs it since it is registered to sign its requests (require_signed_request_object)")
	}
	from, since := now, "this server's clock"
	if hasNbf {
		from, since = nbf, "nbf"
	}
	switch {
	case exp.Sub(from) > maxObjectAge:
		return refuse(oauth.RequestObjectLifetime, "exp lies %.0f s after %s; %.0f s at most",
			exp.Sub(from).Seconds(), since, maxObjectAge.Seconds())
	case now.Sub(from) > maxObjectAge:
		return refuse(oauth.RequestObjectLifetime, "nbf passed %.0f s ago by this server's clock; %.0f s at most",
			now.Sub(from).Seconds(), maxObjectAge.Seconds())
	case now.Sub(exp) >= client.ExpLeeway:
		return refuse(oauth.RequestObjectExpired, "exp passed %.0f s ago by this server's clock", now.Sub(exp).Seconds())
	}
	for _, name := range []string{"nbf", "iat"} {
		t, present, err := claims.Time(name)
		switch {
		case err != nil:
			return refuse(oauth.RequestObjectNotYet, "%s must be a number of seconds since 1970", name)
		case present && t.Sub(now) > client.AheadLeeway:
			return refuse(oauth.RequestObjectNotYet, "%s lies %.0f s ahead of this server's clock; %.0f s at most",
				name, t.Sub(now).Seconds(), client.AheadLeeway.Seconds())
		}
	}
	return nil
}
