package flow

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	// bearerGrant is the grant_type of an assertion (RFC 7523 §2.1).
	bearerGrant = "urn:ietf:params:oauth:grant-type:jwt-bearer"

	bearerLifetime = 3 * time.Minute // of an assertion
	maxBearerToken = 15 * time.Minute
)

// JWTBearer is the flow `jwt-bearer`: an issuer that the server trusts signs assertions, each of which is worth a token by
// itself (RFC 7523 §2.1), and then everything fails that has to fail.
type JWTBearer struct {
	Registrant

	token *Token
}

// Run plays the flow. What the server does wrong is in the Report; the only error is *Unreachable.
func (f *JWTBearer) Run(ctx context.Context) (*Report, error) {
	return play(ctx, f.Server, "jwt-bearer", []stage{
		{"discover", f.discover},
		{"by a form", f.askByForm},
		{"by JSON", f.askByJSON},
		{"with a proof", f.askBound},
		{"introspect", f.introspect},
		{"call a resource", f.callResource},
		{"must fail", f.mustFail},
	}, f.Done)
}

func (f *JWTBearer) discover(ctx context.Context, step *Step) error {
	if err := f.Server.Discover(ctx); err != nil {
		return err
	}
	metadata := f.Server.Metadata
	step.equal("issuer is the URL asked for", f.Server.Issuer, metadata.Issuer)
	grants := metadata.lists("grant_types_supported")
	step.check("assertions are offered as grants", slices.Contains(grants, bearerGrant), bearerGrant, strings.Join(grants, " "))
	if f.IssuerKey == nil {
		return errors.New(noIssuerKey)
	}
	return step.named("what this flow needs",
		map[string]string{"token_endpoint": metadata.TokenEndpoint, "jwks_uri": metadata.JWKSURI})
}

// assertion is one of the issuer for itself, as the guide of seed 002 has it: without jti.
func (f *JWTBearer) assertion(edits ...Edit) (string, error) {
	key, now := f.IssuerKey, f.Server.Now()
	return Draft{Key: key, Alg: key.Alg, Header: map[string]any{"alg": key.Alg, "typ": "JWT", "kid": key.ID},
		Claims: map[string]any{"iss": key.Issuer, "sub": key.Issuer, "aud": f.Server.Issuer,
			"exp": now.Add(bearerLifetime).Unix()},
	}.Sign(edits...)
}

// request sends an assertion, and nothing that proves a client. Edits bend the assertion.
func (f *JWTBearer) request(edits ...Edit) (*Request, error) {
	assertion, err := f.assertion(edits...)
	return &Request{Method: http.MethodPost, URL: f.Server.Metadata.TokenEndpoint,
		Form: url.Values{"grant_type": {bearerGrant}, "assertion": {assertion}}}, err
}

func (f *JWTBearer) askByForm(ctx context.Context, step *Step) error {
	request, err := f.request()
	if err != nil {
		return err
	}
	if f.token, err = f.Server.token(ctx, request); err != nil {
		return err
	}
	return f.inspect(ctx, step, f.token)
}

func (f *JWTBearer) askByJSON(ctx context.Context, step *Step) error {
	request, err := f.request()
	if err != nil {
		return err
	}
	request.Form, request.JSON = nil, map[string]string{"grant_type": bearerGrant, "assertion": request.Form.Get("assertion")}
	token, err := f.Server.token(ctx, request)
	if err != nil {
		return err
	}
	return f.inspect(ctx, step, token)
}

