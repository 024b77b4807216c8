package main

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"authserver/internal/flow"
	"authserver/internal/oauth"
	"authserver/internal/page"
	"authserver/internal/page/pagetest"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	gojose "github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"
)

// attacksOnAnswers are the cases about answers that are one JWT.
func attacksOnAnswers() []attack {
	return []attack{{"AZ-24", signedAnswers}, {"AZ-25", postedAnswers}}
}

// opened verifies an answer that is one JWT, in the mode that was asked for, and holds it to what JARM says of every one:
// nothing beside it, nothing in it that nobody needs, good for five minutes, signed as the client registered.
func (a *asking) opened(p *flow.Page, mode string) (url.Values, error) {
	a.t.Helper()
	compact, err := p.ReadResponse(a.params.Get("redirect_uri"))
	if err != nil {
		return nil, err
	}
	if byForm := p.Location == ""; byForm != (mode == "form_post.jwt") {
		a.t.Errorf("%s: answered by %s", mode, p)
	}
	answer, err := a.client.OpenResponse(a.t.Context(), compact)
	if err != nil {
		return nil, err
	}
	want := []string{"aud", "code", "exp", "iat", "iss", "state"}
	if answer.Claims["error"] != nil {
		want = []string{"aud", "error", "error_description", "exp", "iat", "iss", "state"}
	}
	if !a.params.Has("state") {
		want = slices.DeleteFunc(want, func(name string) bool { return name == "state" })
	}
	var got []string
	for name := range answer.Claims {
		got = append(got, name)
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" || flow.Lifetime(answer.Claims) != 300 || answer.Member("kid") == "" {
		a.t.Errorf("the answer's header %v and claims %v: %s", answer.Header, answer.Claims, diff)
	}
	return answer.Parameters(), nil
}

// isPosted tells whether an answer is the page that takes another one to a client by a form.
func isPosted(e *flow.Exchange) bool {
	return e.Status == http.StatusOK && strings.Contains(e.ResponseBody, `<input type="hidden" name="response" value="`)
}

// checkPosted: the one page with a script has no other than the policy names, its form has nothing but the answer, and goes to
// the one origin that the policy names.
func checkPosted(e *flow.Exchange, complain func(string, ...any)) {
	root, err := html.Parse(strings.NewReader(e.ResponseBody))
	if err != nil {
		complain("%v", err)
		return
	}
	var scripts, inputs, origins []string
	for node := range root.Descendants() {
		switch node.Data {
		case "script":
			if node.FirstChild == nil || len(node.Attr) > 0 {
				complain("JARM: a script of another place")
				continue
			}
			hash := sha256.Sum256([]byte(node.FirstChild.Data))
			scripts = append(scripts, "'sha256-"+base64.StdEncoding.EncodeToString(hash[:])+"'")
		case "form":
			target, err := url.Parse(node.Attr[1].Val)
			if err != nil || node.Attr[1].Key != "action" {
				complain("JARM: the form %v", node.Attr)
				continue
			}
			origins = append(origins, target.Scheme+"://"+target.Host)
		case "input":
			inputs = append(inputs, node.Attr[1].Val)
		case "style", "iframe", "object", "embed", "base", "svg":
			complain("JARM: <%s>", node.Data)
		}
	}
	want := "default-src 'none'; style-src 'self'; img-src 'self'; script-src " + strings.Join(scripts, " ") + "; form-action " +
		strings.Join(origins, " ") + "; base-uri 'none'; frame-ancestors 'none'"
	policy := e.ResponseHeader.Get("Content-Security-Policy")
	if len(scripts) != 1 || len(origins) != 1 || policy != want {
		complain("JARM: what runs, and where the form goes, is not %s", want)
	}
	if !slices.Equal(inputs, []string{"response"}) {
		complain("JARM: the form has the fields %v", inputs)
	}
}

