package flow

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// The flow's own client registers for two kinds of data and for reading its own registration, and then asks for less.
const (
	clientScope = "fdx:accountbasic:read fdx:transactions:read client.read"
	tokenScope  = "fdx:accountbasic:read client.read"
)

// ClientCredentials is the flow `cc`: register a client, get a token for it, use the token, give it back, and then see
// everything fail that has to fail. The client is deleted at the end, also when the flow breaks off.
type ClientCredentials struct {
	Server *Server

	// One of these two authorises the registration; with neither it is tried openly.
	RegistrarKey       *Key // of a client that may ask for scope client.create
	InitialAccessToken string

	ResourceServerKey *Key        // optional: of a client that may introspect everybody's tokens
	Done              func(*Step) // optional: called after each step

	registrarToken *Token
	registrar      *Client
	client         *Client // nil before registration and after deletion
	token          *Token
	resource       string
}

// Run plays the flow. What the server does wrong is in the Report; the only error is *Unreachable.
func (f *ClientCredentials) Run(ctx context.Context) (*Report, error) {
	defer f.cleanUp(ctx)
	return play(ctx, f.Server, "cc", []stage{
		{"discover", f.discover},
		{"registrar token", f.askRegistrarToken},
		{"register a client", f.register},
		{"client's token", f.askToken},
		{"call a resource", f.callResource},
		{"introspect", f.introspect},
		{"revoke", f.revoke},
		{"registration", f.manage},
		{"must fail", f.mustFail},
	}, f.Done)
}

// cleanUp deletes the client of a flow that broke off, even one that was interrupted.
func (f *ClientCredentials) cleanUp(ctx context.Context) {
	if f.client == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	f.Server.Do(ctx, f.client.ManageRequest(http.MethodDelete, nil)) // Best effort: the flow's own fault is told already.
}

func (f *ClientCredentials) discover(ctx context.Context, step *Step) error {
	if err := f.Server.Discover(ctx); err != nil {
		return err
	}
	metadata := f.Server.Metadata
	step.equal("issuer is the URL asked for", f.Server.Issuer, metadata.Issuer)
	var missing []string
	for name, endpoint := range map[string]string{"token_endpoint": metadata.TokenEndpoint, "jwks_uri": metadata.JWKSURI,
		"registration_endpoint": metadata.RegistrationEndpoint, "introspection_endpoint": metadata.IntrospectionEndpoint,
		"revocation_endpoint": metadata.RevocationEndpoint} {
		if endpoint == "" {
			missing = append(missing, name)
		}
	}
	slices.Sort(missing)
	step.check("every endpoint of this flow is named", len(missing) == 0, "none missing", strings.Join(missing, " "))
	algs := append(slices.Clone(metadata.AssertionAlgs), metadata.ProofAlgs...)
	step.check("algorithms are offered, RS256 and none are not", len(metadata.AssertionAlgs) > 0 && len(metadata.ProofAlgs) > 0 &&
		!slices.Contains(algs, "RS256") && !slices.Contains(algs, "none"), "PS256 ES256 EdDSA", strings.Join(metadata.AssertionAlgs, " "))
	if len(missing) > 0 || len(metadata.AssertionAlgs) == 0 {
		return errors.New("the metadata lacks what this flow needs")
	}
	return nil
}

func (f *ClientCredentials) askRegistrarToken(ctx context.Context, step *Step) error {
	switch {
	case f.InitialAccessToken != "":
		step.Skipped = "an initial access token is given"
		return nil
	case f.RegistrarKey == nil:
		step.Skipped = "no registrar key: registering openly"
		return nil
	}
	proofKey, err := GenerateKey("ES256")
	if err != nil {
		return err
	}
	f.registrar = &Client{Server: f.Server, ID: f.RegistrarKey.ClientID, Key: f.RegistrarKey, DPoPKey: proofKey}
	f.registrarToken, err = f.registrar.Token(ctx, url.Values{"scope": {"client.create"}})
	step.nonceChallenge()
	if err != nil {
		return err
	}
	step.equal("token_type is DPoP", "DPoP", f.registrarToken.Type)
	step.scope("client.create", f.registrarToken.Scope)
	step.tidy(f.registrarToken.Exchange)
	return nil
}

