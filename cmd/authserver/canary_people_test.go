package main

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"strings"

	"authserver/internal/flow"
	"authserver/internal/grant"
)

// walk plays a person's whole way, and what others try on it. It watches every secret of the way; all are good still at its
// end.
func (c *cage) walk() {
	c.t.Helper()
	a := ask(c.t, c.client, lasting, identified).as(c.person)
	c.keep("/oauth2/par", a.pushed)
	b, stranger := a.browser(), a.browser()
	visit(c.t, stranger, c.neighbour.AuthorizeURL(a.uri))
	login := a.upTo(b, "password")
	c.watch("request_uri", strings.TrimPrefix(a.uri, grant.RequestURI))
	c.watch("interaction's cookie", c.cookies(b)["interaction-"+login.Fields.Get("interaction")])
	c.watch("form token of the login", login.Fields.Get("form_token"))
	wrong := rand.Text() + rand.Text()
	c.watched = append(c.watched, textCanary("wrong password", wrong), textCanary("code_verifier", a.pkce.Verifier))
	for _, typed := range []flow.Person{{Username: c.person.Username, Password: wrong}, {Username: c.person.Password, Password: c.person.Username}} {
		login.Fields["username"], login.Fields["password"] = []string{typed.Username}, []string{typed.Password}
		submit(c.t, b, login)
	}

	accounts := a.upTo(b, "accounts")
	c.session = c.cookies(b)["session"]
	c.watch("session's cookie", c.session)
	c.watch("form token of the accounts", accounts.Fields.Get("form_token"))
	submit(c.t, b, accounts) // with none of them
	consent := filledIn(a.upTo(b, "decision"))
	c.watch("form token of the consent", consent.Fields.Get("form_token"))
	c.watch("form token to sign out", formTo(b.Page, "/sign-out").Fields.Get("form_token"))
	submit(c.t, stranger, consent)
	code := a.told(submit(c.t, b, consent)).Get("code")
	c.watch("authorization code", code)
	submit(c.t, b, consent) // once more
	for _, mode := range []string{"jwt", "form_post.jwt"} {
		signed := ask(c.t, c.client, bend("response_mode", mode)).as(c.person)
		code := signed.answerIn(b, flow.Approve).Get("code")
		compact, err := b.Page.ReadResponse(callback)
		if err != nil {
			c.t.Fatal(err)
		}
		c.watch("authorization code in a JWT", code)
		c.watched = append(c.watched, jwtCanary(c.t, "answer by "+mode, compact))
	}
	visit(c.t, b, a.url())
	for _, e := range append(stranger.Exchanges, b.Exchanges...) {
		route, _, _ := strings.Cut(strings.TrimPrefix(e.URL, c.issuer), "?")
		c.keep(route, e)
	}

	stolen, guessed := a.by(c.neighbour).redemption(code), a.redemption(code)
	guessed.Form.Set("code_verifier", flow.NewPKCE().Verifier)
	outcome(c.t, c.send("/oauth2/token", stolen), "400 invalid_grant")
	outcome(c.t, c.send("/oauth2/token", guessed), "400 invalid_grant")
	redeemed := c.send("/oauth2/token", a.redemption(code))
	outcome(c.t, redeemed, "200")
	c.refresh, _ = redeemed.JSON()["refresh_token"].(string)
	c.watch("refresh token", c.refresh)
	access, _ := redeemed.JSON()["access_token"].(string)
	c.ofGrant, c.identity = access, identity(c.t, c.client, &flow.Token{Exchange: redeemed}).Compact
	c.watched = append(c.watched, jwtCanary(c.t, "access token of a grant", access), jwtCanary(c.t, "ID token", c.identity))
	outcome(c.t, c.send("/oauth2/token", c.neighbour.RefreshRequest(c.refresh, nil)), "400 invalid_grant")
	outcome(c.t, c.send("/oauth2/revoke", c.neighbour.RevokeRequest(c.refresh)), "200")
}

// watch looks for a secret of random octets that is sent where it belongs, and nowhere else.
func (c *cage) watch(name, secret string) {
	c.watched = append(c.watched, secretCanary(c.t, name, secret))
}

