package dpop_test

import (
	"regexp"
	"testing"
	"time"

	"authserver/internal/dpop"
	"authserver/internal/oauth"
)

// step is how long a nonce is the current one.
const step = 150 * time.Second

func TestNonces(t *testing.T) {
	nonces := required(t).Nonces
	begin := time.Unix(now.Unix()/150*150, 0)
	tests := []struct {
		name            string
		issued, checked time.Duration // from the beginning of a step
		want            bool
	}{
		{"at once", 0, 0, true},
		{"at the end of its step", 0, step - time.Second, true},
		{"in the next step", 0, step, true},
		{"DP-33 at the end of the next step", 0, 2*step - time.Second, true},
		{"DP-31 after the next step", 0, 2 * step, false},
		{"DP-31 issued late, still for a whole step", step - time.Second, 2*step - time.Second, true},
		{"DP-31 issued late, no longer", step - time.Second, 2 * step, false},
		{"DP-31 an hour later", 0, time.Hour, false},
		{"DP-32 of a replica whose clock is ahead", step, step - time.Second, true},
		{"DP-32 of a replica a whole step ahead", step, 0, true},
		{"of a step after the next", 2 * step, step - time.Second, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			nonce := nonces.Current(begin.Add(test.issued))
			if got := nonces.Recognises(nonce, begin.Add(test.checked)); got != test.want {
				t.Errorf("recognised: %v", got)
			}
		})
	}
	seen := map[string]bool{}
	for i := range 1000 { // DPOP-11: 1*NQCHAR; GEN-15: 128 bits and more
		nonce := nonces.Current(begin.Add(time.Duration(i) * step))
		if seen[nonce] || !regexp.MustCompile(`^[\x21\x23-\x5B\x5D-\x7E]{22,}$`).MatchString(nonce) {
			t.Errorf("nonce %q", nonce)
		}
		seen[nonce] = true
	}
	if nonces.Current(begin) != nonces.Current(begin.Add(step-time.Nanosecond)) {
		t.Error("DP-45 a step has more than one nonce")
	}
}

// A list of key-encryption keys: the first makes nonces, all are recognised, so that a key can be changed without a gap.
func TestNonceKeys(t *testing.T) {
	nonces := func(keys ...[]byte) dpop.Nonces { return verifier(t, dpop.NonceRequired, keys...).Nonces }
	old, both, turned, stranger := nonces(keys[1]), nonces(keys...), nonces(keys[1], keys[0]), nonces([]byte("another server's key-encryption key"))
	if both.Current(now) != nonces(keys[0]).Current(now) || turned.Current(now) != old.Current(now) {
		t.Error("the first key does not make the nonces")
	}
	if !both.Recognises(old.Current(now), now) || !turned.Recognises(both.Current(now), now) {
		t.Error("the second key's nonces are not recognised")
	}
	if both.Recognises(old.Current(now.Add(-2*step)), now) {
		t.Error("the second key's old nonces are recognised")
	}
	if both.Recognises(stranger.Current(now), now) || old.Recognises(both.Current(now), now) {
		t.Error("DP-30 the nonce of another key is recognised")
	}
	for _, nonce := range []string{"", "a", both.Current(now) + "A", both.Current(now)[1:], both.Current(now) + "=", "\x00"} {
		if both.Recognises(nonce, now) {
			t.Errorf("DP-30 %q is recognised", nonce)
		}
	}
}