// register prefers PS256 for assertions and signs proofs with ES256: two algorithms in one run, and the RSA key lets
// an RS256 assertion fail for its algorithm alone.
func (f *ClientCredentials) register(ctx context.Context, step *Step) error {
	alg := f.Server.Metadata.AssertionAlgs[0]
	if slices.Contains(f.Server.Metadata.AssertionAlgs, "PS256") {
		alg = "PS256"
	}
	key, err := GenerateKey(alg)
	if err != nil {
		return err
	}
	proofKey, err := GenerateKey("ES256")
	if err != nil {
		return err
	}
	request := f.Server.RegisterRequest(map[string]any{
		"client_name": "authserver try", "grant_types": []string{"client_credentials"}, "response_types": []string{},
		"scope": clientScope, "token_endpoint_auth_method": "private_key_jwt", "token_endpoint_auth_signing_alg": alg,
		"jwks": map[string]any{"keys": []JWK{key.PublicJWK()}}, "dpop_bound_access_tokens": true,
	})
	switch {
	case f.InitialAccessToken != "":
		request.SetHeader("Authorization", "Bearer "+f.InitialAccessToken)
	case f.registrar != nil:
		f.registrar.Present(request, f.registrarToken.AccessToken)
	}
	f.client, err = f.Server.Register(ctx, request, key, proofKey)
	if err != nil {
		return err
	}
	exchange := step.Exchanges[len(step.Exchanges)-1]
	step.answers("answered with 201", exchange, http.StatusCreated, "")
	step.check("client_id and registration_access_token are given", f.client.ID != "" && f.client.RegistrationToken != "", "both",
		strings.Join(slices.Sorted(maps.Keys(exchange.JSON())), " "))
	step.check("registration_client_uri is under the registration endpoint",
		strings.HasPrefix(f.client.RegistrationURI, f.Server.Metadata.RegistrationEndpoint+"/"),
		f.Server.Metadata.RegistrationEndpoint+"/…", f.client.RegistrationURI)
	step.scope(clientScope, text(exchange.JSON()["scope"]))
	step.tidy(exchange)
	return nil
}

func (f *ClientCredentials) askToken(ctx context.Context, step *Step) error {
	var err error
	f.token, err = f.client.Token(ctx, url.Values{"scope": {tokenScope}})
	step.nonceChallenge()
	if err != nil {
		return err
	}
	step.equal("token_type is DPoP", "DPoP", f.token.Type)
	step.scope(tokenScope, f.token.Scope)
	step.tidy(f.token.Exchange)
	token, err := Decode(f.token.AccessToken)
	if err != nil {
		return fmt.Errorf("the access token is not a JWT: %w", err)
	}
	step.equal("typ is at+jwt", "at+jwt", token.Member("typ"))
	step.equal("cnf.jkt is the thumbprint of the proof's key", f.client.DPoPKey.Thumbprint(), Confirmation(token.Claims))
	step.equal("iss is the issuer", f.Server.Issuer, token.Claim("iss"))
	step.equal("sub is the client", f.client.ID, token.Claim("sub"))
	step.equal("client_id is the client", f.client.ID, token.Claim("client_id"))
	step.check("aud names a resource", token.Claim("aud") != "", "a resource", token.Claim("aud"))
	lifetime := Lifetime(token.Claims)
	step.check("expires_in is the token's lifetime", f.token.ExpiresIn > 0 && lifetime-f.token.ExpiresIn >= 0 && lifetime-f.token.ExpiresIn <= 1,
		fmt.Sprint(lifetime, ", or a second less"), fmt.Sprint(f.token.ExpiresIn))
	keys, err := f.Server.Keys(ctx)
	if err != nil {
		return err
	}
	verdict := "verified"
	if err := token.Verify(keys); err != nil {
		verdict = err.Error()
	}
	step.equal("the signature, with the key at jwks_uri", "verified", verdict)
	return nil
}

