package flow

import (
	"context"
	"crypto/elliptic"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// forgery is an assertion that is not worth a token.
type forgery struct {
	name  string
	edits []Edit
}

// forgeries are good assertions with one thing bent: what another key has signed names the good key all the same.
func (f *JWTBearer) forgeries() ([]forgery, error) {
	theirs, err := GenerateKey("ES256")
	if err != nil {
		return nil, err
	}
	rsaKey, err := GenerateKey("PS256")
	if err != nil {
		return nil, err
	}
	exp := func(after time.Duration) []Edit {
		return []Edit{SetClaim("exp", f.Server.Now().Add(after).Unix())}
	}
	const elsewhere = "https://elsewhere.example"
	forgeries := []forgery{
		{"exp 16 minutes ahead", exp(16 * time.Minute)},
		{"exp 5 minutes ago", exp(-5 * time.Minute)},
		{"no exp", []Edit{DropClaim("exp")}},
		{"no kid", []Edit{DropHeader("kid")}},
		{"a kid that nobody has", []Edit{SetHeader("kid", randomID())}},
		{"alg none", []Edit{SignAs("none")}},
		{"alg HS256, by the public key", []Edit{SignAs("HS256")}},
		{"alg PS256", []Edit{SignWith(rsaKey)}},
		{"another key's signature", []Edit{SignWith(theirs)}},
		{"an issuer that nobody trusts", []Edit{SetClaim("iss", elsewhere), SetClaim("sub", elsewhere)}},
		{"another subject", []Edit{SetClaim("sub", elsewhere)}},
		{"no subject", []Edit{DropClaim("sub")}},
		{"another audience", []Edit{SetClaim("aud", elsewhere)}},
		{"no audience", []Edit{DropClaim("aud")}},
		{"the typ of a request object", []Edit{SetHeader("typ", "oauth-authz-req+jwt")}},
		{"the typ of an access token", []Edit{SetHeader("typ", "at+jwt")}},
	}
	if id := f.IssuerKey.ClientID; id != "" {
		ofClient := []Edit{SetClaim("iss", id), SetClaim("sub", id), SetClaim("jti", randomID())}
		forgeries = append(forgeries, forgery{"a client assertion", ofClient})
	}
	return forgeries, nil
}

// mustFail shows assertions and requests that are worth nothing, and that a good one still is.
func (f *JWTBearer) mustFail(ctx context.Context, step *Step) error {
	forgeries, err := f.forgeries()
	if err != nil {
		return err
	}
	for _, forgery := range forgeries {
		request, err := f.request(forgery.edits...)
		if err != nil {
			return err
		}
		if err := f.refused(ctx, step, forgery.name, 400, "invalid_grant", request); err != nil {
			return err
		}
	}
	for _, attempt := range f.attempts() {
		request, err := f.request()
		if err != nil {
			return err
		}
		attempt.bend(request)
		if err := f.refused(ctx, step, attempt.name, attempt.status, attempt.code, request); err != nil {
			return err
		}
	}
	request, err := f.request()
	if err != nil {
		return err
	}
	_, err = f.answered(ctx, step, "after which a new one is good", http.StatusOK, "", request)
	return err
}

// attempts are requests with a good assertion, or with one that was good once.
func (f *JWTBearer) attempts() []attempt {
	spent := f.token.Exchange.Form().Get("assertion")
	form := func(name string, values ...string) func(*Request) {
		return func(r *Request) { r.Form[name] = values }
	}
	attempts := []attempt{
		{"the same assertion again", 400, "invalid_grant", form("assertion", spent)},
		{"the same with its s turned over", 400, "invalid_grant", form("assertion", turned(spent))},
		{"the access token", 400, "invalid_grant", form("assertion", f.token.AccessToken)},
		{"no assertion", 400, "invalid_request", func(r *Request) { r.Form.Del("assertion") }},
		{"two assertions", 400, "invalid_request", func(r *Request) { r.Form.Add("assertion", spent) }},
		{"a scope that it does not open", 400, "invalid_scope", form("scope", "client.create")},
		{"a person's data", 400, "invalid_scope", form("scope", "fdx:accountbasic:read")},
		{"the assertion as a client's", 401, "invalid_client", func(r *Request) {
			r.Assertion = func() (string, error) { return f.assertion(SetClaim("jti", randomID())) }
			r.Form = url.Values{"grant_type": {"client_credentials"}}
		}},
	}
	another := attempt{"another client_id", 400, "invalid_grant", form("client_id", "https://elsewhere.example")}
	if f.Server.Certificate != nil { // which the client_id then says to be that client's
		another.status, another.code = 401, "invalid_client"
	}
	return append(attempts, another)
}

// turned is an ES256 signature's other spelling: n-s verifies wherever s does, so that anybody can write it.
func turned(compact string) string {
	at := strings.LastIndexByte(compact, '.') + 1
	signature, err := decode64(compact[at:])
	if err != nil || len(signature) != 64 {
		return compact
	}
	s := new(big.Int).SetBytes(signature[32:])
	s.Sub(elliptic.P256().Params().N, s).FillBytes(signature[32:])
	return compact[:at] + encode64(signature)
}
