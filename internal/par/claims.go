package par

import (
	"slices"
	"strings"

	"authserver/internal/client"
	"authserver/internal/grant"
	"authserver/internal/jose"
	"authserver/internal/oauth"
)

// readWhom reads whom the client means and what must be true of the authentication: id_token_hint, and of the claims
// parameter the claims of the ID token that bind this server (OpenID Connect Core §3.1.2.2, §5.5.1). All others are
// voluntary, and this server has no more to say of a person than it says anyway. Registered acr values are for requests that
// ask for none.
func (e *Endpoint) readWhom(p *grant.Pushed, c client.Client, form oauth.Form) error {
	demanded, err := claimsOf(form.Get("claims"))
	if err != nil {
		return err
	}
	if err := demanded.narrow(p); err != nil {
		return err
	}
	if len(p.ACRValues) == 0 && len(c.Metadata.DefaultACRValues) > 0 {
		p.ACRValues, p.ACRFrom = c.Metadata.DefaultACRValues, grant.ACRFromRegistration
	}
	hint := form.Get("id_token_hint")
	if hint == "" {
		return nil
	}
	says, err := e.IDTokens.Recognise(hint)
	switch {
	case err != nil:
		return oauth.Refuse(oauth.HintRefused, "id_token_hint is no ID token of %s, or its key is no longer published",
			e.IDTokens.Issuer).Because(err)
	case says.Audience != c.ID:
		return oauth.Refuse(oauth.HintRefused, "id_token_hint was given to another client")
	case p.Subject != "" && p.Subject != says.Subject:
		return oauth.Refuse(oauth.HintRefused, "id_token_hint and the claim sub of claims name two people")
	}
	p.Subject = says.Subject
	return nil
}

// demands are what the claims parameter makes of the ID token.
type demands struct {
	acr     []string // one of these; nil: any will do
	subject string   // "": anybody
}

// narrow has a request demand that, within what its acr_values ask for.
func (d demands) narrow(p *grant.Pushed) error {
	p.Subject = d.subject
	if d.acr == nil {
		return nil
	}
	both := d.acr
	if len(p.ACRValues) > 0 {
		both = slices.DeleteFunc(slices.Clone(p.ACRValues), func(acr string) bool { return !slices.Contains(d.acr, acr) })
	}
	if len(both) == 0 {
		return oauth.Refuse(oauth.ClaimsRefused, "acr_values and the essential claim acr of claims have no value in common")
	}
	p.ACRValues, p.ACRFrom = both, grant.ACRFromClaims
	return nil
}

// claimsOf reads the claims parameter (OpenID Connect Core §5.5), of which unknown members mean nothing.
func claimsOf(value string) (demands, error) {
	if value == "" {
		return demands{}, nil
	}
	if len(value) > maxClaims {
		return demands{}, oauth.Refuse(oauth.ParameterTooLong, "claims has %d bytes; at most %d are taken", len(value), maxClaims)
	}
	all, err := jose.ParseObject([]byte(value))
	if err != nil {
		return demands{}, oauth.Refuse(oauth.ClaimsRefused, "claims must be one strict JSON object: %s", jose.Detail(err))
	}
	idToken, err := within(all, "id_token", "claims")
	if err != nil {
		return demands{}, err
	}
	acr, err := essentialACR(idToken)
	if err != nil {
		return demands{}, err
	}
	subject, err := subjectOf(idToken)
	return demands{acr, subject}, err
}

// within is a member that is an object; one that is null, as a claim may be that asks for nothing special, has no members.
func within(o jose.Object, name, at string) (jose.Object, error) {
	if raw, _ := o.Raw(name); string(raw) == "null" {
		return jose.Object{}, nil
	}
	inner, _, err := o.Object(name)
	if err != nil {
		return inner, oauth.Refuse(oauth.ClaimsRefused, "%s.%s must be an object", at, name)
	}
	return inner, nil
}

// essentialACR are the values of which the ID token must bear one; nil: none is essential (OpenID Connect Core §5.5.1.1).
func essentialACR(idToken jose.Object) ([]string, error) {
	acr, err := within(idToken, "acr", "claims.id_token")
	if err != nil {
		return nil, err
	}
	var essential bool
	if _, err := acr.Decode("essential", &essential); err != nil {
		return nil, oauth.Refuse(oauth.ClaimsRefused, "claims.id_token.acr.essential must be true or false")
	}
	if !essential {
		return nil, nil
	}
	value, named, err := acr.String("value")
	if err != nil {
		return nil, oauth.Refuse(oauth.ClaimsRefused, "claims.id_token.acr.value must be a string")
	}
	var values []string
	several, err := acr.Decode("values", &values)
	switch {
	case err != nil, named && several, several && len(values) == 0:
		return nil, oauth.Refuse(oauth.ClaimsRefused,
			"claims.id_token.acr must have a string as value, or several in an array as values")
	case named:
		values = []string{value}
	}
	bad := func(v string) bool { return v == "" || strings.Contains(v, " ") }
	if len(values) > maxWords || slices.ContainsFunc(values, bad) {
		return nil, oauth.Refuse(oauth.ClaimsRefused,
			"claims.id_token.acr must name at most %d values, none of them empty or with a space", maxWords)
	}
	return values, nil
}

// subjectOf is whom the ID token must be about (OpenID Connect Core §3.1.2.2); "": anybody.
func subjectOf(idToken jose.Object) (string, error) {
	sub, err := within(idToken, "sub", "claims.id_token")
	if err != nil {
		return "", err
	}
	value, named, err := sub.String("value")
	if err != nil || named && value == "" || sub.Has("values") {
		return "", oauth.Refuse(oauth.ClaimsRefused, "claims.id_token.sub must have one string as value, or none")
	}
	return value, nil
}