// inspect looks into a token that an assertion gave.
func (f *JWTBearer) inspect(ctx context.Context, step *Step, issued *Token) error {
	step.equal("token_type is Bearer", "Bearer", issued.Type)
	step.equal("no refresh token comes with it", "none", compare("a refresh token", issued.RefreshToken))
	step.tidy(issued.Exchange)
	token, err := Decode(issued.AccessToken)
	if err != nil {
		return fmt.Errorf("the access token is not a JWT: %w", err)
	}
	step.equal("typ is at+jwt", "at+jwt", token.Member("typ"))
	step.equal("iss is the issuer of tokens", f.Server.Issuer, token.Claim("iss"))
	step.equal("sub is whom the assertion speaks for", f.IssuerKey.Issuer, token.Claim("sub"))
	if f.IssuerKey.ClientID != "" {
		step.equal("client_id is the issuer's client", f.IssuerKey.ClientID, token.Claim("client_id"))
	}
	if f.Server.Certificate == nil {
		step.equal("it is bound to nothing", "", token.Claims["cnf"])
	} else {
		step.bound((&Client{Server: f.Server, CertificateBound: true}).binding(), token.Claims)
	}
	step.check("scope is named, as in the token", issued.Scope != "" && sameScope(issued.Scope, token.Claim("scope")),
		"some scope", issued.Scope+", "+token.Claim("scope"))
	lifetime := Lifetime(token.Claims)
	step.check("it lives 15 minutes at most", lifetime > 0 && lifetime <= int64(maxBearerToken.Seconds()),
		fmt.Sprint("1 to ", maxBearerToken.Seconds(), " s"), fmt.Sprint(lifetime, " s"))
	step.check("expires_in is the token's lifetime", lifetime-issued.ExpiresIn >= 0 && lifetime-issued.ExpiresIn <= 1,
		fmt.Sprint(lifetime, ", or a second less"), fmt.Sprint(issued.ExpiresIn))
	return f.verified(ctx, step, token)
}

// askBound shows a key beside the assertion, to which the token is then bound.
func (f *JWTBearer) askBound(ctx context.Context, step *Step) error {
	key, err := GenerateKey("ES256")
	if err != nil {
		return err
	}
	request, err := f.request()
	if err != nil {
		return err
	}
	holder := &Client{Server: f.Server, DPoPKey: key}
	request.Proof = holder.Proof(request.Method, request.URL)
	token, err := f.Server.token(ctx, request)
	if err != nil {
		return err
	}
	step.equal("token_type is DPoP", "DPoP", token.Type)
	access, err := Decode(token.AccessToken)
	if err != nil {
		return fmt.Errorf("the access token is not a JWT: %w", err)
	}
	step.bound(holder.binding(), access.Claims)
	return nil
}

// introspect has a resource server ask about the token; the issuer has no client that could.
func (f *JWTBearer) introspect(ctx context.Context, step *Step) error {
	if f.ResourceServerKey == nil || f.Server.Metadata.IntrospectionEndpoint == "" {
		step.Skipped = "there is no resource server's key"
		return nil
	}
	answer, err := f.resourceServer().Introspect(ctx, f.token.AccessToken)
	if err != nil {
		return err
	}
	step.equal("active, says the server to a resource server", "true", answer["active"])
	step.equal("token_type is Bearer", "Bearer", answer["token_type"])
	step.equal("sub is whom the assertion speaks for", f.IssuerKey.Issuer, answer["sub"])
	step.scope(f.token.Scope, text(answer["scope"]))
	return nil
}

// callResource shows an unbound token to the demo accounts of a dev server, which take bound ones alone (FAPI 2.0 Security
// Profile §5.3.4).
func (f *JWTBearer) callResource(ctx context.Context, step *Step) error {
	if f.Server.Certificate != nil {
		step.Skipped = "the token is bound to the certificate"
		return nil
	}
	resource := &Request{Method: http.MethodGet, URL: strings.TrimSuffix(f.Server.Issuer, "/") + "/demo/accounts"}
	resource.SetHeader("Authorization", "Bearer "+f.token.AccessToken)
	called, err := f.Server.Do(ctx, resource)
	if err != nil {
		return err
	}
	if called.Status == http.StatusNotFound {
		called.Note = "no demo accounts here: whoever takes Bearer tokens takes this one"
		return nil
	}
	step.answers("refused where tokens must be bound", called, http.StatusUnauthorized, "invalid_token")
	return nil
}
