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

// Registrant is what all flows begin with: it discovers a server and registers clients of the flow's own there. They are
// deleted at the end, also when the flow breaks off.
type Registrant struct {
	Server *Server

	// One of these two authorises the registration; with neither it is tried openly.
	RegistrarKey       *Key // of a client that may ask for scope client.create
	InitialAccessToken string

	ResourceServerKey *Key         // optional: of a client that may introspect everybody's tokens
	Certificate       *Certificate // optional: for clients to show, by an authority that the server trusts
	IssuerKey         *Key         // optional: of an issuer whose assertions the server takes alone; with Issuer
	Done              func(*Step)  // optional: called after each step

	registrarToken *Token
	registrar      *Client
	client         *Client // the flow's own; nil before registration
	registered     []*Client
	published      []JWK // the server's keys, once they are needed
	resource       string
}

// cleanUp deletes the clients that are left, even those of a flow that was interrupted.
func (f *Registrant) cleanUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	for _, client := range f.registered {
		f.Server.Do(ctx, client.ManageRequest(http.MethodDelete, nil)) // Best effort: the flow's own fault is told already.
	}
}

func (f *Registrant) discover(ctx context.Context, step *Step) error {
	if err := f.Server.Discover(ctx); err != nil {
		return err
	}
	metadata := f.Server.Metadata
	step.equal("issuer is the URL asked for", f.Server.Issuer, metadata.Issuer)
	algs := append(slices.Clone(metadata.AssertionAlgs), metadata.ProofAlgs...)
	offered := len(metadata.AssertionAlgs) > 0 && len(metadata.ProofAlgs) > 0
	step.check("algorithms are offered, RS256 and none are not",
		offered && !slices.Contains(algs, "RS256") && !slices.Contains(algs, "none"),
		"PS256 ES256 EdDSA", strings.Join(metadata.AssertionAlgs, " "))
	return step.named("what this flow needs", map[string]string{
		"token_endpoint": metadata.TokenEndpoint, "jwks_uri": metadata.JWKSURI, "registration_endpoint": metadata.RegistrationEndpoint,
		"introspection_endpoint":                           metadata.IntrospectionEndpoint,
		"revocation_endpoint":                              metadata.RevocationEndpoint,
		"token_endpoint_auth_signing_alg_values_supported": strings.Join(metadata.AssertionAlgs, " ")})
}

// named records whether the metadata has every member that is needed, and is an error when it has not.
func (s *Step) named(what string, members map[string]string) error {
	var missing []string
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if members[name] == "" {
			missing = append(missing, name)
		}
	}
	s.check(what+" is named", len(missing) == 0, "none missing", strings.Join(missing, " "))
	if len(missing) > 0 {
		return errors.New("the metadata lacks what this flow needs")
	}
	return nil
}

func (f *Registrant) askRegistrarToken(ctx context.Context, step *Step) error {
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
	step.nonceChallenge(http.StatusOK)
	if err != nil {
		return err
	}
	step.equal("token_type is DPoP", "DPoP", f.registrarToken.Type)
	step.scope("client.create", f.registrarToken.Scope)
	step.tidy(f.registrarToken.Exchange)
	return nil
}

// clientName is what the flow's clients call themselves.
const clientName = "authserver try"

// assertionAlg is by what the flow's clients sign assertions and request objects: PS256 where it is offered.
func (f *Registrant) assertionAlg() string {
	if offered := f.Server.Metadata.AssertionAlgs; !slices.Contains(offered, "PS256") {
		return offered[0]
	}
	return "PS256"
}

// enrol registers one more client, and further keys of it if there are any. It prefers PS256 for assertions and signs proofs
// with ES256: two algorithms in one run, and the RSA key lets an RS256 assertion fail for its algorithm alone.
func (f *Registrant) enrol(ctx context.Context, metadata map[string]any, more ...JWK) (*Client, error) {
	alg := f.assertionAlg()
	key, err := GenerateKey(alg)
	if err != nil {
		return nil, err
	}
	proofKey, err := GenerateKey("ES256")
	if err != nil {
		return nil, err
	}
	whole := map[string]any{"client_name": clientName, "dpop_bound_access_tokens": true,
		"token_endpoint_auth_method": "private_key_jwt", "token_endpoint_auth_signing_alg": alg,
		"jwks": map[string]any{"keys": append([]JWK{key.PublicJWK()}, more...)}}
	maps.Copy(whole, metadata)
	return f.enlist(ctx, whole, key, proofKey)
}

// enlist registers a client with exactly this metadata.
func (f *Registrant) enlist(ctx context.Context, metadata map[string]any, key, proofKey *Key) (*Client, error) {
	client, err := f.Server.Register(ctx, f.authorised(f.Server.RegisterRequest(metadata)), key, proofKey)
	if err != nil {
		return nil, err
	}
	f.registered = append(f.registered, client)
	return client, nil
}