// signedAnswers: AZ-24. An answer, and a refusal, is one JWT for this client, signed as it registered, whatever stands beside
// the request_uri; its code is as good as any other.
func signedAnswers(t *testing.T, d *deployment) {
	for i, alg := range []string{"", "PS256", "ES256", "EdDSA"} {
		c := d.recipient(i%3, func(m map[string]any) {
			if m["response_modes"] = []string{"jwt"}; alg != "" {
				m["authorization_signed_response_alg"] = alg
			}
		})
		for _, mode := range []string{"jwt", "query.jwt"} {
			a := ask(t, c, bend("response_mode", mode))
			b := flow.NewBrowser(d.server((i + 1) % 3)) // another replica than the push went to
			answer := a.answerAt(b, a.url()+"&response_mode=query&state=evil", flow.Approve)
			_ = a.redeem(answer.Get("code"))
			signed, err := flow.Decode(strings.TrimPrefix(b.Page.Location, callback+"?response="))
			if err != nil || signed.Member("alg") != or(alg, "PS256") {
				t.Errorf("%v %v", signed.Header, err)
			}
			no := ask(t, c, bend("response_mode", mode), bend("prompt", "login"))
			if answer := no.answerIn(b, flow.Deny); answer.Get("error") != "access_denied" {
				t.Errorf("%v", answer)
			}
			unasked := ask(t, c, bend("response_mode", mode), bend("prompt", "none"))
			if answer := unasked.told(visit(t, unasked.browser(), unasked.url())); answer.Get("error") != "login_required" {
				t.Errorf("%v", answer)
			}
		}
		// JARM-04: who registered such modes alone is never answered in the open.
		for _, other := range []string{"", "query", "form_post.jwt"} {
			params := pushable()
			params.Set("response_mode", other)
			refusedFor(t, do(t, c.Server, c.PushRequest(params)), "400 invalid_request", oauth.ResponseModeRefused)
		}
	}
}

// postedAnswers: AZ-25. Quotes in a state, a name or a redirect_uri stay where they are, and the form goes nowhere else.
func postedAnswers(t *testing.T, d *deployment) {
	const odd = callback + `/o'brien?a=%22%3E'&b=c`
	c := d.recipient(0, func(m map[string]any) {
		m["redirect_uris"], m["client_name"] = []string{callback, odd}, `"><script>alert(1)</script>`
	})
	b := flow.NewBrowser(c.Server)
	for i, redirectURI := range []string{callback, odd} {
		for _, state := range []string{
			"s", `"><script>alert(1)</script>`, `' onmouseover='alert(1)`, `</form><form action="https://evil.example">`, "\u202e\u00e9",
		} {
			a := ask(t, c, bend("redirect_uri", redirectURI), bend("response_mode", "form_post.jwt"), bend("state", state))
			answer := a.answerIn(b, []string{flow.Approve, flow.Deny}[i])
			body := b.Page.Exchange.ResponseBody
			if !isPosted(b.Page.Exchange) || answer.Get("state") != state || len(b.Page.Forms) != 1 ||
				strings.Contains(body, "alert(1)</script>") || strings.Contains(body, "evil") {
				t.Errorf("%q: %s", state, body)
			}
			if code := answer.Get("code"); code != "" {
				_ = a.redeem(code)
			}
		}
	}
	for _, wrong := range []string{"javascript:alert(1)", callback + `"onclick="alert(1)`, callback + "/o%27brien?a=%22%3E'&b=c"} {
		d.pushesNothing(t, c, "400 invalid_request", oauth.RedirectURIUnknown,
			bends(bend("redirect_uri", wrong), bend("response_mode", "form_post.jwt")))
	}
}

// JARM-05: an answer is encrypted for the client's key as it registered, for every pair of algorithms that the metadata lists.
func TestEncryptedAnswers(t *testing.T) {
	t.Parallel()
	d := deploy(t, 2, nil)
	m, reads := document(t, d.server(0), d.issuer+"/.well-known/openid-configuration"), newReader(t)
	algs := list(m, "authorization_encryption_alg_values_supported")
	encs := list(m, "authorization_encryption_enc_values_supported")
	if len(algs) != 4 || len(encs) != 4 {
		t.Errorf("%v, %v", algs, encs)
	}
	modes := []string{"jwt", "form_post.jwt"}
	for i, alg := range algs {
		for j, enc := range encs {
			c := d.recipient((i+j)%2, reads.publish, changes{"authorization_signed_response_alg": "ES256",
				"authorization_encrypted_response_alg": alg, "authorization_encrypted_response_enc": enc}.apply)
			c.Decrypt = func(jwe string) (string, error) { return reads.read(t, jwe, alg, enc), nil }
			a := ask(t, c, bend("response_mode", modes[(i+j)%2]))
			_ = a.redeem(a.code())
		}
	}
}

