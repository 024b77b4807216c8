package authorize

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"authserver/internal/flow"
	"authserver/internal/grant"
	"authserver/internal/oauth"
	"authserver/internal/person"
)

// Who is asked to sign in, by what the client wished and how long ago the person did.
func TestNext(t *testing.T) {
	h := newHouse(t, issuer)
	signedIn := h.browser()
	h.upTo(signedIn, h.push(), "alex", "accounts")
	h.now = h.now.Add(2 * time.Minute)
	minute, hour, none := 60, 3600, []string{"none"}
	for name, test := range map[string]struct {
		wish          func(p *grant.Pushed)
		known, nobody string // the page's field, or the error that the client is told
	}{
		"nothing": {func(*grant.Pushed) {}, "accounts", "password"},
		"consent": {func(p *grant.Pushed) { p.Prompt = []string{"consent"} }, "accounts", "password"},
		"login":   {func(p *grant.Pushed) { p.Prompt = []string{"login"} }, "password", "password"},
		"select_account": {func(p *grant.Pushed) { p.Prompt = []string{"select_account"} }, "password",
			"password"},
		"an hour":  {func(p *grant.Pushed) { p.MaxAge = &hour }, "accounts", "password"},
		"a minute": {func(p *grant.Pushed) { p.MaxAge = &minute }, "password", "password"},
		"none":     {func(p *grant.Pushed) { p.Prompt = none }, "consent_required", "login_required"},
		"none, a minute": {func(p *grant.Pushed) { p.Prompt, p.MaxAge = none, &minute }, "login_required",
			"login_required"},
		"a password": {func(p *grant.Pushed) { p.ACRValues = []string{"x", person.ACRPassword} }, "accounts",
			"password"},
		"more than a password": {func(p *grant.Pushed) { p.ACRValues = []string{"x"} },
			"unmet_authentication_requirements", "unmet_authentication_requirements"},
		"none, more than that": {func(p *grant.Pushed) { p.ACRValues, p.Prompt = []string{"x"}, none },
			"unmet_authentication_requirements", "unmet_authentication_requirements"},
		"more than that, and login": {func(p *grant.Pushed) { p.ACRValues, p.Prompt = []string{"x"}, []string{"login"} },
			"unmet_authentication_requirements", "unmet_authentication_requirements"},
		"who is signed in":        {func(p *grant.Pushed) { p.Subject = "_alex" }, "accounts", "password"},
		"who is signed in, none":  {func(p *grant.Pushed) { p.Subject, p.Prompt = "_alex", none }, "consent_required", "login_required"},
		"somebody else":           {func(p *grant.Pushed) { p.Subject = "_kim" }, "password", "password"},
		"somebody else, none":     {func(p *grant.Pushed) { p.Subject, p.Prompt = "_kim", none }, "login_required", "login_required"},
		"the subject's beginning": {func(p *grant.Pushed) { p.Subject = "_ale" }, "password", "password"},
	} {
		for _, c := range []struct {
			b    *flow.Browser
			want string
		}{{signedIn, test.known}, {h.browser(), test.nobody}} {
			p := h.visit(c.b, h.push(test.wish))
			got := "nothing"
			if p.Location != "" {
				got = h.told(p).Get("error")
			}
			for _, field := range []string{"password", "accounts"} {
				if p.Form(field) != nil {
					got = field
				}
			}
			if got != c.want {
				t.Errorf("%s: %s, want %s", name, got, c.want)
			}
		}
	}
	if len(h.memory.approvals) != 0 {
		t.Error("approved")
	}
}

// Nobody gets past the login that the client wished for by another page's address.
func TestNoWayAroundTheLogin(t *testing.T) {
	h := newHouse(t, issuer)
	b := h.browser()
	target := h.push(func(p *grant.Pushed) { p.Prompt = []string{"login"} })
	yes := h.upTo(b, target, "alex", "decision") // made by a login for this request
	again := h.push(func(p *grant.Pushed) { p.Prompt = []string{"login"} })
	h.now = h.now.Add(time.Minute)
	login := h.upTo(b, again, "alex", "password")
	for _, page := range []string{"/accounts", "/consent"} {
		if p := h.visit(b, strings.Replace(b.Page.Exchange.URL, "/login", page, 1)); p.Form("password") == nil {
			t.Errorf("%s: %s", page, p)
		}
	}
	h.told(h.submit(b, yes)) // to which the login still belongs
	if p := h.submit(b, login); p.Form("accounts") == nil {
		t.Errorf("%s", p)
	}
}

