package main

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/url"
	"strings"
	"time"

	"authserver/internal/jose"
	"authserver/internal/oauth"
	"authserver/internal/person"
)

// loginSettings are who asks people for their credentials, and for how long they stay signed in.
type loginSettings struct {
	Login                 string       `placeholder:"off|builtin|oidc" help:"Who signs people in: nobody, this server, or an OpenID provider."`
	LoginOIDCIssuer       string       `name:"login-oidc-issuer" placeholder:"URL" help:"The OpenID provider, exactly as its metadata names it."`
	LoginOIDCClientID     string       `name:"login-oidc-client-id" placeholder:"ID" help:"This server's client_id there."`
	LoginOIDCClientSecret oauth.Secret `name:"login-oidc-client-secret" placeholder:"SECRET" help:"Authenticates this server there; or else:"`
	LoginOIDCClientKey    oauth.Secret `name:"login-oidc-client-key" placeholder:"PEM" help:"PKCS #8 private key that does (private_key_jwt)."`
	LoginLimit            string       `placeholder:"N" help:"Attempts to sign in to one account in ten minutes; 0: no limit."`
	LoginAddressLimit     string       `placeholder:"N" help:"Attempts to sign in from one address in ten minutes; 0: no limit."`
	SessionIdle           string       `placeholder:"DURATION" help:"After how long without a request people have to sign in again."`
	SessionLifetime       string       `placeholder:"DURATION" help:"After how long they have to in any case, at most 24h."`
}

// The values of the setting login.
const (
	loginOff     = "off"
	loginBuiltin = "builtin"
	loginOIDC    = "oidc"
)

// fillInLogin sets what dev and serve have in common. Whoever names an OpenID provider means it.
func (s *loginSettings) fillInLogin(login string) {
	if s.Login == "" && len(s.upstream()) > 0 {
		login = loginOIDC
	}
	s.Login = or(s.Login, login)
	s.SessionIdle = or(s.SessionIdle, "15m")
	s.SessionLifetime = or(s.SessionLifetime, "8h")
}

// upstream names those settings of an OpenID provider that are set.
func (s *loginSettings) upstream() []string {
	var names []string
	for _, set := range []struct{ name, value string }{
		{"login-oidc-issuer", s.LoginOIDCIssuer}, {"login-oidc-client-id", s.LoginOIDCClientID},
		{"login-oidc-client-secret", s.LoginOIDCClientSecret.Reveal()}, {"login-oidc-client-key", s.LoginOIDCClientKey.Reveal()},
	} {
		if set.value != "" {
			names = append(names, set.name)
		}
	}
	return names
}

// upstream wants all of an OpenID provider, or nothing. This server authenticates there by a secret or by a key.
func (u *understanding) upstream(s loginSettings, loopback bool) person.UpstreamSettings {
	named := s.upstream()
	if s.Login != loginOIDC {
		if len(named) > 0 {
			u.problem("%s: only for login oidc; login is %q", strings.Join(named, ", "), s.Login)
		}
		return person.UpstreamSettings{}
	}
	if s.LoginOIDCIssuer == "" {
		u.problem("login is oidc, and there is no login-oidc-issuer")
	} else {
		u.upstreamIssuer(s.LoginOIDCIssuer, loopback)
	}
	if s.LoginOIDCClientID == "" {
		u.problem("login is oidc, and there is no login-oidc-client-id")
	}
	if (s.LoginOIDCClientSecret == "") == (s.LoginOIDCClientKey == "") {
		u.problem("login oidc needs either login-oidc-client-secret or login-oidc-client-key")
	}
	return person.UpstreamSettings{
		Issuer: s.LoginOIDCIssuer, ClientID: s.LoginOIDCClientID, ClientSecret: s.LoginOIDCClientSecret, ClientKey: u.clientKey(s.LoginOIDCClientKey),
	}
}

// upstreamIssuer asks for less than of an issuer of ours: how others spell theirs is their matter.
func (u *understanding) upstreamIssuer(value string, loopback bool) {
	parsed, err := url.Parse(value)
	switch {
	case err != nil || parsed.Hostname() == "" || parsed.User != nil:
		u.problem("login-oidc-issuer must be an absolute URL; it is %q", value)
	case strings.ContainsAny(value, "?#"):
		u.problem("login-oidc-issuer must not have a query or a fragment; it is %q", value)
	case parsed.Scheme != "https" && (parsed.Scheme != "http" || !loopback || !isLoopbackHost(parsed.Hostname())):
		u.problem("login-oidc-issuer must be https (http only in dev, on this machine); it is %q", value)
	}
}

// clientKey reads the key that authenticates this server at the OpenID provider. Its kid is its RFC 7638 thumbprint.
func (u *understanding) clientKey(text oauth.Secret) *jose.Signer {
	if text == "" {
		return nil
	}
	signer, err := parseClientKey([]byte(text.Reveal()))
	if err != nil {
		u.problem("login-oidc-client-key: %v", err)
	}
	return signer
}

// parseClientKey says nothing of the text in its errors.
func parseClientKey(text []byte) (*jose.Signer, error) {
	block, rest := pem.Decode(text)
	if block == nil || block.Type != "PRIVATE KEY" || len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("it must be one PEM block BEGIN PRIVATE KEY (PKCS #8; openssl pkcs8 -topk8 -nocrypt makes one of other forms)")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("the PEM block holds no PKCS #8 private key")
	}
	var alg jose.Alg
	switch parsed.(type) {
	case *rsa.PrivateKey:
		alg = jose.PS256
	case *ecdsa.PrivateKey:
		alg = jose.ES256
	case ed25519.PrivateKey:
		alg = jose.EdDSA
	default:
		return nil, errors.New("it must be an RSA, P-256 or Ed25519 key")
	}
	key := parsed.(crypto.Signer)
	unnamed, err := jose.NewSigner(alg, "login-oidc-client-key", key)
	if err != nil {
		return nil, err
	}
	return jose.NewSigner(alg, unnamed.Key().Thumbprint(), key)
}

// sessions wants people to sign in again once a day at least.
func (u *understanding) sessions(s loginSettings) person.Lifetimes {
	l := person.Lifetimes{
		Idle: u.duration("session-idle", s.SessionIdle, time.Minute, 24*time.Hour),
		Most: u.duration("session-lifetime", s.SessionLifetime, time.Minute, 24*time.Hour),
	}
	if l.Idle > l.Most {
		u.problem("session-idle, %s, is longer than session-lifetime, %s", s.SessionIdle, s.SessionLifetime)
	}
	return l
}
