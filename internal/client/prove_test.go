package client

import (
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"authserver/internal/jose"
	"authserver/internal/oauth"
	"authserver/internal/replay"
)

// TestNotProven: whatever in our records is the cause, the answer is one and the same, and the log has the cause.
func TestNotProven(t *testing.T) {
	own, stranger, rsa := ecSigner("k1"), ecSigner("k1"), rsaSigner("k1")
	otherMethod, otherAlg := inline("method", own), inline("alg", own, rsa)
	otherMethod.Metadata.TokenEndpointAuthMethod = "tls_client_auth"
	otherAlg.Metadata.TokenEndpointAuthSigningAlg = "PS256"
	unnamed := own
	unnamed.Kid = ""
	kid := func(kid string) edit { return set("kid", kid) }
	tests := []struct {
		name, clientID string
		by             signer
		edits          []edit
		cause          string
	}{
		{"CA-61 unknown client", "nobody", own, nil, "unknown or deleted"},
		{"CA-61 bad signature", "c1", stranger, nil, "signature"},
		{"CA-61 unknown kid", "c1", own, []edit{kid("k2")}, "no such key in the registered jwks"},
		{"CA-10 CA-61 another registered alg", "alg", own, nil, "signed with ES256, registered for PS256"},
		{"CA-61 another method", "method", own, nil, "registered for another authentication method"},
		{"CA-61 no key of the alg", "c1", rsa, nil, "no such key in the registered jwks"},
		{"CA-61 no keys at all", "empty", own, nil, "no such key in the registered jwks"},
		{"CA-61 no answer from the jwks_uri", "dead", own, nil, "the jwks_uri gives no key set"},
		{"CA-36 no kid, none of two keys", "two", own, []edit{set("kid", nil)}, "signature"},
		{"CA-36 no kid, the eleventh of eleven keys", "eleven", unnamed, nil, "signature"},
		{"CA-13 the key of another client", "c2", own, nil, "signature"},
		{"CA-37 a path as kid", "c1", own, []edit{kid("../../../../dev/null")}, "no such key"},
		{"CA-37 SQL as kid", "c1", own, []edit{kid("' OR 1=1--")}, "no such key"},
		{"CA-62 a look-alike letter", "с1", own, nil, "unknown or deleted"},
		{"CA-62 a NUL", "c1\x00", own, nil, "unknown or deleted"},
		{"CA-62 a space", "c1 ", own, nil, "unknown or deleted"},
		{"CA-62 another case", "C1", own, nil, "unknown or deleted"},
		{"a client_id of 256 bytes", strings.Repeat("c", 256), own, nil, strings.Repeat("c", 128) + `": unknown`},
	}
	var eleven []any
	for range 10 {
		eleven = append(eleven, ecSigner(""))
	}
	b := newBench(t, Vetting{}, inline("c1", own), inline("c2", stranger), otherMethod, otherAlg, inline("empty"), remote("dead", "https://127.0.0.1:1/"),
		inline("two", ecSigner("a"), ecSigner("b")), inline("eleven", append(eleven, unnamed)...))
	var first string
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			caller, err := b.request(bodyOf(assertionBy(test.by, test.clientID, t0, test.edits...)))
			if reason(t, err) != oauth.ClientNotProven || caller.Client.ID != "" || caller.Uses != nil {
				t.Fatalf("%v %v", caller, err)
			}
			w := httptest.NewRecorder()
			(oauth.Pages{Base: issuer}).Write(w, nil, err)
			answer := fmt.Sprint(w.Code, w.Header(), w.Body)
			if first == "" {
				first = answer
			}
			if diff := cmp.Diff(first, answer); diff != "" {
				t.Error(diff)
			}
			if !strings.Contains(err.Error(), test.cause) {
				t.Errorf("the log says %q, want %q", err, test.cause)
			}
		})
	}
	if len(b.registry.spends) > 0 {
		t.Error("CA-32 a forged assertion burns something")
	}
}

// CA-36: without a kid the tenth key is still tried.
func TestTenKeysAreTried(t *testing.T) {
	last := ecSigner("")
	var keys []any
	for range 9 {
		keys = append(keys, ecSigner(""))
	}
	// Keys that cannot have signed do not count.
	keys = append(keys, rsaSigner(""), edSigner(""), object{"kty": "AKP"}, last)
	if b := newBench(t, Vetting{}, inline("c1", keys...)); !b.proves(last, "c1") {
		t.Error("CA-36 the tenth key was not tried")
	}
}

// JK-08: two keys may share a kid.
func TestSharedKid(t *testing.T) {
	ec, rsa, second := ecSigner("k1"), rsaSigner("k1"), ecSigner("k1")
	b := newBench(t, Vetting{}, inline("c1", rsa, ec, second))
	for _, s := range []signer{ec, rsa, second} {
		if !b.proves(s, "c1") {
			t.Errorf("JK-08 %s was stopped by another key of its kid", s.Alg)
		}
	}
}

