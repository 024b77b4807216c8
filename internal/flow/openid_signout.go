package flow

import (
	"context"
	"net/http"
	"net/url"
	"slices"
)

// comeBack asks for the same person again, whom an ID token names: silently, and with a fresh sign-in.
func (f *OpenID) comeBack(ctx context.Context, step *Step) error {
	if f.Ask != nil {
		step.Skipped = onceOnly
		return nil
	}
	told, err := f.silently(ctx, f.browser)
	if err != nil {
		return err
	}
	step.check("prompt=none, where the person is signed in", signedIn(told), "a code or consent_required", told)
	if told, err = f.silently(ctx, NewBrowser(f.Server)); err != nil {
		return err
	}
	step.equal("prompt=none, where nobody is", "login_required", told)
	visited := len(f.browser.Exchanges)
	r, err := f.another(ctx, f.asking(url.Values{"id_token_hint": {f.identity.Compact}, "prompt": {"login"}}))
	if err != nil {
		return err
	}
	step.Did = "3 more requests, one of them answered anew"
	password := slices.ContainsFunc(f.browser.Exchanges[visited:], func(e *Exchange) bool { return e.Form().Has("password") })
	step.check("prompt=login asks for the password again", password, "a page with a password", "none")
	token, err := f.client.Redeem(ctx, r.code, r.pair.Verifier, r.redirectURI)
	if err != nil {
		return err
	}
	id, err := f.identify(ctx, step, token, r.wish.more.Get("nonce"))
	if err != nil {
		return err
	}
	step.equal("sub is the same as before", f.identity.Claim("sub"), id.Claims["sub"])
	step.within("auth_time is not before the last one", id.time("auth_time"), f.identity.time("auth_time"),
		f.Server.Now().Add(maxSkew))
	if before, sid := f.identity.Claim("sid"), id.Claim("sid"); before != "" {
		step.check("sid is that of another session", sid != "" && sid != before, "another than "+before, sid)
	}
	return nil
}

// silently asks without a word to the person whom the flow knows (prompt=none), and returns the error that the client is
// told, or "a code".
func (f *OpenID) silently(ctx context.Context, browser *Browser) (string, error) {
	r, err := f.begin(ctx, f.asking(url.Values{"id_token_hint": {f.identity.Compact}, "prompt": {"none"}}), playedRedirect)
	if err != nil {
		return "", err
	}
	page, err := browser.Visit(ctx, f.client.AuthorizeURL(r.pushed.RequestURI))
	if err != nil {
		return "", err
	}
	if !page.leaves() {
		return "a page: " + page.String(), nil
	}
	answer, err := f.understand(ctx, r, page)
	if answer.Has("code") {
		return "a code", err
	}
	return answer.Get("error"), err
}

// signedIn tells whether the answer to prompt=none is one about somebody who is signed in.
func signedIn(told string) bool {
	return slices.Contains([]string{"a code", "consent_required", "interaction_required", "account_selection_required"}, told)
}

// logoutURL is where the client sends a person to sign out (OpenID Connect RP-Initiated Logout §2). Bend changes a good
// request.
func (f *OpenID) logoutURL(state string, bend func(url.Values)) string {
	params := url.Values{"id_token_hint": {f.identity.Compact}, "client_id": {f.client.ID},
		"post_logout_redirect_uri": {farewellRedirect}, "state": {state}}
	if bend != nil {
		bend(params)
	}
	return withQuery(f.Server.Metadata.EndSessionEndpoint, params)
}

// signOut has the client end the person's session, after requests for it that must fail.
func (f *OpenID) signOut(ctx context.Context, step *Step) error {
	switch {
	case f.Server.Metadata.EndSessionEndpoint == "":
		step.Skipped = "the metadata names no end_session_endpoint"
		return nil
	case f.Ask != nil:
		step.Skipped = "the session is in a person's own browser"
		return nil
	}
	if err := f.signOutBadly(ctx, step); err != nil {
		return err
	}
	state := randomID()
	page, err := f.browser.Visit(ctx, f.logoutURL(state, nil))
	if err != nil {
		return err
	}
	form := page.Form("post_logout_redirect_uri")
	asked := form != nil && page.Exchange.Status == http.StatusOK
	step.check("the person is asked first", asked, "200, a page with a button", page.String())
	if form == nil {
		return nil
	}
	told, err := f.silently(ctx, f.browser)
	if err != nil {
		return err
	}
	step.check("and is signed in until the button is pressed", signedIn(told), "a code or consent_required", told)
	if page, err = f.browser.Submit(ctx, form); err != nil {
		return err
	}
	step.Did = "pressed Sign out"
	step.answers("the browser is sent on with 303", page.Exchange, http.StatusSeeOther, "")
	back, err := ReadReturn(page.Location, farewellRedirect)
	step.check("to the registered address", err == nil, farewellRedirect+"?…", page.Location)
	step.equal("with the client's state", state, back.Get("state"))
	if told, err = f.silently(ctx, f.browser); err != nil {
		return err
	}
	step.equal("prompt=none finds nobody", "login_required", told)
	return f.asksForPassword(ctx, step)
}

// asksForPassword sees that the next request begins with signing in.
func (f *OpenID) asksForPassword(ctx context.Context, step *Step) error {
	r, err := f.begin(ctx, f.asking(nil), playedRedirect)
	if err != nil {
		return err
	}
	page, err := f.browser.Visit(ctx, f.client.AuthorizeURL(r.pushed.RequestURI))
	if err != nil {
		return err
	}
	step.check("the next request asks for the password", page.asks() == "password", "a page with a password", page.String())
	return nil
}

// signOutBadly asks for a sign-out that must not lead to the client, or to anybody.
func (f *OpenID) signOutBadly(ctx context.Context, step *Step) error {
	forged, err := f.forged()
	if err != nil {
		return err
	}
	for _, attempt := range []struct {
		name string
		bend func(url.Values)
	}{
		{"an address that is not registered", func(p url.Values) {
			p.Set("post_logout_redirect_uri", farewellRedirect+"/elsewhere")
		}},
		{"an address, and no client", func(p url.Values) { p.Del("client_id"); p.Del("id_token_hint") }},
		{"an ID token of another client", func(p url.Values) { p.Set("client_id", f.stranger.ID) }},
		{"an ID token that the client made", func(p url.Values) { p.Set("id_token_hint", forged) }},
	} {
		if err := f.errorPage(ctx, step, attempt.name, f.logoutURL(randomID(), attempt.bend)); err != nil {
			return err
		}
	}
	return nil
}

// forged is the ID token as the client could make it itself, with the kid of the server's key.
func (f *OpenID) forged() (string, error) {
	return Draft{Header: f.identity.Header, Claims: f.identity.Claims}.Sign(SignWith(f.client.Key))
}