// JARM-05: a client that has no key to encrypt for is told so at the push. If the key goes later, the person is told, nothing
// is granted or said in the open, and the person goes on when the key is there again.
func TestAnswersWithoutAKey(t *testing.T) {
	t.Parallel()
	d := deploy(t, 1, nil)
	h, reads := newKeyHost(t, nil), newReader(t)
	c := d.recipient(0, keysAt(h.URL+"/jwks"), changes{"authorization_signed_response_alg": "PS256",
		"authorization_encrypted_response_alg": "RSA-OAEP-256"}.apply)
	c.Decrypt = func(jwe string) (string, error) { return reads.read(t, jwe, "RSA-OAEP-256", "A128CBC-HS256"), nil }
	without := publishing(c.Key.PublicJWK())
	with := publishing(c.Key.PublicJWK(), gojose.JSONWebKey{Key: reads.rsa.Public(), KeyID: "rsa", Use: "enc"})
	h.now(without)
	d.pushesNothing(t, c, "400 invalid_request", oauth.EncryptionKeyMissing, bend("response_mode", "jwt"))
	_ = ask(t, c).code() // what goes in plain parameters needs no key

	h.now(with)
	d.clock.advance(time.Minute)
	for _, decision := range []string{flow.Approve, flow.Deny} {
		a := ask(t, c, bend("response_mode", "jwt"))
		b := a.browser()
		form := filledIn(a.upTo(b, "decision"))
		form.Fields.Set("decision", decision)
		grants := d.grants(t)
		h.now(without)
		d.clock.advance(6 * time.Minute) // the set has been kept for five
		refusedPage(t, submit(t, b, form), http.StatusBadRequest, oauth.EncryptionKeyMissing)
		if n := d.grants(t); n != grants {
			t.Errorf("%d grants", n-grants)
		}
		h.now(with)
		d.clock.advance(time.Minute)
		if answer := a.told(submit(t, b, form)); answer.Has("code") != (decision == flow.Approve) {
			t.Errorf("%s: %v", decision, answer)
		}
	}
}

// runsScripts switches the scripts of pages on or off.
func (v *visitor) runsScripts(on bool) {
	v.t.Helper()
	off := emulation.SetScriptExecutionDisabledParams{Value: !on}
	if _, err := chromedp.Call(v.tab, emulation.SetScriptExecutionDisabled, off); err != nil {
		v.t.Fatal(err)
	}
}

// TestChromiumPostedAnswers has a real browser take an answer to its client by a form, without a press of the button, and by
// the button where scripts are switched off. The client sends its people on to another page of its own.
func TestChromiumPostedAnswers(t *testing.T) {
	t.Parallel()
	d := deploy(t, 1, nil)
	posted := make(chan url.Values, 1)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/callback" {
			_, _ = w.Write([]byte(`<!DOCTYPE html><html lang="en"><title>The application</title><p id="arrived">Welcome back.</p>`))
			return
		}
		if err := r.ParseForm(); err != nil || r.Method != http.MethodPost {
			t.Errorf("%s %v", r.Method, err)
		}
		posted <- r.PostForm
		http.Redirect(w, r, "/home", http.StatusFound)
	}))
	defer app.Close()
	c := d.recipient(0, func(m map[string]any) {
		m["client_name"], m["application_type"] = "Budget Buddy", "native"
		m["redirect_uris"] = []string{app.URL + "/callback?a=b"}
	})
	browser := pagetest.NewBrowser(t, chromedp.Flag("host-resolver-rules", "MAP localhost:8080 "+d.hosts[0]))
	for _, language := range page.Languages() {
		t.Run(language, func(t *testing.T) {
			v := &visitor{t: t, tab: pagetest.NewTab(t, browser), language: language, folder: t.ArtifactDir()}
			v.speaks(language)
			for _, scripts := range []bool{true, false} {
				a := ask(t, c, bend("redirect_uri", app.URL+"/callback?a=b"), bend("response_mode", "form_post.jwt"),
					bend("prompt", "login"))
				v.open(a.url())
				v.click("username")
				v.press("alex", kb.Tab, demoPassword, kb.Enter)
				v.click("account-0")
				v.click("submit")
				pagetest.Do(t, v.tab, chromedp.WaitVisible("#approve"))
				v.runsScripts(scripts)
				if v.click("approve"); !scripts {
					pagetest.Do(t, v.tab, chromedp.WaitVisible("#continue"))
					v.press(kb.Tab, kb.Enter)
				}
				pagetest.Do(t, v.tab, chromedp.WaitVisible("#arrived"))
				v.runsScripts(true)
				got := <-posted
				answer, err := c.OpenResponse(t.Context(), got.Get("response"))
				if err != nil || len(got) != 1 || answer.Claim("state") != "of the client" {
					t.Fatalf("%v %v", err, got)
				}
				_ = a.redeem(answer.Claim("code"))
			}
		})
	}
}
