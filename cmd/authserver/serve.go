package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"authserver/internal/dcr"
	"authserver/internal/dpop"
	"authserver/internal/store"
)

// serveCmd runs one replica in production.
type serveCmd struct {
	Settings settings `embed:"" group:"settings"`
}

// Run serves until it is told to end. It starts nothing unless everything it needs is there.
func (s *serveCmd) Run(ctx context.Context, out *streams, src *sources) error {
	c, err := s.configure(src.problems)
	if err != nil {
		return err
	}
	st, err := openForServe(ctx, c)
	if err != nil {
		return err
	}
	defer st.Close()
	l, err := listen(c)
	if err != nil {
		return exitError{exitUsage, err.Error()}
	}
	defer l.close()
	trail, err := openAudit(c.auditLog, out.Stdout)
	if err != nil {
		return err
	}
	defer trail.Close()
	log := newLog(out)
	a, err := newApp(ctx, c, st, log, trail, time.Now)
	if err != nil {
		return bootError(err)
	}
	announce(log, c)
	return a.run(ctx, l)
}

// configure understands the settings, with the defaults of serve, and reports all that is wrong with them at once.
func (s *serveCmd) configure(problems []string) (config, error) {
	s.Settings.fillInForServe()
	c, more := s.Settings.understand(false)
	problems = append(append(problems, more...), s.Settings.collisions()...)
	if s.Settings.DatabaseURL == "" {
		problems = append(problems, "database-url is missing")
	}
	if s.Settings.KeyEncryptionKey == "" {
		problems = append(problems, "key-encryption-key is missing; make one with: openssl rand -base64 32")
	}
	if c.mtls.listen != "" && c.mtls.certFile == "" {
		problems = append(problems, lacksCertificate)
	}
	if c.gate == dcr.Token && c.initialAccessToken == "" {
		problems = append(problems, "registration is token, and there is no initial-access-token")
	}
	return c, problemsError(problems)
}

const lacksCertificate = "mtls-listen needs mtls-cert-file and mtls-key-file, or tls-cert-file and tls-key-file"

// fillInForServe sets the defaults of serve: whatever opens something has to be said.
func (s *settings) fillInForServe() {
	s.Listen = or(s.Listen, ":8080")
	s.ManagementListen = or(s.ManagementListen, ":9090")
	s.Registration = or(s.Registration, string(dcr.Closed))
	s.DPoPNonce = or(s.DPoPNonce, string(dpop.NonceRequired))
	s.AccessTokenAlg = or(s.AccessTokenAlg, "ES256")
	s.KeyRotation = or(s.KeyRotation, "720h")
	s.AuditLog = or(s.AuditLog, "stdout")
	s.DrainDelay = or(s.DrainDelay, "5s") // for every load balancer to see that this replica is not ready
	s.RegistrationLimit = or(s.RegistrationLimit, "20")
	s.IntrospectionLimit = or(s.IntrospectionLimit, "300")
	s.PARLimit = or(s.PARLimit, "300")
	s.PARExpiresIn = or(s.PARExpiresIn, "90s")
	s.fillInConsent()
	s.LoginLimit = or(s.LoginLimit, "10")
	s.LoginAddressLimit = or(s.LoginAddressLimit, "100")
	s.fillInMTLS()
	s.fillInLogin(loginOff)
	s.fillInAccounts()
}

// openForServe opens a database that is reachable, migrated, and nobody else's.
func openForServe(ctx context.Context, c config) (*store.Store, error) {
	st, err := store.Open(ctx, c.databaseURL.Reveal())
	if err != nil {
		return nil, exitError{exitUsage, err.Error()}
	}
	if err = wantMigrated(ctx, st); err == nil {
		err = st.Stamp(ctx, "serve", c.issuer, time.Now())
	}
	if err != nil {
		st.Close()
		return nil, bootError(err)
	}
	return st, nil
}

// listen opens the sockets of a replica.
func listen(c config) (l listeners, err error) {
	if l.public, err = net.Listen("tcp", c.listen); err != nil {
		return l, err
	}
	if l.management, err = net.Listen("tcp", c.managementListen); err == nil && c.mtls.listen != "" {
		l.mutual, err = net.Listen("tcp", c.mtls.listen)
	}
	if err != nil {
		l.close()
	}
	return l, err
}

// announce says what clients must know and what is switched off, so that nobody has to guess.
func announce(log *slog.Logger, c config) {
	log.Info("serving", "version", version, "issuer", c.issuer, "metadata", metadataURL(c.issuer), "htu", c.issuer+"/oauth2/token",
		"listen", c.listen, "mtls_listen", c.mtls.listen, "management", c.managementListen, "off", switchedOff(c))
	if c.login == loginBuiltin {
		log.Warn("people sign in with a password that is kept here: there is no second factor and no recovery, attempts are limited and "+
			"nothing more, and acr never says more than a password", "setting", "AUTHSERVER_LOGIN", "instead", "AUTHSERVER_LOGIN_OIDC_ISSUER")
	}
}

// switchedOff names what this configuration leaves out.
func switchedOff(c config) []string {
	off := []string{"demo people"}
	for _, feature := range []struct {
		off  bool
		name string
	}{
		{c.certFile == "", "TLS (a proxy in front must end it)"},
		{!c.mtls.offered(), "mutual TLS (see AUTHSERVER_MTLS_LISTEN)"},
		{c.mtls.listen != "" && len(c.trustedProxies) > 0,
			"client certificates from AUTHSERVER_TRUSTED_PROXIES at AUTHSERVER_MTLS_LISTEN (they count as the proxies' own)"},
		{c.gate == dcr.Closed, "registration over the network"},
		{c.noncePolicy != dpop.NonceRequired, "the demand for nonces in DPoP proofs"},
		{c.keyRotation == 0, "automatic rotation of signing keys"},
		{c.auditLog == "off", "audit records"},
		{c.gate != dcr.Closed && c.registrationLimit == 0, "the limit of registrations"},
		{c.introspectionLimit == 0, "the limit of inactive introspection answers"},
		{c.login == loginOff, "login (no person can say yes; see AUTHSERVER_LOGIN)"},
		{c.login != loginOff && c.accounts.none(), "accounts (no data of accounts can be shared; see AUTHSERVER_ACCOUNTS_URL)"},
		{c.parLimit == 0, "the limit of pushed authorization requests"},
		{c.login == loginBuiltin && (c.loginLimit == 0 || c.loginAddressLimit == 0), "a limit of attempts to sign in"},
	} {
		if feature.off {
			off = append(off, feature.name)
		}
	}
	return off
}

// bootError gives what keeps serve from starting its exit code.
func bootError(err error) error {
	var passing interface{ Temporary() bool }
	if errors.As(err, &passing) && passing.Temporary() {
		return exitError{exitUnreachable, "the database does not answer: " + err.Error()}
	}
	return exitError{exitUsage, err.Error()}
}
