package flow

import (
	"context"
	"net/http"
	"strings"
)

// mustFail is all that must fail while the consent is good, and leaves it as good as it was.
func (f *FDX) mustFail(ctx context.Context, step *Step) error {
	if err := f.pushBadly(ctx, step); err != nil {
		return err
	}
	return f.refreshBadly(ctx, step)
}

// pushBadly pushes good details with one thing bent. The refusal begins with the path of the member that is wrong.
func (f *FDX) pushBadly(ctx context.Context, step *Step) error {
	const element = "authorization_details[0]"
	const consent = element + ".consentRequest"
	for _, attempt := range []struct{ name, path, good, bad string }{
		{"a member that FDX does not have", consent + ".lookback", `"lookbackPeriod"`, `"lookback":60,"lookbackPeriod"`},
		{"a type that nobody offers", element + ".type", DetailsType, "fdx_v0.9"},
		{"366 days", consent + ".durationPeriod", `"durationPeriod":30`, `"durationPeriod":366`},
		{"0 days", consent + ".durationPeriod", `"durationPeriod":30`, `"durationPeriod":0`},
		{"days in a string", consent + ".durationPeriod", `"durationPeriod":30`, `"durationPeriod":"30"`},
		{"an account that the client chose", consent + ".resources[0].resourceId", `"ACCOUNT"`, `"ACCOUNT","resourceId":"a1"`},
	} {
		params := f.round.params()
		params.Set("authorization_details", strings.Replace(f.round.wish.details, attempt.good, attempt.bad, 1))
		refused, err := f.answered(ctx, step, attempt.name, 400, "invalid_authorization_details", f.client.PushRequest(params))
		if err != nil {
			return err
		}
		described := refused.ErrorDescription()
		step.check("and its path is named", strings.HasPrefix(described, attempt.path), attempt.path+" …", described)
	}
	params := f.round.params()
	params.Set("scope", "fdx:transactions:read")
	return f.refused(ctx, step, "data without the scope for it", 400, "invalid_scope", f.client.PushRequest(params))
}

// refreshBadly asks for more than the person granted (RFC 9396 §6.1).
func (f *FDX) refreshBadly(ctx context.Context, step *Step) error {
	refresh := func(bend func(*ConsentRequest)) *Request {
		details := f.lastingGrant()
		bend(&details[0].ConsentRequest)
		return f.client.RefreshRequest(f.token.RefreshToken, narrowing(details))
	}
	for _, attempt := range []struct {
		name string
		bend func(*ConsentRequest)
	}{
		{"an account that nobody chose", func(c *ConsentRequest) { c.Resources[0].ResourceID = "nobody-has-this-account" }},
		{"data that nobody granted", func(c *ConsentRequest) { c.Resources[0].DataClusters = []string{"ACCOUNT_BASIC"} }},
		{"a year", func(c *ConsentRequest) { c.DurationPeriod = 365 }},
		{"a longer look back", func(c *ConsentRequest) { c.LookbackPeriod++ }},
	} {
		request := refresh(attempt.bend)
		if err := f.refused(ctx, step, attempt.name, 400, "invalid_authorization_details", request); err != nil {
			return err
		}
	}
	good := f.client.RefreshRequest(f.token.RefreshToken, nil)
	_, err := f.answered(ctx, step, "after which it is still good", http.StatusOK, "", good)
	return err
}