// Whom the client does not mean signs in for nothing, and finds no way around that by another page's address; whoever is
// meant goes on, whoever was there before.
func TestWhomTheClientMeans(t *testing.T) {
	h := newHouse(t, issuer)
	b := h.browser()
	meant := h.push(func(p *grant.Pushed) { p.Subject = "_kim" })
	login := h.visit(b, meant).Exchange.URL
	other := h.upTo(b, h.push(), "alex", "decision") // alex signs in here, for another request
	for _, page := range []string{"/accounts", "/consent"} {
		if p := h.visit(b, strings.Replace(login, "/login", page, 1)); p.Form("password") == nil {
			t.Errorf("%s: %s", page, p)
		}
	}
	h.told(h.submit(b, other))
	answer := h.told(h.submit(b, filledIn(h.visit(b, meant), "alex")))
	if answer.Get("error") != "login_required" || answer.Has("code") {
		t.Errorf("alex for kim: %v", answer)
	}
	again := h.push(func(p *grant.Pushed) { p.Subject = "_kim" })
	if p := h.submit(b, filledIn(h.visit(b, again), "kim")); p.Form("accounts") == nil {
		t.Errorf("kim, after alex: %s", p)
	}
}

// A wrong password begins nothing, and is told on the page.
func TestLoginRefused(t *testing.T) {
	h := newHouse(t, issuer)
	b := h.browser()
	p := h.visit(b, h.push(func(p *grant.Pushed) { p.LoginHint = "kim" }))
	if hint := p.Form("password").Fields.Get("username"); hint != "kim" {
		t.Errorf("login_hint %q", hint)
	}
	p = h.submit(b, filledIn(p, "alex"), "password", "wrong")
	if p.Exchange.Status != http.StatusUnauthorized || p.Alert == "" ||
		p.Form("password").Fields.Get("username") != "alex" || len(h.memory.sessions) != 0 {
		t.Errorf("%s", p)
	}
}

func TestCookies(t *testing.T) {
	for from, want := range map[string]string{
		"https://as.example":    "__Host- Path=/; Max-Age=1800; HttpOnly; Secure; SameSite=Lax, __Host- Path=/; HttpOnly; Secure; SameSite=Lax",
		"http://localhost:8080": " Path=/; Max-Age=1800; HttpOnly; SameSite=Lax,  Path=/; HttpOnly; SameSite=Lax",
	} {
		h := newHouse(t, from)
		b := h.browser()
		h.upTo(b, h.push(), "alex", "accounts")
		var got []string
		for _, e := range b.Exchanges {
			for _, c := range e.ResponseHeader.Values("Set-Cookie") {
				pair, attributes, _ := strings.Cut(c, ";")
				name, value, _ := strings.Cut(pair, "=")
				if len(value) != 43 {
					t.Errorf("%s", c)
				}
				prefix, _, _ := strings.Cut(strings.Replace(name, "session", "interaction", 1), "interaction")
				got = append(got, prefix+attributes)
			}
		}
		if all := strings.Join(got, ", "); all != want {
			t.Errorf("%s: %s", from, all)
		}
	}
}

// elsewhere is an upstream whose people have just authenticated, or whatever arrive says.
type elsewhere struct {
	wished person.Wish
	times  int
	arrive func() (person.Arrived, error)
}

func (u *elsewhere) Depart(_ context.Context, w person.Wish, state string, _ time.Time) (string, error) {
	u.wished = w
	return "https://upstream.example/?state=" + state, nil
}

func (u *elsewhere) Read(_ context.Context, _ string, query url.Values, _ time.Time) (person.Answer, error) {
	if query.Get("code") == "" {
		return person.Answer{}, oauth.Refuse(oauth.UpstreamRefused, "there is no code")
	}
	return person.Answer{Code: "of kim"}, nil
}

func (u *elsewhere) Arrive(_ context.Context, _ string, _ person.Answer, w person.Wish, _ time.Time) (person.Arrived, error) {
	u.times++
	u.wished = w
	return u.arrive()
}