// callResource uses the demo accounts of a dev server, or else the client's own registration, which takes an access
// token with client.read.
func (f *ClientCredentials) callResource(ctx context.Context, step *Step) error {
	f.resource = strings.TrimSuffix(f.Server.Issuer, "/") + "/demo/accounts"
	bare, err := f.Server.Do(ctx, &Request{Method: http.MethodGet, URL: f.resource})
	if err != nil {
		return err
	}
	challenge := "DPoP"
	if bare.Status == http.StatusNotFound {
		bare.Note = "no demo accounts here: the client's own registration stands in"
		// A registration is asked for with its own Bearer token first of all, so that its challenge may be either.
		f.resource, challenge = f.client.RegistrationURI, ""
		if bare, err = f.Server.Do(ctx, &Request{Method: http.MethodGet, URL: f.resource}); err != nil {
			return err
		}
	}
	step.answers("refused without a token", bare, http.StatusUnauthorized, "")
	offered := strings.Join(bare.ResponseHeader.Values("WWW-Authenticate"), ", ")
	bareChallenge := strings.HasPrefix(offered, challenge) && !strings.Contains(offered, "error=")
	step.check("WWW-Authenticate names the scheme", offered != "" && (challenge == "" || bareChallenge), challenge+" …, without an error", offered)
	called, err := f.Server.Do(ctx, f.callWith(f.client, f.token))
	if err != nil {
		return err
	}
	step.answers("answered with the token and a proof", called, http.StatusOK, "")
	return nil
}

func (f *ClientCredentials) callWith(client *Client, token *Token) *Request {
	return client.Present(&Request{Method: http.MethodGet, URL: f.resource}, token.AccessToken)
}

func (f *ClientCredentials) introspect(ctx context.Context, step *Step) error {
	answer, err := f.client.Introspect(ctx, f.token.AccessToken)
	if err != nil {
		return err
	}
	step.equal("active, says the server to the client", "true", answer["active"])
	step.equal("client_id is the client", f.client.ID, answer["client_id"])
	step.equal("token_type is DPoP", "DPoP", answer["token_type"])
	step.equal("cnf.jkt is the thumbprint of the proof's key", f.client.DPoPKey.Thumbprint(), Confirmation(answer))
	if f.ResourceServerKey == nil {
		return nil
	}
	answer, err = f.resourceServer().Introspect(ctx, f.token.AccessToken)
	if err != nil {
		return err
	}
	step.equal("active, says the server to a resource server", "true", answer["active"])
	return nil
}

func (f *ClientCredentials) resourceServer() *Client {
	return &Client{Server: f.Server, ID: f.ResourceServerKey.ClientID, Key: f.ResourceServerKey}
}

func (f *ClientCredentials) revoke(ctx context.Context, step *Step) error {
	revoked, err := f.client.Revoke(ctx, f.token.AccessToken)
	if err != nil {
		return err
	}
	step.check("revoked, with an empty body", revoked.ResponseBody == "", "no body", revoked.ResponseBody)
	answer, err := f.client.Introspect(ctx, f.token.AccessToken)
	if err != nil {
		return err
	}
	step.equal("introspection says nothing but inactive", `{"active":false}`, answer)
	called, err := f.Server.Do(ctx, f.callWith(f.client, f.token))
	if err != nil {
		return err
	}
	step.answers("the resource refuses the token", called, http.StatusUnauthorized, "invalid_token")
	return nil
}

// manage reads the registration and writes it back with another name: all that was read except what a PUT must not
// contain (RFC 7592 §2.2).
func (f *ClientCredentials) manage(ctx context.Context, step *Step) error {
	read, err := f.Server.expect(ctx, http.StatusOK, f.client.ManageRequest(http.MethodGet, nil))
	if err != nil {
		return err
	}
	registration := read.JSON()
	step.equal("client_id is the client", f.client.ID, registration["client_id"])
	for _, name := range []string{"registration_access_token", "registration_client_uri", "client_id_issued_at", "client_secret_expires_at"} {
		delete(registration, name)
	}
	const renamed = "authserver try, renamed"
	registration["client_name"] = renamed
	written, err := f.Server.expect(ctx, http.StatusOK, f.client.ManageRequest(http.MethodPut, registration))
	if err != nil {
		return err
	}
	f.client.adopt(written.JSON())
	step.equal("client_name after the PUT", renamed, written.JSON()["client_name"])
	read, err = f.Server.expect(ctx, http.StatusOK, f.client.ManageRequest(http.MethodGet, nil))
	if err != nil {
		return err
	}
	step.equal("client_name read again", renamed, read.JSON()["client_name"])
	return nil
}
