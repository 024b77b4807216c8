package authorize

import (
	"encoding/base64"
	"net/url"
	"slices"
	"strings"
	"testing"

	"authserver/internal/flow"
	"authserver/internal/grant"
	"authserver/internal/jose"
	"authserver/internal/oauth"
)

// ticket is the cookie of a browser's session.
func (h *house) ticket(b *flow.Browser) oauth.Secret {
	h.Helper()
	u, err := url.Parse(h.Issuer)
	if err != nil {
		h.Fatal(err)
	}
	for _, c := range b.Jar.Cookies(u) {
		if c.Name == h.cookieName(sessionCookie) {
			return oauth.Secret(c.Value)
		}
	}
	h.Fatal("nobody is signed in")
	return ""
}

// sid is how clients know a browser's session.
func (h *house) sid(b *flow.Browser) string { return sidOf(h.ticket(b).Hash()) }

// IDT-02: what one session allows bears one sid, which is neither its cookie nor what is kept of that; another session of the
// same person, at another browser or after another sign-in, has another one.
func TestSessionIDs(t *testing.T) {
	h := newHouse(t, issuer)
	b, elsewhere := h.browser(), h.browser()
	anew := func(p *grant.Pushed) { p.Prompt = []string{"login"} }
	for _, way := range []struct {
		browser *flow.Browser
		edits   []func(*grant.Pushed)
	}{{b, nil}, {b, nil}, {b, []func(*grant.Pushed){anew}}, {elsewhere, nil}} {
		form := h.upTo(way.browser, h.push(way.edits...), "kim", "decision")
		h.told(h.submit(way.browser, form))
	}
	var sids []string
	for _, a := range h.memory.approvals {
		sids = append(sids, a.Grant.SessionID)
	}
	if len(sids) != 4 || sids[0] != sids[1] {
		t.Fatalf("%q", sids)
	}
	if different := slices.Compact(slices.Sorted(slices.Values(sids))); len(different) != 3 {
		t.Errorf("%q", sids)
	}
	secret := h.ticket(elsewhere)
	if sid := sids[3]; len(sid) != 43 || sid == secret.Reveal() || sid == base64.RawURLEncoding.EncodeToString(secret.Hash()) {
		t.Errorf("the sid %q", sid)
	}
}

// LO-01: of an ID token that speaks of another session than the one at hand, at this browser or not, the person is told. What
// the button ends is what the page says, and nothing ends without it. A hint without a sid, or nobody signed in, needs no word.
func TestLogoutOfAnotherSession(t *testing.T) {
	h := newHouse(t, issuer)
	v := newVault(h)
	hint := func(sid any) string {
		claims := map[string]any{"iss": issuer, "sub": "_kim", "aud": "c1", "iat": 1, "exp": 2, "auth_time": 1}
		if sid != nil {
			claims["sid"] = sid
		}
		compact, err := v.Sign(jose.PS256, "JWT", claims)
		if err != nil {
			t.Fatal(err)
		}
		return compact
	}
	kim, elsewhere := h.signedIn("kim"), h.signedIn("kim")
	here, other := hint(h.sid(kim)), hint(h.sid(elsewhere))
	for name, test := range map[string]struct {
		hint string
		told bool
	}{"this session's": {here, false}, "another's": {other, true}, "one of before": {hint(nil), false}, "nobody's": {hint("x"), true}} {
		for _, wish := range []url.Values{
			{"id_token_hint": {test.hint}}, {"id_token_hint": {test.hint}, back: {bye}, "sid": {"y"}},
		} {
			for _, target := range []string{issuer + "/oauth2/logout?" + wish.Encode(), h.postLogout(wish)} {
				p := h.visit(kim, target)
				told := strings.Contains(p.Text, "another sign-in")
				if told != test.told || formTo(p, "/sign-out") == nil || len(h.memory.sessions) != 2 {
					t.Errorf("%s: told %v: %s", name, told, p.Text)
				}
			}
		}
	}
	if p := h.visit(h.browser(), logoutAt("id_token_hint", other, back, bye)); strings.Contains(p.Text, "another sign-in") {
		t.Errorf("nobody is signed in: %s", p.Text)
	}
	p := h.submit(kim, formTo(h.visit(kim, logoutAt("id_token_hint", other, back, bye)), "/sign-out"))
	if _, left := h.memory.sessions[string(h.ticket(elsewhere).Hash())]; p.Location != bye || !left || len(h.memory.sessions) != 1 {
		t.Errorf("%s, with %d sessions", p, len(h.memory.sessions))
	}
}
