package flow

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The bounds of how long an authorization response that is a JWT may live (JARM §2.1, FAPI 2.0 Message Signing).
const (
	minResponseLife = 10 * time.Second
	maxResponseLife = 10 * time.Minute
)

// leaves tells whether the page takes the browser back to a client: by a redirect elsewhere, or by a form that a browser
// with JavaScript would send by itself (JARM §2.3.3).
func (p *Page) leaves() bool { return p.Location != "" || p.Form("response") != nil }

// ReadResponse takes the redirect, or the form, apart that brings the browser back to redirectURI with one JWT and nothing
// else (JARM §2.3).
func (p *Page) ReadResponse(redirectURI string) (compact string, err error) {
	params, form := url.Values{}, p.Form("response")
	switch {
	case p.Location != "":
		params, err = ReadReturn(p.Location, redirectURI)
	case form == nil:
		err = fmt.Errorf("the page leads nowhere: %s", p)
	case form.Action != redirectURI || form.Method != http.MethodPost:
		err = fmt.Errorf("the form leads elsewhere: expected POST %s, got %s %s", redirectURI, form.Method, form.Action)
	default:
		params = form.Fields
	}
	if err == nil && (len(params) != 1 || len(params["response"]) != 1) {
		err = fmt.Errorf("expected the one parameter response, got %s", strings.Join(slices.Sorted(maps.Keys(params)), ", "))
	}
	return params.Get("response"), err
}

// OpenResponse verifies an authorization response that is a JWT (JARM §2.4): it is the server's, for this client, and new.
// Where it is encrypted, Decrypt opens it first.
func (c *Client) OpenResponse(ctx context.Context, compact string) (answer JWT, err error) {
	keys, err := c.Server.Keys(ctx)
	if err != nil {
		return answer, err
	}
	if answer, err = c.unseal(compact); err == nil {
		err = answer.Verify(keys)
	}
	if err != nil {
		return answer, err
	}
	expires, err := strconv.ParseInt(text(answer.Claims["exp"]), 10, 64)
	left := time.Unix(expires, 0).Sub(c.Server.Now())
	switch {
	case err != nil:
		return answer, fmt.Errorf("the response has no exp in whole seconds: %w", err)
	case answer.Claim("iss") != c.Server.Issuer:
		return answer, fmt.Errorf("the response is by %q, expected %q", answer.Claim("iss"), c.Server.Issuer)
	case answer.Claims["aud"] != c.ID:
		return answer, fmt.Errorf("the response is for %q, expected %q", answer.Claim("aud"), c.ID)
	case left < minResponseLife || left > maxResponseLife:
		return answer, fmt.Errorf("the response expires in %s", left)
	case (answer.Claim("code") == "") == (answer.Claim("error") == ""):
		return answer, errors.New("the response has neither a code nor an error, or both")
	}
	return answer, nil
}

// Parameters are what an authorization response that is a JWT says, as plain parameters would.
func (j JWT) Parameters() url.Values {
	params := url.Values{}
	for name, value := range j.Claims {
		if said, isText := value.(string); isText && name != "aud" {
			params.Set(name, said)
		}
	}
	return params
}