// authorised adds to a registration what lets the flow register, if it has any such thing.
func (f *Registrant) authorised(request *Request) *Request {
	switch {
	case f.InitialAccessToken != "":
		request.SetHeader("Authorization", "Bearer "+f.InitialAccessToken)
	case f.registrar != nil:
		f.registrar.Present(request, f.registrarToken.AccessToken)
	}
	return request
}

// register enrols the flow's own client and looks at the answer.
func (f *Registrant) register(ctx context.Context, step *Step, metadata map[string]any, more ...JWK) (err error) {
	if f.client, err = f.enrol(ctx, metadata, more...); err != nil {
		return err
	}
	exchange := step.Exchanges[len(step.Exchanges)-1]
	step.answers("answered with 201", exchange, http.StatusCreated, "")
	step.check("client_id and registration_access_token are given", f.client.ID != "" && f.client.RegistrationToken != "",
		"both", strings.Join(slices.Sorted(maps.Keys(exchange.JSON())), " "))
	step.check("registration_client_uri is under the registration endpoint",
		strings.HasPrefix(f.client.RegistrationURI, f.Server.Metadata.RegistrationEndpoint+"/") ||
			strings.HasPrefix(f.client.RegistrationURI, f.Server.published.RegistrationEndpoint+"/"),
		f.Server.Metadata.RegistrationEndpoint+"/…", f.client.RegistrationURI)
	step.scope(text(metadata["scope"]), text(exchange.JSON()["scope"]))
	step.tidy(exchange)
	return nil
}

// inspect looks into an access token of the flow's client, which a person granted or which is the client's own.
func (f *Registrant) inspect(ctx context.Context, step *Step, issued *Token, ofPerson bool) error {
	to := f.client.binding()
	step.equal("token_type is "+to.tokenType, to.tokenType, issued.Type)
	step.tidy(issued.Exchange)
	token, err := Decode(issued.AccessToken)
	if err != nil {
		return fmt.Errorf("the access token is not a JWT: %w", err)
	}
	step.equal("typ is at+jwt", "at+jwt", token.Member("typ"))
	step.bound(to, token.Claims)
	step.equal("iss is the issuer", f.Server.Issuer, token.Claim("iss"))
	if ofPerson {
		step.check("sub is somebody else than the client", token.Claim("sub") != "" && token.Claim("sub") != f.client.ID,
			"a person", token.Claim("sub"))
	} else {
		step.equal("sub is the client", f.client.ID, token.Claim("sub"))
	}
	step.equal("client_id is the client", f.client.ID, token.Claim("client_id"))
	step.check("aud names a resource", token.Claim("aud") != "", "a resource", token.Claim("aud"))
	lifetime := Lifetime(token.Claims)
	step.check("expires_in is the token's lifetime",
		issued.ExpiresIn > 0 && lifetime-issued.ExpiresIn >= 0 && lifetime-issued.ExpiresIn <= 1,
		fmt.Sprint(lifetime, ", or a second less"), fmt.Sprint(issued.ExpiresIn))
	return f.verified(ctx, step, token)
}

// callResource uses a token at the demo accounts of a dev server, or else at standIn, which takes it with client.read.
// Without either there is nothing to call.
func (f *Registrant) callResource(ctx context.Context, step *Step, token *Token, standIn string) error {
	to := f.client.binding()
	f.resource = f.Server.aliased(strings.TrimSuffix(f.Server.Issuer, "/") + "/demo/accounts")
	bare, err := f.Server.Do(ctx, &Request{Method: http.MethodGet, URL: f.resource})
	if err != nil {
		return err
	}
	scheme := to.tokenType
	if bare.Status == http.StatusNotFound {
		if standIn == "" {
			bare.Note = "no demo accounts here: the token is tried at introspection only"
			return nil
		}
		bare.Note = "no demo accounts here: the client's own registration stands in"
		// A registration is asked for with its own Bearer token first of all, so that its challenge may be either.
		f.resource, scheme = f.Server.aliased(standIn), ""
		if bare, err = f.Server.Do(ctx, &Request{Method: http.MethodGet, URL: f.resource}); err != nil {
			return err
		}
	}
	step.answers("refused without a token", bare, http.StatusUnauthorized, "")
	challenges := bare.ResponseHeader.Values("WWW-Authenticate")
	offered := strings.Join(challenges, ", ")
	named := slices.ContainsFunc(challenges, func(c string) bool { return strings.HasPrefix(c, scheme) })
	step.check("WWW-Authenticate names the scheme", named && (scheme == "" || !strings.Contains(offered, "error=")),
		scheme+" …, without an error", offered)
	called, err := f.Server.Do(ctx, f.callWith(f.client, token))
	if err != nil {
		return err
	}
	step.answers("answered with the token and "+to.shown, called, http.StatusOK, "")
	return nil
}

func (f *Registrant) callWith(client *Client, token *Token) *Request {
	return client.Present(&Request{Method: http.MethodGet, URL: f.resource}, token.AccessToken)
}

