package person

import (
	"net/url"
	"slices"
	"testing"
	"time"

	"authserver/internal/jose"
	"authserver/internal/oauth"
	"authserver/internal/person/persontest"
)

const (
	acrPasskey = "urn:example:passkey"
	elsewhere  = "http://127.0.0.1:1/login/callback" // where nothing listens
)

// TestUpstreamProvider plays with a certified provider that knows nothing of us: npm's oidc-provider.
func TestUpstreamProvider(t *testing.T) {
	es256, ps256, foreign := newSigner(t, jose.ES256, "es"), newSigner(t, jose.PS256, "ps"), newSigner(t, jose.ES256, "es")
	issuer := persontest.StartNPM(t, elsewhere,
		map[string]any{"client_id": "basic", "client_secret": ourSecret, "token_endpoint_auth_method": "client_secret_basic"},
		map[string]any{"client_id": "es", "token_endpoint_auth_method": "private_key_jwt", "jwks": map[string]any{"keys": []any{es256.Key()}}},
		map[string]any{"client_id": "ps", "token_endpoint_auth_method": "private_key_jwt", "jwks": map[string]any{"keys": []any{ps256.Key()}}},
	)
	upstream := func(id string, secret oauth.Secret, key *jose.Signer) *Upstream {
		u, err := NewUpstream(UpstreamSettings{
			Issuer: issuer, ClientID: id, ClientSecret: secret, ClientKey: key, RedirectURL: elsewhere, Key: make([]byte, 32),
		})
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	basic := upstream("basic", ourSecret, nil)

	for name, u := range map[string]*Upstream{"client_secret": basic, "private_key_jwt ES256": upstream("es", "", es256), "private_key_jwt PS256": upstream("ps", "", ps256)} {
		t.Run(name, func(t *testing.T) {
			b, before := newComer(t), time.Now().Truncate(time.Second)
			got, err := b.trip(t, u, Wish{LoginHint: "kim", ACRValues: []string{acrPasskey, persontest.ACRPassword}, MaxAge: seconds(60), Since: before})
			if err != nil || got.Identity != (Identity{Issuer: issuer, Subject: "kim"}) || got.ACR != persontest.ACRPassword || !slices.Equal(got.AMR, []string{"pwd"}) ||
				got.At.Before(before) || got.At.After(time.Now()) {
				t.Fatalf("arrived %+v, %v", got, err)
			}
			if b.Hint != "kim" {
				t.Errorf("the login page offers %q", b.Hint)
			}
		})
	}
	t.Run("a session there", func(t *testing.T) { testSessionThere(t, basic) })
	t.Run("refusals", func(t *testing.T) {
		_, err := newComer(t).trip(t, basic, Wish{ACRValues: []string{acrPasskey}})
		refused(t, err, oauth.AuthenticationTooWeak)
		b := newComer(t)
		b.Cancels = true
		_, err = b.trip(t, basic, Wish{})
		refused(t, err, oauth.PersonDenied)
		_, err = newComer(t).trip(t, upstream("basic", "another secret", nil), Wish{})
		refused(t, err, oauth.UpstreamRefused)
		_, err = newComer(t).trip(t, upstream("es", "", foreign), Wish{})
		refused(t, err, oauth.UpstreamRefused)
	})
	t.Run("a code twice", func(t *testing.T) {
		b := newComer(t)
		back := b.depart(t, basic, Wish{}, "once")
		if _, err := basic.comeBack(t.Context(), "once", back, Wish{}, time.Now()); err != nil {
			t.Fatal(err)
		}
		_, err := basic.comeBack(t.Context(), "once", back, Wish{}, time.Now())
		refused(t, err, oauth.UpstreamRefused)
	})
}

// testSessionThere: who is signed in upstream passes without a page, unless a fresh authentication is wished for.
func testSessionThere(t *testing.T, u *Upstream) {
	b := newComer(t)
	first, err := b.trip(t, u, Wish{})
	if err != nil || b.Logins != 1 {
		t.Fatalf("%d logins, %v", b.Logins, err)
	}
	again, err := b.trip(t, u, Wish{MaxAge: seconds(3600), Since: time.Now()})
	if err != nil || b.Logins != 1 || !again.At.Equal(first.At) {
		t.Fatalf("%d logins, at %s and %s: %v", b.Logins, first.At, again.At, err)
	}
	since := time.Now()
	fresh, err := b.trip(t, u, Wish{Fresh: true, Since: since})
	if err != nil || b.Logins != 2 || fresh.At.Before(since) {
		t.Fatalf("%d logins, at %s after %s: %v", b.Logins, fresh.At, since, err)
	}
}

// comer is somebody who comes from npm's oidc-provider.
type comer struct{ *persontest.Visitor }

func newComer(t *testing.T) comer { return comer{persontest.NewVisitor(t, "kim")} }

func (c comer) trip(t *testing.T, u *Upstream, w Wish) (Arrived, error) {
	t.Helper()
	state := oauth.NewSecret().Reveal()
	return u.comeBack(t.Context(), state, c.depart(t, u, w, state), w, time.Now())
}

// depart goes to the provider and returns the query with which it sends the browser back.
func (c comer) depart(t *testing.T, u *Upstream, w Wish, state string) url.Values {
	t.Helper()
	target, err := u.Depart(t.Context(), w, state, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return c.Depart(target).Query()
}
