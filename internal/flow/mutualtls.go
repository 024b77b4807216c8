package flow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// The ways of client authentication by certificate (RFC 8705 §2).
const (
	byAuthority = "tls_client_auth"
	byItself    = "self_signed_tls_client_auth"
)

// interactionID is the header by which client and server know a request, and which the server says back.
const interactionID = "X-Fapi-Interaction-Id"

// MutualTLS is the flow `mtls`: clients that show a certificate (RFC 8705). The first signs assertions, and its tokens are
// bound to the certificate; a second and a third have nothing but certificates to prove themselves with. At the end everything
// is tried without the certificate, and with others. What the server does not offer of this is left out.
type MutualTLS struct {
	Authorization

	methods []string // of client authentication by certificate that the server offers
	named   *Client  // registered for a name of the certificate; nil: it cannot be
	other   *Client  // registered for another name; nil as well
	alone   *Client  // registered with a certificate of its own, which nobody vouches for; nil: it cannot be
	own     *Token   // of the first client, in its own name
	bare    *Server  // over connections that show no certificate
	forged  *Server  // over those that show a certificate with the same names, which nobody vouches for
	people  bool     // there is somebody to ask
}

// Run plays the flow. What the server does wrong is in the Report; the only error is *Unreachable.
func (f *MutualTLS) Run(ctx context.Context) (*Report, error) {
	defer f.cleanUp(ctx)
	f.wish = lasting
	return play(ctx, f.Server, "mtls", []stage{
		{"discover", f.discover},
		{"registrar token", f.askRegistrarToken},
		{"register clients", f.register},
		{"client's token", f.askToken},
		{"by certificate", f.askByCertificate},
		{"call a resource", f.callResource},
		{"introspect", f.introspect},
		{"push the request", f.ofPeople(f.push)},
		{"authorize", f.ofPeople(f.authorize)},
		{"redeem the code", f.ofPeople(f.redeem)},
		{"refresh", f.ofPeople(f.refresh)},
		{"must fail", f.mustFail},
		{"must fail, tokens", f.mustFailWithTokens},
		{"revoke, delete", f.end},
	}, f.Done)
}

// ofPeople leaves a stage out where nobody can be asked.
func (f *MutualTLS) ofPeople(play func(context.Context, *Step) error) func(context.Context, *Step) error {
	return func(ctx context.Context, step *Step) error {
		if f.people {
			return play(ctx, step)
		}
		step.Skipped = "nobody can be asked here"
		return nil
	}
}

// discover goes to the endpoints that ask for a certificate. Without one that an authority has signed it makes one.
func (f *MutualTLS) discover(ctx context.Context, step *Step) (err error) {
	if f.Certificate == nil {
		if f.Certificate, err = selfSigned(clientName, f.Server.Now()); err != nil {
			return err
		}
	}
	if f.Server, err = f.Server.Showing(f.Certificate); err != nil {
		return err
	}
	f.Server.MutualTLS = true
	if err = f.Registrant.discover(ctx, step); err != nil {
		return err
	}
	metadata := f.Server.Metadata
	offered := metadata.lists("token_endpoint_auth_methods_supported")
	for _, method := range []string{byAuthority, byItself} {
		if slices.Contains(offered, method) {
			f.methods = append(f.methods, method)
		}
	}
	step.check("clients may be their certificates", len(f.methods) > 0, byAuthority+" or "+byItself, strings.Join(offered, " "))
	step.equal("tokens may be bound to certificates", "true", metadata.all["tls_client_certificate_bound_access_tokens"])
	step.aliases(metadata)
	f.people = metadata.AuthorizationEndpoint != "" && metadata.PushedAuthorizationRequestEndpoint != ""
	if f.bare, err = f.Server.Showing(nil); err != nil {
		return err
	}
	forgery, err := f.Certificate.imitation(false, f.Server.Now())
	if err == nil {
		f.forged, err = f.Server.Showing(forgery)
	}
	return err
}