// TestOthersKeysAreNotFetched: an assertion that cannot prove its client makes nobody's host answer.
func TestOthersKeysAreNotFetched(t *testing.T) {
	key := ecSigner("")
	h := newHost(t, serves(jwks(key)))
	method, alg := remote("method", h.URL+"/jwks"), remote("alg", h.URL+"/jwks")
	method.Metadata.TokenEndpointAuthMethod = SelfSignedTLSClientAuth
	alg.Metadata.TokenEndpointAuthSigningAlg = "PS256"
	b := newBench(t, h.vetting(), method, alg, remote("control", h.URL+"/jwks"))
	for _, id := range []string{"method", "alg", "nobody"} {
		if b.proves(key, id) {
			t.Errorf("%s is proven", id)
		}
		h.wantHits(t, id, 0)
	}
	if !b.proves(key, "control") {
		t.Error("the control is not proven")
	}
	h.wantHits(t, "control", 1)
}

// TestDecoy: an assertion for a client, or of an issuer, that does not exist costs a verification all the same. What it costs shows in its
// allocations; the clock would tell it less exactly.
func TestDecoy(t *testing.T) {
	for _, s := range []signer{ecSigner(""), rsaSigner(""), edSigner("")} {
		alg := jose.Alg(s.Alg)
		key := decoy(alg)
		if key == nil || key.Alg() != alg {
			t.Fatalf("no decoy for %s", alg)
		}
		token, err := parseAssertion(assertionBy(s, "nobody", t0))
		if err != nil {
			t.Fatal(err)
		}
		verifying := testing.AllocsPerRun(50, func() { _, _ = token.Verify(key) })
		parsing := testing.AllocsPerRun(50, func() { decoy(alg) })
		other := Client{ID: "other", Metadata: Metadata{TokenEndpointAuthMethod: TLSClientAuth}}
		b, form := newBench(t, Vetting{}, other), bodyOf(assertionBy(s, "nobody", t0))
		formOther := bodyOf(assertionBy(s, "other", t0))
		for whose, check := range map[string]func(){
			"an unknown client":  func() { _, _ = b.request(form) },
			"another method":     func() { _, _ = b.request(formOther) },
			"an unknown source":  func() { _, _ = b.KeySets.Verify(t.Context(), KeySource{}, token, "", t0) },
			"another registered": func() { _, _ = b.KeySets.Verify(t.Context(), KeySource{}, token, "another", t0) },
		} {
			with := testing.AllocsPerRun(50, check)
			table := decoys[alg]
			decoys[alg] = "" // no key, so there is nothing to verify with
			unparsed := testing.AllocsPerRun(50, func() { decoy(alg) })
			without := testing.AllocsPerRun(50, check)
			decoys[alg] = table
			if spent := with - without - (parsing - unparsed); spent < verifying/2 {
				t.Errorf("CA-61 %s: %s costs %v allocations beyond the reading of the decoy, a verification costs %v", alg, whose, spent, verifying)
			}
		}
	}
}

// CA-31, CA-32: what an assertion uses up is its jti under its client, and only when it has proven the client.
func TestAssertionUse(t *testing.T) {
	k1, k2, forger := ecSigner(""), ecSigner(""), ecSigner("")
	b := newBench(t, Vetting{}, inline("c1", k1), inline("c2", k2))
	jti := with("jti", "the same")
	if _, err := b.request(bodyOf(assertionBy(forger, "c1", t0, jti))); reason(t, err) != oauth.ClientNotProven {
		t.Fatal(err)
	}
	for id, by := range map[string]signer{"c1": k1, "c2": k2} {
		caller, err := b.request(bodyOf(assertionBy(by, id, t0, jti)))
		if err != nil {
			t.Fatal(err)
		}
		if want := replay.NewUse(replay.Assertion, id, "the same", t0.Add(time.Minute)); !slices.Equal(caller.Uses, []replay.Use{want}) {
			t.Errorf("CA-31 %s: %v, want %v", id, caller.Uses, want)
		}
		if err := b.Records.Spend(t.Context(), caller); err != nil {
			t.Errorf("CA-32 %s: %v", id, err)
		}
		err = b.Records.Spend(t.Context(), caller)
		if reason(t, err) != oauth.AssertionReplayed {
			t.Errorf("CA-27 %s: %v", id, err)
		}
	}
	// CA-56: another signature over the same claims is the same use.
	first, err := b.request(bodyOf(assertionBy(k1, "c1", t0, with("jti", "again"))))
	if err != nil {
		t.Fatal(err)
	}
	second, err := b.request(bodyOf(assertionBy(k1, "c1", t0, with("jti", "again"), with("iat", t0.Unix()-1))))
	if err != nil || !slices.Equal(first.Uses, second.Uses) {
		t.Errorf("CA-56 %v %v %v", first.Uses, second.Uses, err)
	}
}

// The clock of an assertion is the one that Authenticate is given.
func TestAssertionClock(t *testing.T) {
	ec := ecSigner("")
	b := newBench(t, Vetting{}, inline("c1", ec))
	form := bodyOf(assertionBy(ec, "c1", t0)) // exp is a minute away
	for _, test := range []struct {
		advance time.Duration
		want    oauth.Reason
	}{{0, ""}, {69 * time.Second, ""}, {time.Second, oauth.AssertionExpired}} {
		b.clock.advance(test.advance)
		if _, err := b.request(form); reason(t, err) != test.want {
			t.Errorf("at %s: %v", b.clock.now().Sub(t0), err)
		}
	}
}