// revoke gives an access token back, which is good for nothing then.
func (f *Registrant) revoke(ctx context.Context, step *Step, token *Token) error {
	revoked, err := f.client.Revoke(ctx, token.AccessToken)
	if err != nil {
		return err
	}
	step.check("revoked, with an empty body", revoked.ResponseBody == "", "no body", revoked.ResponseBody)
	answer, err := f.client.Introspect(ctx, token.AccessToken)
	if err != nil {
		return err
	}
	step.equal("introspection says nothing but inactive", `{"active":false}`, answer)
	called, err := f.Server.Do(ctx, f.callWith(f.client, token))
	if err != nil {
		return err
	}
	step.answers("the resource refuses the token", called, http.StatusUnauthorized, "invalid_token")
	return nil
}

// delete takes back the registration of a client, which is nobody then.
func (f *Registrant) delete(ctx context.Context, step *Step, client *Client) error {
	deleted, err := f.Server.Do(ctx, client.ManageRequest(http.MethodDelete, nil))
	if err != nil {
		return err
	}
	step.judged("delete the registration", deleted, http.StatusNoContent, "")
	if deleted.Status == http.StatusNoContent {
		f.registered = slices.DeleteFunc(f.registered, func(c *Client) bool { return c == client })
	}
	if err := f.refused(ctx, step, "a token for the deleted client", 401, "invalid_client", client.TokenRequest(nil)); err != nil {
		return err
	}
	return f.refused(ctx, step, "the deleted registration", 401, "", client.ManageRequest(http.MethodGet, nil))
}

// introspect asks about a token as the client and, where there is one, as a resource server.
func (f *Registrant) introspect(ctx context.Context, step *Step, token *Token) error {
	answer, err := f.client.Introspect(ctx, token.AccessToken)
	if err != nil {
		return err
	}
	step.equal("active, says the server to the client", "true", answer["active"])
	step.equal("client_id is the client", f.client.ID, answer["client_id"])
	to := f.client.binding()
	step.equal("token_type is "+to.tokenType, to.tokenType, answer["token_type"])
	step.bound(to, answer)
	if token.GrantID != "" {
		step.bears(token, answer)
	}
	if f.ResourceServerKey == nil {
		return nil
	}
	answer, err = f.resourceServer().Introspect(ctx, token.AccessToken)
	if err != nil {
		return err
	}
	step.equal("active, says the server to a resource server", "true", answer["active"])
	return nil
}

// introspectionMedia is the media type of introspection's answer as a JWT, and its typ after application/ (RFC 9701 §5).
const introspectionMedia = "application/token-introspection+jwt"

// introspectSigned asks for what there is to know of a token as a JWT, and returns it.
func (f *Registrant) introspectSigned(ctx context.Context, step *Step, teller *Client, token *Token) (map[string]any, error) {
	request := teller.IntrospectRequest(token.AccessToken).SetHeader("Accept", introspectionMedia)
	answer, err := f.Server.expect(ctx, http.StatusOK, request)
	if err != nil {
		return nil, err
	}
	step.equal("the answer comes as a JWT too", introspectionMedia, answer.ResponseHeader.Get("Content-Type"))
	signed, err := Decode(answer.ResponseBody)
	if err != nil {
		return nil, fmt.Errorf("the introspection answer is not a JWT: %w", err)
	}
	signed.Name = "introspection"
	step.JWTs = append(step.JWTs, signed)
	step.equal("typ is token-introspection+jwt", strings.TrimPrefix(introspectionMedia, "application/"), signed.Member("typ"))
	if err := f.verified(ctx, step, signed); err != nil {
		return nil, err
	}
	step.equal("iss is the issuer", f.Server.Issuer, signed.Claims["iss"])
	step.equal("aud is who asked", teller.ID, sole(signed.Claims["aud"]))
	told, _ := signed.Claims["token_introspection"].(map[string]any)
	step.equal("active, says the JWT", "true", told["active"])
	return told, nil
}

func (f *Registrant) resourceServer() *Client {
	return &Client{Server: f.Server, ID: f.ResourceServerKey.ClientID, Key: f.ResourceServerKey}
}

// refused sends a request that must fail with this status and, unless it is empty, this error.
func (f *Registrant) refused(ctx context.Context, step *Step, name string, status int, code string, request *Request) error {
	_, err := f.answered(ctx, step, name, status, code, request)
	return err
}

// answered sends a request that is there to be answered with this status and, unless it is empty, this error.
func (f *Registrant) answered(ctx context.Context, step *Step, name string, status int, code string, request *Request) (
	*Exchange, error) {
	exchange, err := f.Server.Do(ctx, request)
	if err == nil {
		step.judged(name, exchange, status, code)
	}
	return exchange, err
}

// dead records that introspection says of a token nothing but that it is inactive.
func (f *Registrant) dead(ctx context.Context, step *Step, name string, teller *Client, token string) error {
	answer, err := f.Server.Do(ctx, teller.IntrospectRequest(token))
	if err != nil {
		return err
	}
	step.equal(name, `{"active":false}`, answer.JSON())
	step.about(answer)
	return nil
}
