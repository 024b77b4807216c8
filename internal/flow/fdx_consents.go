package flow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// consent asks the consents API about a consent, with an access token of the client's (FDX Consent API). Below is "" or
// "/revocation".
func (c *Client) consent(method, id, below string, token *Token) *Request {
	target := c.Server.aliased(strings.TrimSuffix(c.Server.Issuer, "/") + "/fdx/v6/consents/" + url.PathEscape(id) + below)
	return c.Present(&Request{Method: method, URL: target}, token.AccessToken)
}

// revocation ends a consent, in the words of FDX.
func (c *Client) revocation(id string, token *Token) *Request {
	request := c.consent(http.MethodPut, id, "/revocation", token)
	request.JSON = map[string]string{"reason": "BUSINESS_RULE", "initiator": "DATA_RECIPIENT"}
	return request
}

// consentGrant is what the flow reads of a consent (FDX, ConsentGrant).
type consentGrant struct {
	ConsentRequest
	ID             string
	Status         string
	Parties        []struct{ Name, Type string }
	CreatedTime    time.Time
	ExpirationTime time.Time
}

// see looks at the consent with the client's own token, and as those who must not see it.
func (f *FDX) see(ctx context.Context, step *Step) (err error) {
	if f.own, err = f.client.Token(ctx, url.Values{"scope": {grantedScope}}); err != nil {
		return err
	}
	strangers, err := f.stranger.Token(ctx, url.Values{"scope": {grantedScope}})
	if err != nil {
		return err
	}
	id := f.token.GrantID
	seen, err := f.Server.expect(ctx, http.StatusOK, f.client.consent(http.MethodGet, id, "", f.own))
	if err != nil {
		return err
	}
	var consent consentGrant
	if err := json.Unmarshal([]byte(seen.ResponseBody), &consent); err != nil {
		return fmt.Errorf("the answer is no ConsentGrant of FDX: %w", err)
	}
	step.grant(consent, id, f.lastingGrant())
	for _, attempt := range []struct {
		name    string
		status  int
		request *Request
	}{
		{"with a token of the consent", 200, f.client.consent(http.MethodGet, id, "", f.token)},
		{"as another client", 404, f.stranger.consent(http.MethodGet, id, "", strangers)},
		{"a consent that nobody gave", 404, f.client.consent(http.MethodGet, randomID(), "", f.own)},
		{"ended by another client", 404, f.stranger.revocation(id, strangers)},
	} {
		exchange, err := f.answered(ctx, step, attempt.name, attempt.status, "", attempt.request)
		if err != nil {
			return err
		}
		if answer := exchange.JSON(); exchange.Status >= http.StatusBadRequest {
			inFDX := answer["code"] != nil && answer["message"] != nil
			step.check("and says so as FDX does", inFDX, "code and message", exchange.ResponseBody)
		}
	}
	return nil
}

// grant records whether a consent is the one that the person gave a moment ago.
func (s *Step) grant(consent consentGrant, id string, want Details) {
	s.equal("id is the grant", id, consent.ID)
	s.equal("status is ACTIVE", "ACTIVE", consent.Status)
	s.details("its terms and resources are what was granted", want, Details{{DetailsType, consent.ConsentRequest}})
	var parties []string
	for _, party := range consent.Parties {
		parties = append(parties, party.Type)
		if party.Type == "DATA_RECIPIENT" {
			s.equal("the data recipient is the client", clientName, party.Name)
		}
	}
	slices.Sort(parties)
	s.equal("parties are recipient and provider", "DATA_PROVIDER DATA_RECIPIENT", strings.Join(parties, " "))
	life := consent.ExpirationTime.Sub(consent.CreatedTime)
	period := time.Duration(want[0].ConsentRequest.DurationPeriod) * 24 * time.Hour
	s.check("it ends with its period", (life-period).Abs() < time.Minute, period.String(), life.String())
}

// end ends the consent as its client, and sees that nothing of it is left.
func (f *FDX) end(ctx context.Context, step *Step) error {
	if f.Ask != nil {
		step.Skipped = "the person will do that"
		return nil
	}
	id := f.token.GrantID
	for _, attempt := range []struct {
		name    string
		status  int
		code    string
		request *Request
	}{
		{"ended by its client", 204, "", f.client.revocation(id, f.own)},
		{"and once more", 409, "", f.client.revocation(id, f.own)},
		{"a refresh after that", 400, "invalid_grant", f.client.RefreshRequest(f.token.RefreshToken, nil)},
		{"its token, at the consent", 401, "invalid_token", f.client.consent(http.MethodGet, id, "", f.token)},
	} {
		if _, err := f.answered(ctx, step, attempt.name, attempt.status, attempt.code, attempt.request); err != nil {
			return err
		}
	}
	if err := f.dead(ctx, step, "the access token", f.client, f.token.AccessToken); err != nil {
		return err
	}
	return f.ended(ctx, step, id, "DATA_RECIPIENT")
}

