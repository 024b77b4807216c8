package issuer

import (
	"slices"
	"time"

	"authserver/internal/client"
	"authserver/internal/jose"
	"authserver/internal/oauth"
)

const (
	maxAssertion = 16 << 10 // bytes
	maxJTI       = 1 << 10  // bytes; only its hash is stored
)

// parse lets an assertion through the door of package jose. A request object or another typed JWT does not pass
// (RFC 8725 §3.11).
func parse(compact string) (*jose.JWS, error) {
	door := jose.Door{MaxBytes: maxAssertion, Types: []string{"", "JWT"}}
	token, err := door.Parse(compact)
	if err != nil {
		reason := oauth.AssertionGrantMalformed
		switch jose.KindOf(err) {
		case jose.AlgNotOffered:
			reason = oauth.AssertionGrantAlg
		case jose.TypRefused:
			reason = oauth.AssertionGrantTyp
		}
		return nil, oauth.Refuse(reason, "assertion: %s", jose.Detail(err)).Because(err)
	}
	if token.Header().Kid == "" {
		return nil, oauth.Refuse(oauth.AssertionGrantKid, "the assertion's header must name its key in kid")
	}
	return token, nil
}

// claims are what an assertion says.
type claims struct {
	issuer    string
	subject   string
	audiences []string
	expires   time.Time
	jti       string // "": it has none
}

// read checks the claims as far as that takes nothing but the clock (RFC 7523 §3). It runs before any look-up, so it may
// say exactly what is wrong.
func read(o jose.Object, now time.Time) (claims, error) {
	iss, _, err := o.String("iss")
	sub, _, err2 := o.String("sub")
	if err != nil || err2 != nil || iss == "" || sub == "" || len(iss) > maxName || len(sub) > maxName {
		return claims{}, oauth.Refuse(oauth.AssertionGrantParties, "iss and sub must be strings of 1 to %d bytes", maxName)
	}
	expires, err := readTimes(o, now)
	if err != nil {
		return claims{}, err
	}
	jti, present, err := o.String("jti")
	if err != nil || present && (jti == "" || len(jti) > maxJTI) {
		return claims{}, oauth.Refuse(oauth.AssertionGrantID, "jti must be a string of 1 to %d bytes", maxJTI)
	}
	return claims{issuer: iss, subject: sub, audiences: audiences(o), expires: expires, jti: jti}, nil
}

// audiences are the values of aud, one or several; none where it is anything else.
func audiences(o jose.Object) []string {
	if one, present, err := o.String("aud"); present && err == nil {
		return []string{one}
	}
	var several []any
	if _, err := o.Decode("aud", &several); err != nil {
		return nil
	}
	var names []string
	for _, one := range several {
		name, ok := one.(string)
		if !ok {
			return nil
		}
		names = append(names, name)
	}
	return names
}

// readTimes applies the clock rules and returns exp, by the ceiling of all records.
func readTimes(o jose.Object, now time.Time) (time.Time, error) {
	expires, present, err := o.Time("exp")
	if err != nil || !present {
		return expires, oauth.Refuse(oauth.AssertionGrantLifetime, "exp must be a number of seconds since 1970")
	}
	if err := checkAhead(expires, now, MaxLifetime); err != nil {
		return expires, err
	}
	if passed := now.Sub(expires); passed >= client.ExpLeeway {
		return expires, oauth.Refuse(oauth.AssertionGrantExpired, "exp passed %.0f s ago by this server's clock", passed.Seconds())
	}
	for _, name := range []string{"iat", "nbf"} {
		t, present, err := o.Time(name)
		switch ahead := t.Sub(now); {
		case err != nil:
			return expires, oauth.Refuse(oauth.AssertionGrantNotYet, "%s must be a number of seconds since 1970", name)
		case present && ahead > client.AheadLeeway:
			return expires, oauth.Refuse(oauth.AssertionGrantNotYet,
				"%s lies %.0f s ahead of this server's clock; at most %.0f s is accepted",
				name, ahead.Seconds(), client.AheadLeeway.Seconds())
		}
	}
	return expires, nil
}

// checkAhead refuses an exp that lies too far ahead.
func checkAhead(expires, now time.Time, most time.Duration) error {
	if ahead := expires.Sub(now); ahead > most {
		return oauth.Refuse(oauth.AssertionGrantLifetime,
			"exp lies %.0f s ahead; at most %.0f s is accepted", ahead.Seconds(), most.Seconds())
	}
	return nil
}

// names tells whether aud names one of those that are accepted.
func (c claims) names(accepted []string) bool {
	return slices.ContainsFunc(c.audiences, func(a string) bool { return slices.Contains(accepted, a) })
}
