package main

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"authserver/internal/client"
	"authserver/internal/flow"
	"authserver/internal/issuer"
	"authserver/internal/oauth"
	"authserver/internal/person"
	"authserver/internal/store"
	"authserver/internal/token"
)

// seed adds what only dev has: the demo person, a registrar, a resource server, and an issuer of assertions with the client
// that stands for it. The private keys of the last three stand in the state folder, for try.
func seed(ctx context.Context, st *store.Store, c config, dir string) error {
	now := time.Now()
	alex, err := person.New(demoUsername, demoPassword, now)
	if err != nil {
		return err
	}
	if _, err := st.AddPerson(ctx, alex); err != nil {
		return err
	}
	registrar := client.Client{ID: "dev-registrar", Registrar: true}
	registrar.Metadata.Scope = "client.create client.read"
	if err := seedClient(ctx, st, registrar, filepath.Join(dir, registrarKeyFile), now); err != nil {
		return err
	}
	resourceServer := client.Client{ID: "dev-resource-server", Serves: c.resources}
	if err := seedClient(ctx, st, resourceServer, filepath.Join(dir, resourceServerKeyFile), now); err != nil {
		return err
	}
	return seedIssuer(ctx, st, c, filepath.Join(dir, issuerKeyFile), now)
}

// devKey is the public half of the key in a file, as a JWK Set. The first time it is made, for whom of tells.
func devKey(path string, of flow.Key) (json.RawMessage, error) {
	key, err := flow.ReadKeyFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if key, err = flow.GenerateKey(of.Alg); err != nil {
			return nil, err
		}
		key.ClientID, key.Issuer = of.ClientID, of.Issuer
		err = key.WriteFile(path)
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(map[string]any{"keys": []any{key.PublicJWK()}})
}

// seedClient makes sure that the client is registered with the key of the file.
func seedClient(ctx context.Context, st *store.Store, c client.Client, path string, now time.Time) error {
	jwks, err := devKey(path, flow.Key{Alg: "PS256", ClientID: c.ID})
	if err != nil {
		return err
	}
	if c.Metadata.GrantTypes == nil {
		c.Metadata.GrantTypes = []string{"client_credentials"}
	}
	c.IssuedAt = now
	c.Metadata.ClientName = c.ID
	c.Metadata.ResponseTypes = []string{}
	c.Metadata.TokenEndpointAuthMethod = client.PrivateKeyJWT
	c.Metadata.JWKS = jwks
	c.RegistrationTokenHash = oauth.NewSecret().Hash() // of a token that nobody has: the operator manages it
	outcomes, err := st.ImportClients(ctx, []client.Client{c}, now)
	if err == nil && outcomes[0] == store.Deleted {
		return exitError{exitUsage, c.ID + " was deleted; start afresh with --reset"}
	}
	return err
}

// The demo issuer, and the client that stands for it. Both have the key of one file.
const (
	demoIssuer  = "dev-issuer"
	demoGateway = "dev-gateway"
	demoScope   = "demo:read" // no assertion opens a built-in one
)

// seedIssuer makes sure that the demo issuer is trusted, in the shape of the guide of seed 002: an assertion alone is worth a
// Bearer token. It opens all scopes that assertions can; where there are none, it is left out.
func seedIssuer(ctx context.Context, st *store.Store, c config, path string, now time.Time) error {
	i := issuer.New(demoIssuer)
	i.Scopes = slices.DeleteFunc(slices.Clone(c.scopes), func(scope string) bool { return !issuer.Grantable(scope) })
	if len(i.Scopes) == 0 {
		return nil
	}
	jwks, err := devKey(path, flow.Key{Alg: "ES256", ClientID: demoGateway, Issuer: demoIssuer})
	if err != nil {
		return err
	}
	gateway := client.Client{ID: demoGateway}
	gateway.Metadata.GrantTypes, gateway.Metadata.Scope = []string{token.JWTBearer}, i.Scopes.String()
	if err := seedClient(ctx, st, gateway, path, now); err != nil {
		return err
	}
	i.JWKS, i.Clients, i.Audiences = jwks, []string{demoGateway}, []string{c.issuer, c.issuer + "/oauth2/token", "stg"}
	i.RequireClientAuthentication, i.RequireBinding = false, false
	_, err = st.AddIssuers(ctx, []issuer.Issuer{i}, true, now)
	return err
}