// TestPolicies holds every policy to its windows, at the value and one second beyond.
func TestPolicies(t *testing.T) {
	p := ecProver()
	current := required(t).Nonces.Current(now)
	foreign := verifier(t, dpop.NonceRequired, []byte("another server's key-encryption key")).Nonces.Current(now)
	old := required(t).Nonces.Current(now.Add(-2 * step))
	const accepted = oauth.Reason("")
	tests := []struct {
		name   string
		policy dpop.Policy
		nonce  any
		iat    int64
		want   oauth.Reason
	}{
		{"fresh", dpop.NonceRequired, current, 0, accepted},
		{"300 s old", dpop.NonceRequired, current, -300, accepted},
		{"301 s old: a nonce is no licence", dpop.NonceRequired, current, -301, oauth.ProofStale},
		{"30 s ahead", dpop.NonceRequired, current, 30, accepted},
		{"31 s ahead", dpop.NonceRequired, current, 31, oauth.ProofStale},
		{"of the step before", dpop.NonceRequired, required(t).Nonces.Current(now.Add(-step)), 0, accepted},
		{"DP-28 no nonce", dpop.NonceRequired, nil, 0, oauth.NonceMissing},
		{"DP-28 no nonce, 300 s old", dpop.NonceRequired, nil, -300, oauth.NonceMissing},
		{"DPOP-06 no nonce, 301 s old: not worth a nonce", dpop.NonceRequired, nil, -301, oauth.ProofStale},
		{"DPOP-06 no nonce, an hour old", dpop.NonceRequired, nil, -3600, oauth.ProofStale},
		{"DPOP-06 no nonce, an hour ahead", dpop.NonceRequired, nil, 3600, oauth.ProofStale},
		{"DP-30 random nonce", dpop.NonceRequired, "5e8972513327f0b3670b21f308cf5e8e", 0, oauth.NonceUnknown},
		{"DP-30 another server's nonce", dpop.NonceRequired, foreign, 0, oauth.NonceUnknown},
		{"DP-30 empty nonce", dpop.NonceRequired, "", 0, oauth.NonceUnknown},
		{"DP-31 old nonce", dpop.NonceRequired, old, 0, oauth.NonceUnknown},
		{"DP-31 old nonce in an old proof", dpop.NonceRequired, old, -301, oauth.ProofStale},
		{"nonce is a number", dpop.NonceRequired, 7, 0, oauth.NonceMalformed},

		{"no nonce", dpop.NonceOptional, nil, 0, accepted},
		{"no nonce, 60 s old", dpop.NonceOptional, nil, -60, accepted},
		{"no nonce, 61 s old", dpop.NonceOptional, nil, -61, oauth.ProofStale},
		{"no nonce, 30 s ahead", dpop.NonceOptional, nil, 30, accepted},
		{"no nonce, 31 s ahead", dpop.NonceOptional, nil, 31, oauth.ProofStale},
		{"nonce, 300 s old", dpop.NonceOptional, current, -300, accepted},
		{"nonce, 301 s old", dpop.NonceOptional, current, -301, oauth.ProofStale},
		{"DP-30 another server's nonce", dpop.NonceOptional, foreign, 0, oauth.NonceUnknown},
		{"DP-31 old nonce", dpop.NonceOptional, old, 0, oauth.NonceUnknown},
		{"nonce is null", dpop.NonceOptional, (*int)(nil), 0, oauth.NonceMalformed},

		{"no nonce", dpop.NonceOff, nil, 0, accepted},
		{"60 s old", dpop.NonceOff, nil, -60, accepted},
		{"61 s old", dpop.NonceOff, nil, -61, oauth.ProofStale},
		{"30 s ahead", dpop.NonceOff, nil, 30, accepted},
		{"31 s ahead", dpop.NonceOff, nil, 31, oauth.ProofStale},
		{"our nonce counts for nothing", dpop.NonceOff, current, -61, oauth.ProofStale},
		{"any nonce will do", dpop.NonceOff, foreign, -60, accepted},
		{"what is no nonce will do", dpop.NonceOff, 7, 0, accepted},
	}
	for _, test := range tests {
		t.Run(string(test.policy)+" "+test.name, func(t *testing.T) {
			v := verifier(t, test.policy, keys...)
			_, err := v.Verify(sent(p.proof(t, iat(test.iat), with("nonce", test.nonce))), atToken, now)
			if test.want != accepted {
				refused(t, err, test.want)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

// A nonce is asked for last: whoever gets the answer "try again with this nonce" will pass with it.
func TestNonceIsAskedForLast(t *testing.T) {
	p := ecProver()
	for name, test := range map[string]struct {
		change edit
		want   oauth.Reason
	}{
		"another method": {with("htm", "GET"), oauth.ProofMethod},
		"another URL":    {with("htu", endpoint+"/"), oauth.ProofURI},
		"no jti":         {with("jti", nil), oauth.ProofClaims},
		"expired":        {with("exp", now.Unix()-60), oauth.ProofExpired},
		"another key":    {set("jwk", ecProver().JWK()), oauth.ProofSignature},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := required(t).Verify(sent(p.proof(t, with("nonce", nil), test.change)), atToken, now)
			refused(t, err, test.want)
		})
	}
	atResource := dpop.Request{Method: "POST", URLs: []string{endpoint}, AccessToken: "token"}
	_, err := required(t).Verify(sent(p.proof(t, with("nonce", nil))), atResource, now)
	refused(t, err, oauth.ProofTokenHash)
}

func TestHas(t *testing.T) {
	if dpop.Has(sent()) || !dpop.Has(sent("a")) || !dpop.Has(sent("")) {
		t.Error("Has does not tell whether there is a DPoP header")
	}
}