// The way back from an upstream is open once, to the browser that left.
func TestUpstream(t *testing.T) {
	h := newHouse(t, issuer)
	up := &elsewhere{}
	h.Passwords, h.Upstream = nil, up
	up.arrive = func() (person.Arrived, error) {
		return person.Arrived{Identity: person.Identity{Issuer: "https://upstream.example", Subject: "kim"}, Name: "Kim",
			At: h.now, ACR: "gold"}, nil
	}
	b := h.browser()
	target := h.push(func(p *grant.Pushed) { p.ACRValues = []string{"gold"} })
	away := func(b *flow.Browser) (back string) {
		p := h.visit(b, target)
		_, state, _ := strings.Cut(p.Location, "https://upstream.example/?state=")
		return issuer + "/login/callback?code=x&state=" + state
	}
	first := away(b)
	second := away(b)
	for _, strange := range []string{second + "&state=x", issuer + "/login/callback?code=x", second[:len(second)-1], first} {
		if p := h.visit(b, strange); len(h.memory.sessions) != 0 || up.times != 0 {
			t.Fatalf("%s let somebody in: %s", strange, p)
		}
	}
	second = away(b) // whoever came back with something else has been sent away again
	other := h.browser()
	away(other)
	for _, stranger := range []*flow.Browser{h.browser(), other} {
		if h.visit(stranger, second); len(h.memory.sessions) != 0 || up.times != 0 {
			t.Fatal("another browser came back")
		}
	}
	if p := h.visit(b, strings.Replace(second, "code=x&", "", 1)); p.Exchange.Status != http.StatusForbidden || up.times != 0 {
		t.Errorf("what is no answer: %s", p) // and has used nothing up
	}
	if p := h.visit(b, second); p.Form("accounts") == nil || !strings.Contains(p.Exchange.ResponseBody, "Kim") ||
		up.wished.Fresh || up.wished.ACRValues[0] != "gold" {
		t.Errorf("%s, wished %v", p, up.wished)
	}
	if p := h.visit(b, second); p.Form("accounts") == nil || up.times != 1 {
		t.Errorf("a second time: %s, %d arrivals", p, up.times)
	}
	h.told(h.submit(b, filledIn(h.submit(b, filledIn(b.Page, "")), "")))
	if g := h.memory.approvals[0].Grant; g.Subject != "_kim" || g.ACR != "gold" || !g.AuthTime.Equal(h.now) {
		t.Errorf("%+v", g)
	}
	h.now = h.now.Add(time.Minute)
	target = h.push(func(p *grant.Pushed) { p.Prompt = []string{"login"} })
	if away(b); !up.wished.Fresh || !up.wished.Since.Equal(h.now) {
		t.Errorf("the wish is %+v", up.wished)
	}
}

// The client is told what asked for an authentication that it does not get, here or at an upstream.
func TestTooWeakNamesWhatAsked(t *testing.T) {
	h := newHouse(t, issuer)
	minute := 60
	for want, wish := range map[string]func(*grant.Pushed){
		"acr_values asks for": func(p *grant.Pushed) { p.ACRValues = []string{"x"} },
		"the essential claim acr of claims asks for": func(p *grant.Pushed) {
			p.ACRValues, p.ACRFrom = []string{"x"}, grant.ACRFromClaims
		},
		"default_acr_values of the registration asks for": func(p *grant.Pushed) {
			p.ACRValues, p.ACRFrom = []string{"x"}, grant.ACRFromRegistration
		},
		"prompt or max_age asks for": func(p *grant.Pushed) { p.MaxAge = &minute },
	} {
		told := func(p *flow.Page) {
			answer := h.told(p)
			if got := answer.Get("error_description"); !strings.HasPrefix(got, want) ||
				answer.Get("error") != "unmet_authentication_requirements" {
				t.Errorf("%v, want %q", answer, want)
			}
		}
		if !strings.HasPrefix(want, "prompt") { // a password that was just typed is new enough
			told(h.visit(h.browser(), h.push(wish)))
		}
		away := &elsewhere{arrive: func() (person.Arrived, error) {
			return person.Arrived{}, oauth.Refuse(oauth.AuthenticationTooWeak, "not so")
		}}
		passwords := h.Passwords
		h.Passwords, h.Upstream = nil, away
		b := h.browser()
		_, state, _ := strings.Cut(h.visit(b, h.push(wish)).Location, "state=")
		told(h.visit(b, issuer+"/login/callback?code=x&state="+state))
		h.Passwords, h.Upstream = passwords, nil
	}
}

// What an upstream says of a person who is not let in, the client is told; what it says of itself, a page tells.
func TestUpstreamRefuses(t *testing.T) {
	h := newHouse(t, issuer)
	up := &elsewhere{}
	h.Passwords, h.Upstream = nil, up
	stale := person.Arrived{Identity: person.Identity{Issuer: "https://upstream.example", Subject: "kim"},
		At: h.now.Add(-time.Hour)}
	minute := 60
	for want, arrive := range map[string]func() (person.Arrived, error){
		"access_denied": func() (person.Arrived, error) {
			return person.Arrived{},
				oauth.Refuse(oauth.PersonDenied, "no")
		},
		"unmet_authentication_requirements": func() (person.Arrived, error) { return stale, nil },
		"": func() (person.Arrived, error) {
			return person.Arrived{},
				oauth.Refuse(oauth.UpstreamRefused, "forged")
		},
	} {
		up.arrive = arrive
		b := h.browser()
		target := h.push(func(p *grant.Pushed) { p.MaxAge = &minute })
		_, state, _ := strings.Cut(h.visit(b, target).Location, "state=")
		p := h.visit(b, issuer+"/login/callback?code=x&state="+state)
		if want == "" {
			h.refused(p, oauth.UpstreamRefused)
		} else if answer := h.told(p); answer.Get("error") != want || answer.Has("code") {
			t.Errorf("%v, want %s", answer, want)
		}
	}
	if len(h.memory.approvals) != 0 {
		t.Error("approved")
	}
}
