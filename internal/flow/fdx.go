package flow

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// FDX is the flow `fdx`: ask a person to share data for a while, look at what was granted wherever it is told, ask for less
// of it, end the consent as its client, and have the person end another.
type FDX struct {
	Authorization

	stranger *Client // another client, which has no business with the consent
	own      *Token  // that the client has in its own name
	single   *Token  // of the consent that is good for one
}

// Run plays the flow. What the server does wrong is in the Report; the only error is *Unreachable.
func (f *FDX) Run(ctx context.Context) (*Report, error) {
	defer f.cleanUp(ctx)
	f.wish = lasting
	return play(ctx, f.Server, "fdx", []stage{
		{"discover", f.discover},
		{"registrar token", f.askRegistrarToken},
		{"register clients", f.register},
		{"push the request", f.push},
		{"authorize", f.authorize},
		{"redeem the code", f.redeem},
		{"introspect", f.introspect},
		{"refresh", f.refresh},
		{"see the consent", f.see},
		{"must fail", f.mustFail},
		{"end the consent", f.end},
		{"share once", f.shareOnce},
		{"stop sharing", f.stop},
		{"two details", f.askBoth},
	}, f.Done)
}

// register enrols both clients at once. They may have tokens in their own name too, to look at consents with.
func (f *FDX) register(ctx context.Context, step *Step) error {
	metadata := registration()
	metadata["grant_types"] = []string{"authorization_code", "refresh_token", "client_credentials"}
	err := f.Registrant.register(ctx, step, metadata)
	if err == nil {
		f.stranger, err = f.enrol(ctx, metadata)
	}
	return err
}

func (f *FDX) authorize(ctx context.Context, step *Step) error {
	if err := f.Authorization.authorize(ctx, step); err != nil || f.Ask != nil {
		return err
	}
	f.read(step, f.round)
	return nil
}

// read looks at what the consent page has told the person who has just answered a request.
func (f *FDX) read(step *Step, r *round) {
	page, asked := f.browser.Asked("decision"), r.wish.read()[0]
	says := func(name string, all ...string) {
		missing := slices.DeleteFunc(slices.Clone(all), func(word string) bool {
			return strings.Contains(strings.ToLower(page.Text), strings.ToLower(word))
		})
		step.check("the consent page says "+name, len(missing) == 0, strings.Join(all, ", "), "not "+strings.Join(missing, ", "))
	}
	says("who asks", clientName)
	says("which data", asked.Clusters()...)
	var accounts []string
	for _, id := range r.accounts {
		accounts = append(accounts, f.browser.Asked("accounts").Form("accounts").Labels.Get(id))
	}
	says("which accounts", accounts...)
	says("how far back", fmt.Sprint(asked.ConsentRequest.LookbackPeriod, " days"))
	if r.wish.lasts() {
		until := f.Server.Now().AddDate(0, 0, asked.ConsentRequest.DurationPeriod).UTC().Format(time.DateOnly)
		step.check("the consent page says until when", slices.Contains(page.Dates, until), until, strings.Join(page.Dates, " "))
	} else {
		says("for how long", "once")
	}
	says("how to stop", f.connected())
}

// connected is the page where people look at what they share.
func (f *FDX) connected() string { return strings.TrimSuffix(f.Server.Issuer, "/") + "/connected" }

// introspect asks about the access token as others do, and then for the answer as a JWT (RFC 9701).
func (f *FDX) introspect(ctx context.Context, step *Step) error {
	if err := f.Registrant.introspect(ctx, step, f.token); err != nil {
		return err
	}
	told, err := f.introspectSigned(ctx, step, f.client, f.token)
	if err == nil {
		step.bears(f.token, told)
	}
	return err
}

// lastingGrant is what the person granted of the flow's first request.
func (f *FDX) lastingGrant() Details { return lasting.read().granted("", f.round.accounts) }

// narrowing is a token request for what the details say.
func narrowing(details Details) url.Values {
	return url.Values{"authorization_details": {text(details)}}
}

// refresh asks for one data cluster of one account, and then for everything again: what a request narrows is its token, and
// never the grant (RFC 9396 §6).
func (f *FDX) refresh(ctx context.Context, step *Step) error {
	if len(f.round.accounts) == 0 {
		return errors.New("no account is shared, so that there is nothing to ask for less of")
	}
	less := f.lastingGrant()
	less[0].ConsentRequest.Resources = []ConsentResource{
		{ResourceType: "ACCOUNT", ResourceID: f.round.accounts[0], DataClusters: []string{"TRANSACTIONS"}}}
	if err := f.turn(ctx, step, "for less", narrowing(less), less, "fdx:transactions:read"); err != nil {
		return err
	}
	return f.turn(ctx, step, "and for everything again", nil, f.lastingGrant(), grantedScope)
}

// turn refreshes once and looks at the answer.
func (f *FDX) turn(ctx context.Context, step *Step, name string, more url.Values, want Details, scope string) error {
	token, access, err := f.again(ctx, step, name, f.client.RefreshRequest(f.token.RefreshToken, more), scope)
	if err != nil || token == nil {
		return err
	}
	step.details("authorization_details are what was asked for", want, token.Exchange.JSON()["authorization_details"])
	step.equal("grant_id is the same as before", f.token.GrantID, token.GrantID)
	step.bears(token, access.Claims)
	return nil
}

// askBoth asks with two details of one type, and by every scope: both come back, and the scopes that neither needs do not.
func (f *FDX) askBoth(ctx context.Context, step *Step) error {
	if f.Ask != nil {
		step.Skipped = onceOnly
		return nil
	}
	step.Did = onceMore
	r, err := f.another(ctx, both)
	if err != nil {
		return err
	}
	token, err := f.client.Redeem(ctx, r.code, r.pair.Verifier, r.redirectURI)
	if err != nil {
		return err
	}
	return f.granted(step, r, token)
}