// aliases records whether the endpoints for certificates are such of programs alone: a browser would ask a person for a
// certificate (RFC 8705 §5).
func (s *Step) aliases(metadata Metadata) {
	var aliases map[string]string
	_ = json.Unmarshal(metadata.MTLSEndpointAliases, &aliases) // Discover has read them already, if there are any.
	var wrong []string
	for name, alias := range aliases {
		if !strings.HasPrefix(alias, "https://") || metadata.all[name] == nil || name == "authorization_endpoint" ||
			name == "end_session_endpoint" {
			wrong = append(wrong, name+" "+alias)
		}
	}
	slices.Sort(wrong)
	s.check("aliases are https, of programs' endpoints alone", len(wrong) == 0, "none other", strings.Join(wrong, ", "))
}

// register enrols all clients at once: a person may take longer than the registrar's token lives.
func (f *MutualTLS) register(ctx context.Context, step *Step) error {
	bound := map[string]any{"dpop_bound_access_tokens": false, "tls_client_certificate_bound_access_tokens": true}
	metadata := own()
	if f.people {
		maps.Copy(metadata, registration())
		metadata["grant_types"] = []string{"client_credentials", "authorization_code", "refresh_token"}
		metadata["scope"] = registeredScope + " client.read"
	}
	maps.Copy(metadata, bound)
	if err := f.Registrant.register(ctx, step, metadata); err != nil {
		return err
	}
	f.client.CertificateBound = true
	step.equal("its tokens will be bound to the certificate", "true",
		step.Exchanges[len(step.Exchanges)-1].JSON()["tls_client_certificate_bound_access_tokens"])
	if slices.Contains(f.methods, byItself) {
		if err := f.registerAlone(ctx, step); err != nil {
			return err
		}
	}
	switch {
	case !slices.Contains(f.methods, byAuthority):
		return nil
	case !f.Certificate.isVouchedFor():
		step.Exchanges[0].Note = "no certificate by an authority is given, so that " + byAuthority + " is left out"
		return nil
	case len(f.Certificate.names()) == 0:
		step.Exchanges[0].Note = "the certificate has no name that could be registered, so that " + byAuthority + " is left out"
		return nil
	}
	return f.registerNamed(ctx, step, bound)
}

// own is the registration of a client that acts in its own name.
func own() map[string]any {
	return map[string]any{"client_name": clientName, "grant_types": []string{"client_credentials"},
		"response_types": []string{}, "scope": clientScope}
}

// registerNamed enrols a client by the first name of the certificate that no other client has, and one by another name. No
// two clients may share one: each could be the other.
func (f *MutualTLS) registerNamed(ctx context.Context, step *Step, bound map[string]any) (err error) {
	enlist := func(member, value string) (*Client, *Exchange, error) {
		metadata := own()
		maps.Copy(metadata, bound)
		metadata["token_endpoint_auth_method"], metadata[member] = byAuthority, value
		client, err := f.enlist(ctx, metadata, nil, nil)
		if client != nil {
			client.CertificateAuth, client.CertificateBound = true, true
		}
		return client, step.Exchanges[len(step.Exchanges)-1], err
	}
	isRefused := func(err error) bool {
		_, ok := errors.AsType[*Refusal](err)
		return ok
	}
	var taken nameOf
	var exchange *Exchange
	for _, taken = range f.Certificate.names() {
		if f.named, exchange, err = enlist(taken.member, taken.value); !isRefused(err) || exchange.Status != http.StatusBadRequest {
			break
		}
		exchange.Note = "another client may have that name: the next one is tried"
	}
	if err != nil {
		return err
	}
	step.judged("by "+taken.member, exchange, http.StatusCreated, "")
	if _, exchange, err = enlist(taken.member, taken.value); err != nil && !isRefused(err) {
		return err
	}
	step.judged("the same name for another client", exchange, http.StatusBadRequest, "invalid_client_metadata")
	if f.other, exchange, err = enlist("tls_client_auth_subject_dn", "CN="+clientName+" "+randomID()); err == nil {
		step.judged("by a name that it does not have", exchange, http.StatusCreated, "")
	}
	return err
}

