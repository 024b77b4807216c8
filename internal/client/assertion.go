package client

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"authserver/internal/jose"
	"authserver/internal/oauth"
)

// The clock rules of what a client signs for itself.
const (
	// MaxAssertionLifetime is how far ahead exp may lie. The Postman client of seed 001 sends 50 minutes.
	MaxAssertionLifetime = time.Hour
	// ExpLeeway forgives a clock that is a little behind (FAPI 2.0 Security Profile §5.3.2.1-13).
	ExpLeeway = 10 * time.Second
	// AheadLeeway is how far ahead iat and nbf may lie: FAPI demands 10 s and forbids 60 s.
	AheadLeeway = 30 * time.Second

	maxAssertion = 16 << 10 // bytes
	maxJTI       = 1 << 10  // bytes; only its hash is stored
	maxClientID  = 256      // bytes
)

// parseAssertion lets a client assertion through the door of package jose.
func parseAssertion(compact string) (*jose.JWS, error) {
	door := jose.Door{MaxBytes: maxAssertion, Types: []string{"", "JWT", "client-authentication+jwt"}}
	token, err := door.Parse(compact)
	if err == nil {
		return token, nil
	}
	reason := oauth.AssertionMalformed
	switch jose.KindOf(err) {
	case jose.AlgNotOffered:
		reason = oauth.AssertionAlg
	case jose.TypRefused:
		reason = oauth.AssertionTyp
	}
	return nil, oauth.Refuse(reason, "client_assertion: %s", jose.Detail(err)).Because(err)
}

// assertion is what an assertion says.
type assertion struct {
	clientID   string
	atEndpoint bool // aud is the URL of an endpoint, which our record of the client must allow
	jti        string
	expires    time.Time
}

// readAssertion checks the claims of an assertion that came to a path against the public metadata and the clock (RFC 7523
// §3, OpenID Connect Core §9). It runs before any look-up, so it may say exactly what is wrong.
func (a *Authenticator) readAssertion(claims jose.Object, path string, now time.Time) (assertion, error) {
	iss, _, err := claims.String("iss")
	sub, _, err2 := claims.String("sub")
	if err != nil || err2 != nil || sub == "" || iss != sub || len(sub) > maxClientID {
		return assertion{}, oauth.Refuse(oauth.AssertionSubject, "iss and sub must both be the client_id, as strings")
	}
	if claims.Has("response_type") { // also one without typ, whose client left sub in
		return assertion{}, oauth.Refuse(oauth.AssertionTyp,
			"client_assertion holds response_type, so that it is a request object, which proves nobody (RFC 9101, 10.8)")
	}
	atEndpoint, err := a.checkAudience(claims, path)
	if err != nil {
		return assertion{}, err
	}
	expires, err := checkTimes(claims, now)
	if err != nil {
		return assertion{}, err
	}
	jti, _, err := claims.String("jti")
	if err != nil || jti == "" || len(jti) > maxJTI {
		return assertion{}, oauth.Refuse(oauth.AssertionID, "jti must be a string of 1 to %d bytes", maxJTI)
	}
	return assertion{clientID: sub, atEndpoint: atEndpoint, jti: jti, expires: expires}, nil
}

// checkAudience compares aud with the issuer, byte by byte, and with the endpoints that a client of IssuerOrEndpoint may
// name instead: the one that was called, and the token endpoint (RFC 7523 §3, RFC 9126 §2). An array is refused even when
// it holds the issuer: an assertion that names two servers can be played at both.
func (a *Authenticator) checkAudience(claims jose.Object, path string) (atEndpoint bool, err error) {
	aud, present, err := claims.String("aud")
	var got string
	raw, _ := claims.Raw("aud")
	switch {
	case err == nil && present && aud == a.Issuer:
		return false, nil
	case err == nil && present && (slices.Contains(a.TokenEndpoints, aud) || a.isCalled(path, aud)):
		return true, nil
	case !present:
		got = "nothing"
	case isArray(raw):
		got = "an array"
	case err != nil:
		got = "no string"
	case strings.TrimSuffix(aud, "/") == a.Issuer:
		got = "the issuer with a slash at its end"
	case strings.HasPrefix(aud, a.Issuer+"/"):
		got = anEndpoint
	default:
		got = "another value"
	}
	return false, a.wrongAudience(got)
}

// isCalled tells whether a URL is one of the path that was called.
func (a *Authenticator) isCalled(path, url string) bool {
	return slices.ContainsFunc(a.Origins, func(origin string) bool { return origin+path == url })
}

const anEndpoint = "the URL of an endpoint"

func (a *Authenticator) wrongAudience(got string) error {
	return oauth.Refuse(oauth.AssertionAudience, "aud must be the issuer as one string, %s; received %s", a.Issuer, got)
}

func isArray(raw json.RawMessage) bool { return len(raw) > 0 && raw[0] == '[' }

// checkTimes applies the clock rules and returns exp.
func checkTimes(claims jose.Object, now time.Time) (time.Time, error) {
	expires, present, err := claims.Time("exp")
	switch ahead := expires.Sub(now); {
	case err != nil || !present:
		return expires, oauth.Refuse(oauth.AssertionLifetime, "exp must be a number of seconds since 1970")
	case ahead > MaxAssertionLifetime:
		return expires, oauth.Refuse(oauth.AssertionLifetime, "exp lies %.0f s ahead; at most %.0f s is accepted", ahead.Seconds(), MaxAssertionLifetime.Seconds())
	case ahead <= -ExpLeeway:
		return expires, oauth.Refuse(oauth.AssertionExpired, "exp passed %.0f s ago by this server's clock", -ahead.Seconds())
	}
	for _, name := range []string{"iat", "nbf"} {
		t, present, err := claims.Time(name)
		switch ahead := t.Sub(now); {
		case err != nil:
			return expires, oauth.Refuse(oauth.AssertionNotYet, "%s must be a number of seconds since 1970", name)
		case present && ahead > AheadLeeway:
			return expires, oauth.Refuse(oauth.AssertionNotYet, "%s lies %.0f s ahead of this server's clock; at most %.0f s is accepted", name, ahead.Seconds(), AheadLeeway.Seconds())
		}
	}
	return expires, nil
}