// ended looks at a consent that somebody has ended, and at who that was.
func (f *FDX) ended(ctx context.Context, step *Step, id, initiator string) error {
	seen, err := f.answered(ctx, step, "the consent", 200, "", f.client.consent(http.MethodGet, id, "", f.own))
	if err != nil {
		return err
	}
	step.equal("status is REVOKED", "REVOKED", seen.JSON()["status"])
	listed, err := f.answered(ctx, step, "its revocations", 200, "", f.client.consent(http.MethodGet, id, "/revocation", f.own))
	if err != nil {
		return err
	}
	var list struct {
		Revocations []struct{ Status, Initiator string }
	}
	if err := json.Unmarshal([]byte(listed.ResponseBody), &list); err != nil {
		return fmt.Errorf("the answer is no list of revocations of FDX: %w", err)
	}
	step.equal("there is one, by who ended it", `[{"Status":"REVOKED","Initiator":"`+initiator+`"}]`, list.Revocations)
	return nil
}

// shareOnce asks with the example of FDX, letter by letter: a consent for one account and one access token. A request for
// more than that is a wrong try of its code, which stays good.
func (f *FDX) shareOnce(ctx context.Context, step *Step) error {
	if f.Ask != nil {
		step.Skipped = onceOnly
		return nil
	}
	step.Did, f.Person.Shares = onceMore, 1
	r, err := f.another(ctx, once)
	if err != nil {
		return err
	}
	f.read(step, r)
	wider := once.read().granted("", []string{"nobody-has-this-account"})
	request := f.client.CodeRequest(r.code, r.pair.Verifier, r.redirectURI)
	request.Form.Set("authorization_details", text(wider))
	if err := f.refused(ctx, step, "the code, for another account", 400, "invalid_authorization_details", request); err != nil {
		return err
	}
	request = f.client.CodeRequest(r.code, r.pair.Verifier, r.redirectURI)
	exchange, err := f.answered(ctx, step, "and then for what was granted", 200, "", request)
	if err != nil {
		return err
	}
	if f.single, err = readToken(exchange); err != nil {
		return err
	}
	return f.granted(step, r, f.single)
}

// stop has the person end a consent on the page of connected apps.
func (f *FDX) stop(ctx context.Context, step *Step) error {
	token, stopped := f.single, f.playStop
	if f.Ask != nil {
		token, stopped = f.token, f.waitForStop
	}
	if err := stopped(ctx, step, token.GrantID); err != nil {
		return err
	}
	if token.RefreshToken != "" {
		refresh := f.client.RefreshRequest(token.RefreshToken, nil)
		if err := f.refused(ctx, step, "a refresh after that", 400, "invalid_grant", refresh); err != nil {
			return err
		}
	}
	if err := f.dead(ctx, step, "the access token", f.client, token.AccessToken); err != nil {
		return err
	}
	return f.ended(ctx, step, token.GrantID, "INDIVIDUAL")
}

// waitForStop shows a person the page, and waits until the consent is none any more. The client's own token may end before.
func (f *FDX) waitForStop(ctx context.Context, step *Step, id string) error {
	step.Did = "a person stopped sharing in a browser"
	f.Ask(f.connected(), int64(askLimit.Seconds()))
	for range int(askLimit / askAgain) {
		seen, err := f.Server.Do(ctx, f.client.consent(http.MethodGet, id, "", f.own))
		if err != nil {
			return err
		}
		switch {
		case seen.Status == http.StatusUnauthorized:
			f.own, err = f.client.Token(ctx, url.Values{"scope": {grantedScope}})
		case seen.JSON()["status"] != "ACTIVE":
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(askAgain):
		}
	}
	return fmt.Errorf("nobody stopped sharing within %.0f minutes", askLimit.Minutes())
}

// playStop is the person at the page, in a browser that knows nobody yet.
func (f *FDX) playStop(ctx context.Context, step *Step, id string) error {
	browser := NewBrowser(f.Server)
	if _, err := browser.Visit(ctx, f.connected()); err != nil {
		return err
	}
	page, err := browser.SignIn(ctx, f.Person.Username, f.Person.Password)
	if err != nil {
		return err
	}
	step.Did = "signed in as " + f.Person.Username
	button := page.sharing(id)
	if button == nil {
		return errors.New("the page of connected apps has no button for the consent: " + page.String())
	}
	if page, err = browser.Submit(ctx, button); err != nil {
		return err
	}
	step.Did += ", stopped sharing"
	gone := page.Exchange.Status == http.StatusOK && page.sharing(id) == nil
	step.check("its button is gone", gone, "200, no button", page.String())
	return nil
}

// sharing is the form that stops a consent; nil when the page has none.
func (p *Page) sharing(id string) *Form {
	for _, form := range p.Forms {
		if form.Fields.Get("consent") == id {
			return form
		}
	}
	return nil
}