// registerAlone enrols a client by a certificate that stands in its registration. What its tokens are bound to is not
// registered: each time what it shows.
func (f *MutualTLS) registerAlone(ctx context.Context, step *Step) error {
	certificate, err := selfSigned(clientName+", self-signed", f.Server.Now())
	if err != nil {
		return err
	}
	metadata := own()
	metadata["token_endpoint_auth_method"] = byItself
	metadata["jwks"] = map[string]any{"keys": []certified{certificate.publicJWK()}}
	if f.alone, err = f.enlist(ctx, metadata, nil, nil); err != nil {
		return err
	}
	step.judged("by x5c of its jwks", step.Exchanges[len(step.Exchanges)-1], http.StatusCreated, "")
	f.alone.CertificateAuth, f.alone.CertificateBound = true, true
	f.alone.Server, err = f.Server.Showing(certificate)
	return err
}

func (f *MutualTLS) askToken(ctx context.Context, step *Step) error {
	interaction := randomUUID()
	request := f.client.TokenRequest(url.Values{"scope": {tokenScope}}).SetHeader(interactionID, interaction)
	token, err := f.Server.token(ctx, request)
	if err != nil {
		return err
	}
	f.own = token
	step.scope(tokenScope, token.Scope)
	step.equal("x-fapi-interaction-id comes back", interaction, token.Exchange.ResponseHeader.Get(interactionID))
	step.equal("no refresh token comes with it", "none", compare("a refresh token", token.RefreshToken))
	return f.inspect(ctx, step, token, false)
}

// askByCertificate gets tokens with certificates that prove the client, and with one that is not the client's.
func (f *MutualTLS) askByCertificate(ctx context.Context, step *Step) error {
	if f.named != nil {
		if err := f.given(ctx, step, byAuthority, f.named); err != nil {
			return err
		}
	}
	if f.alone == nil {
		return nil
	}
	if err := f.given(ctx, step, byItself, f.alone); err != nil {
		return err
	}
	proving, other := *f.alone, *f.client
	var err error
	if proving.DPoPKey, err = GenerateKey("ES256"); err != nil {
		return err
	}
	proving.CertificateBound, other.Server = false, f.alone.Server
	if err := f.given(ctx, step, "the same, with a DPoP proof", &proving); err != nil {
		return err
	}
	return f.given(ctx, step, "another client's assertion beside it", &other)
}

// given asks for a token that must be this client's and bound as it wants.
func (f *MutualTLS) given(ctx context.Context, step *Step, name string, client *Client) error {
	exchange, err := client.Server.Do(ctx, client.TokenRequest(url.Values{"scope": {tokenScope}}))
	if err != nil {
		return err
	}
	step.judged(name, exchange, http.StatusOK, "")
	if exchange.Status != http.StatusOK {
		return nil
	}
	token, err := Decode(text(exchange.JSON()["access_token"]))
	if err != nil {
		return fmt.Errorf("the access token is not a JWT: %w", err)
	}
	to := client.binding()
	step.equal("token_type is "+to.tokenType, to.tokenType, exchange.JSON()["token_type"])
	step.equal("client_id is that client", client.ID, token.Claim("client_id"))
	step.bound(to, token.Claims)
	return nil
}

func (f *MutualTLS) callResource(ctx context.Context, step *Step) error {
	return f.Registrant.callResource(ctx, step, f.own, f.client.RegistrationURI)
}

func (f *MutualTLS) introspect(ctx context.Context, step *Step) error {
	return f.Registrant.introspect(ctx, step, f.own)
}

// refresh asks for more tokens of a person's grant. They are bound to the certificate too.
func (f *MutualTLS) refresh(ctx context.Context, step *Step) error {
	token, err := f.client.Refresh(ctx, f.token.RefreshToken, nil)
	if err != nil {
		return err
	}
	step.scope(f.wish.granted, token.Scope)
	return f.inspect(ctx, step, token, true)
}

// end gives the token back, and has the certificate prove nobody any more.
func (f *MutualTLS) end(ctx context.Context, step *Step) error {
	if err := f.revoke(ctx, step, f.own); err != nil || f.named == nil {
		return err
	}
	return f.delete(ctx, step, f.named)
}