// goodOfPeople are good requests to the routes of a person's way. What can be done once only is made anew for each turn.
func (c *cage) goodOfPeople() map[string]turns {
	login, accounts, consent := c.at("password"), c.at("accounts"), c.at("decision")
	params := flow.NewPKCE().Parameters(callback, "fdx:accountbasic:read", "of the client")
	attempt := formTo(login.Page, "/login/attempt")
	attempt.Fields["username"], attempt.Fields["password"] = []string{c.person.Username}, []string{c.person.Password}
	return map[string]turns{
		"/oauth2/par": same(c.client.PushRequest(params), c.client.PushRequest(bent(identified, bend("id_token_hint", c.identity)))),
		"/oauth2/userinfo": same(
			c.client.Present(&flow.Request{Method: http.MethodGet, URL: c.issuer + "/oauth2/userinfo"}, c.ofGrant),
			c.client.Present(&flow.Request{Method: http.MethodPost, URL: c.issuer + "/oauth2/userinfo"}, c.ofGrant),
		),
		"/oauth2/authorize": func() []*flow.Request {
			a := ask(c.t, c.client)
			form := url.Values{"client_id": {c.client.ID}, "request_uri": {a.uri}}
			return []*flow.Request{{Method: http.MethodPost, URL: c.issuer + "/oauth2/authorize", Form: form}, {Method: http.MethodGet, URL: a.url()}}
		},
		"/login":           same(c.reading(login, "/login")),
		"/login/attempt":   same(c.sending(login, attempt)),
		"/login/callback":  same(c.reading(login, "/login/callback")),
		"/accounts":        same(c.reading(accounts, "/accounts")),
		"/accounts/choice": same(c.sending(accounts, filledIn(formTo(accounts.Page, "/accounts/choice")))),
		"/consent":         same(c.reading(consent, "/consent")),
		"/consent/decision": func() []*flow.Request {
			b := c.at("decision")
			return []*flow.Request{c.sending(b, filledIn(formTo(b.Page, "/consent/decision")))}
		},
		"/oauth2/logout": func() []*flow.Request {
			wish := url.Values{"id_token_hint": {c.identity}, "post_logout_redirect_uri": {goodbye}, "state": {"of the client"}}
			target := c.issuer + "/oauth2/logout"
			return []*flow.Request{{Method: http.MethodPost, URL: target, Form: wish},
				c.from(accounts, &flow.Request{Method: http.MethodGet, URL: target + "?" + wish.Encode()})}
		},
		"/sign-out": func() []*flow.Request {
			a := ask(c.t, c.client).as(c.person)
			b := a.browser() // with a session of its own
			return []*flow.Request{c.sending(b, formTo(a.upToPage(b, "accounts"), "/sign-out"))}
		},
		"/signed-out":        same(c.reading(login, "/signed-out")),
		"/assets/{name}":     same(&flow.Request{Method: http.MethodGet, URL: c.issuer + "/assets/style.css"}),
		"/logos/{client_id}": same(&flow.Request{Method: http.MethodGet, URL: c.issuer + "/logos/" + c.neighbour.ID}),
	}
}

// goodOfConsents are good requests to the consents API. A consent ends once.
func (c *cage) goodOfConsents() map[string]turns {
	id := c.shareIn(c.at("decision"), c.client).id
	return map[string]turns{
		"/fdx/v6/consents/{consent_id}": same(about(c.client, toShow, id, c.live)),
		"/fdx/v6/consents/{consent_id}/revocation": func() []*flow.Request {
			ends := c.shareIn(c.at("decision"), c.client).id
			return []*flow.Request{about(c.client, toRevocations, id, c.live), about(c.client, toRevoke, ends, c.live)}
		},
	}
}

// goodOfConnected are good requests to the page of connected apps.
func (c *cage) goodOfConnected() map[string]turns {
	stranger := flow.NewBrowser(c.client.Server)
	attempt := formTo(visit(c.t, stranger, c.issuer+"/connected"), "/connected/attempt")
	attempt.Fields["username"], attempt.Fields["password"] = []string{c.person.Username}, []string{c.person.Password}
	return map[string]turns{
		"/connected":         same(c.from(c.at("decision"), &flow.Request{Method: http.MethodGet, URL: c.issuer + "/connected"})),
		"/connected/attempt": same(c.sending(stranger, attempt)),
		"/connected/stop": func() []*flow.Request {
			b := c.at("decision")
			c.shareIn(b, c.client)
			return []*flow.Request{c.sending(b, formTo(visit(c.t, b, c.issuer+"/connected"), "/connected/stop"))}
		},
	}
}

// at is a browser of the person's at the page that has a field, with a request of its own.
func (c *cage) at(field string) *flow.Browser {
	c.t.Helper()
	a := ask(c.t, c.client)
	b := a.browser()
	if field != "password" {
		c.setCookies(b, map[string]string{"session": c.session})
	}
	a.upTo(b, field)
	return b
}

// reading asks for another page of a browser's interaction.
func (c *cage) reading(b *flow.Browser, path string) *flow.Request {
	c.t.Helper()
	shown, err := url.Parse(b.Page.Exchange.URL)
	if err != nil {
		c.t.Fatal(err)
	}
	query := shown.Query()
	if path == "/login/callback" {
		query = url.Values{"state": {query.Get("interaction") + ".x"}, "code": {"x"}}
	}
	return c.from(b, &flow.Request{Method: http.MethodGet, URL: c.issuer + path + "?" + query.Encode()})
}

// sending sends a form of a browser's page.
func (c *cage) sending(b *flow.Browser, form *flow.Form) *flow.Request {
	c.t.Helper()
	return c.from(b, &flow.Request{Method: form.Method, URL: form.Action, Form: form.Fields}).SetHeader("Sec-Fetch-Site", "same-origin")
}

// from is a request with a browser's cookies.
func (c *cage) from(b *flow.Browser, r *flow.Request) *flow.Request {
	c.t.Helper()
	var cookies []string
	for name, value := range c.cookies(b) {
		cookies = append(cookies, name+"="+value)
	}
	return r.SetHeader("Cookie", strings.Join(cookies, "; "))
}
