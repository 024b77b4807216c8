package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"authserver/internal/accesstoken"
	"authserver/internal/audit"
	"authserver/internal/client"
	"authserver/internal/consent"
	"authserver/internal/dcr"
	"authserver/internal/dpop"
	"authserver/internal/grant"
	"authserver/internal/idtoken"
	"authserver/internal/introspect"
	"authserver/internal/issuer"
	"authserver/internal/jose"
	"authserver/internal/keys"
	"authserver/internal/replay"
	"authserver/internal/resource"
	"authserver/internal/response"
	"authserver/internal/server"
	"authserver/internal/store"
	"authserver/internal/token"

	"golang.org/x/sync/errgroup"
)

const (
	tokenLifetime = 5 * time.Minute
	sweepEvery    = time.Minute
	clockEvery    = 30 * time.Second
	turnEvery     = time.Minute
	issuersEvery  = 30 * time.Second
	clockLimit    = 5 * time.Second
	drainTimeout  = 15 * time.Second // longer than a request may take
)

// The ring must hold everything that is accepted or issued; a lifetime that it cannot hold does not compile.
const (
	_ = uint64(replay.MaxAhead - client.MaxAssertionLifetime)
	_ = uint64(replay.MaxAhead - issuer.MaxLifetime)
	_ = uint64(client.MaxTokenLifetime - issuer.MaxTokenLifetime)
	_ = uint64(replay.MaxAhead - tokenLifetime)
	_ = uint64(replay.MaxAhead - client.MaxCertifiedLifetime)
	_ = uint64(replay.MaxBehind - grant.InteractionStep)
)

// A signing key is in every verifier's copy of the key set before it signs, and stays until its last token is dead, on
// clocks that are as far apart as they may be; numbers that break this do not compile.
const (
	_ = uint64(keys.PublishBefore - keys.MaxAge - keys.RefreshEvery - 2*clockLimit)
	_ = uint64(keys.KeepAfter - client.MaxCertifiedLifetime - keys.RefreshEvery - 2*clockLimit)
	_ = uint64(keys.KeepAfter - idtoken.Lifetime - keys.RefreshEvery - 2*clockLimit)
)

// signingAlgs are the algorithms that this server signs with: access tokens, and answers as their caller registered.
var signingAlgs = []jose.Alg{jose.PS256, jose.ES256, jose.EdDSA}

// app is one replica, wired.
type app struct {
	config  config
	store   *store.Store
	keys    *keys.Ring
	server  *server.Server
	guard   resource.Guard
	health  *server.Health
	metrics *server.Metrics
	log     *slog.Logger
	now     func() time.Time

	certificate       *keyPair // nil: a proxy ends TLS
	mutualCertificate *keyPair // of the listener for mutual TLS; nil: there is none

	offset atomic.Int64 // of this clock to the database's, in nanoseconds
}

// newApp wires the rooms. The database must be migrated.
func newApp(ctx context.Context, c config, st *store.Store, log *slog.Logger, trail *audit.Log, now func() time.Time) (*app, error) {
	signing, err := keys.Open(ctx, st, c.encryptionKeys, now, signingAlgs...)
	if err != nil {
		return nil, err
	}
	nonces, err := dpop.NewNonces(c.encryptionKeys)
	if err != nil {
		return nil, err
	}
	origin, err := originOf(c.issuer)
	if err != nil {
		return nil, err
	}
	origins := []string{origin}
	tokenEndpoints := []string{c.issuer + "/oauth2/token", c.issuer + "/oauth/token"}
	if c.mtls.url != "" {
		alias, err := originOf(c.mtls.url)
		if err != nil {
			return nil, err
		}
		origins = append(origins, alias)
		tokenEndpoints = append(tokenEndpoints, c.mtls.url+"/oauth2/token", c.mtls.url+"/oauth/token")
	}
	vouchers := c.mtls.anchors(log, now)
	a := &app{config: c, store: st, keys: signing, health: &server.Health{}, metrics: server.NewMetrics(version), log: log, now: now}
	st.Observe(a.metrics)
	proofs := dpop.Verifier{Policy: c.noncePolicy, Nonces: nonces}
	tokens := accesstoken.Tokens{Issuer: c.issuer, Alg: c.accessTokenAlg, Keys: signing}
	identities := idtoken.Tokens{Issuer: c.issuer, Keys: signing}
	clients := &client.Authenticator{
		Issuer:         c.issuer,
		Origins:        origins,
		TokenEndpoints: tokenEndpoints,
		Anchors:        vouchers,
		Records:        client.NewRecords(st, st),
		KeySets:        client.NewKeySets(client.NewFetcher(c.vetting), st.SaveKeySet, a.metrics, log, now),
	}
	assertions := &issuer.Assertions{
		Audiences: append([]string{c.issuer}, clients.TokenEndpoints...),
		Store:     st,
		KeySets:   client.NewKeySets(client.NewFetcher(c.vetting), st.SaveIssuerKeySet, a.metrics, log, now),
	}
	if err := assertions.Refresh(ctx); err != nil {
		return nil, err
	}
	sealer := response.Sealer{Signer: signing, Keys: clients.KeySets}
	a.guard = resource.Guard{
		Origins: origins, MutualTLS: vouchers != nil, Audiences: append([]string{c.issuer}, c.resources...), Tokens: tokens,
		Proofs: proofs, Store: st,
	}
	a.server = &server.Server{
		Issuer: c.issuer,
		Scopes: c.scopes,
		Keys:   signing,
		Registration: &dcr.Endpoint{
			URL: c.forMachines() + "/fdx/v6/register", Gate: c.gate, InitialAccessToken: c.initialAccessToken,
			Rules: dcr.Rules{Scopes: c.scopes, Vetting: c.vetting, CertificateMethods: c.mtls.methods()},
			Guard: a.guard, Store: st, Now: now,
			Attempts: server.NewLimit(c.registrationLimit),
		},
		Token: &token.Endpoint{
			Clients: clients, Assertions: assertions, Proofs: proofs, Tokens: tokens, IDTokens: identities, Sealer: sealer,
			Store: st, Origins: origins, Resources: c.resources, Lifetime: tokenLifetime, Now: now,
		},
		Introspection: &introspect.Endpoint{
			Clients: clients, Tokens: tokens, Sealer: sealer, Store: st,
			Inactive: server.NewLimit(c.introspectionLimit), Now: now,
		},
		Consents: &consent.Endpoint{
			Guard: a.guard, Store: st, Bank: c.brand.Name, Issuer: c.issuer, Now: now,
		},
		Nonces:    nonces,
		Proxies:   c.trustedProxies,
		MutualTLS: server.MutualTLS{Methods: c.mtls.methods(), URL: c.mtls.url, Header: c.mtls.header},
		Record:    &server.Record{Log: log, Trail: trail, Metrics: a.metrics, Now: now},
		Now:       now,
	}
	if c.mtls.required {
		a.server.MutualTLS.Demand = vouchers
	}
	if err := a.wirePeople(clients, proofs, identities, sealer); err != nil {
		return nil, err
	}
	a.health.Checks = []server.Check{
		{Name: "database", Shared: true, Run: func(ctx context.Context) error { _, err := st.Clock(ctx); return err }},
		{Name: "clock", Run: a.checkClock},
		{Name: "keys", Shared: true, Run: func(context.Context) error { return signing.Fresh() }},
	}
	readings := server.Readings{Health: a.health, SigningKeys: a.signingKeys, Database: func() server.Database { return server.Database(st.Pool()) }}
	if a.openCertificates(); a.certificate != nil || a.mutualCertificate != nil {
		readings.CertificateExpiry = a.certificateExpiry
	}
	a.metrics.Read(readings)
	return a, nil
}

// originOf is scheme and host of the issuer, before any path.
func originOf(issuer string) (string, error) {
	u, err := url.Parse(issuer)
	if err != nil {
		return "", err
	}
	return u.Scheme + "://" + u.Host, nil
}

// checkClock refuses readiness while this clock and the database's are apart: times are judged by the one and kept by the
// other.
func (a *app) checkClock(context.Context) error {
	if offset := time.Duration(a.offset.Load()); offset.Abs() > clockLimit {
		return fmt.Errorf("this clock is %s apart from the database's", offset)
	}
	return nil
}

// listeners are the sockets of a replica; mutual, where machines show certificates, only if it is configured.
type listeners struct{ public, mutual, management net.Listener }

func (l listeners) close() {
	for _, one := range []net.Listener{l.public, l.mutual, l.management} {
		if one != nil {
			_ = one.Close()
		}
	}
}

// run serves until ctx ends, then lets the requests in flight finish.
func (a *app) run(ctx context.Context, l listeners) error {
	public := a.httpServer(a.server.Handler())
	if a.certificate != nil {
		public.TLSConfig = tlsConfig(a.certificate)
	}
	mutual := a.httpServer(a.server.MachineHandler())
	management := a.httpServer(server.Management(a.health, a.metrics, version))
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return serve(public, l.public) })
	group.Go(func() error { return serve(management, l.management) })
	if l.mutual != nil {
		mutual.TLSConfig = mutualTLSConfig(a.mutualCertificate)
		group.Go(func() error { return serve(mutual, l.mutual) })
	}
	group.Go(func() error { a.every(ctx, sweepEvery, "sweep", a.sweep); return nil })
	group.Go(func() error { a.every(ctx, clockEvery, "clock", a.measureClock); return nil })
	group.Go(func() error { a.every(ctx, keys.RefreshEvery, "keys", a.keys.Refresh); return nil })
	group.Go(func() error { a.every(ctx, turnEvery, "rotate", a.turnKeys); return nil })
	group.Go(func() error { a.every(ctx, issuersEvery, "issuers", a.server.Token.Assertions.Refresh); return nil })
	group.Go(func() error {
		<-ctx.Done()
		a.health.Drain()
		time.Sleep(a.config.drainDelay)
		patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
		defer cancel()
		var ending errgroup.Group
		ending.Go(func() error { return public.Shutdown(patience) })
		ending.Go(func() error { return mutual.Shutdown(patience) })
		return errors.Join(ending.Wait(), management.Shutdown(patience))
	})
	return group.Wait()
}

// httpServer bounds what one connection may cost.
func (a *app) httpServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		// A peer that takes in nothing more is let go, however its frames keep the connection busy.
		HTTP2:    &http.HTTP2Config{WriteByteTimeout: 10 * time.Second},
		ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelWarn),
	}
}

func serve(s *http.Server, l net.Listener) error {
	var err error
	if s.TLSConfig != nil {
		err = s.ServeTLS(l, "", "")
	} else {
		err = s.Serve(l)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// every runs a task now and then until ctx ends. A failure is logged; the next turn tries again.
func (a *app) every(ctx context.Context, interval time.Duration, name string, task func(context.Context) error) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		bounded, cancel := context.WithTimeout(ctx, 10*time.Second)
		if err := task(bounded); err != nil && ctx.Err() == nil {
			a.log.Warn("background task failed", "task", name, "cause", err.Error())
		}
		cancel()
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// sweep empties what the replay store needs no longer, by the database's clock, and what is over of authorizations and of
// deleted clients, by this one, and looks at what was left.
func (a *app) sweep(ctx context.Context) error {
	err := a.store.Sweep(ctx)
	if apart := a.judgeClock(ctx); apart != nil {
		err = errors.Join(err, apart)
	} else {
		err = errors.Join(err, a.store.SweepAuthorizations(ctx, a.config.retention, a.now()))
	}
	if err == nil {
		a.metrics.Swept(a.now())
	}
	left, err2 := a.store.Unswept(ctx)
	if err2 == nil {
		a.metrics.Unswept(left)
	}
	return errors.Join(err, err2)
}

// measureClock compares this clock with the database's, in the middle of the round trip.
func (a *app) measureClock(ctx context.Context) error {
	before := a.now()
	database, err := a.store.Clock(ctx)
	if err != nil {
		return err
	}
	middle := before.Add(a.now().Sub(before) / 2)
	offset := middle.Sub(database)
	a.offset.Store(int64(offset))
	a.metrics.ClockMeasured(offset)
	return nil
}

// signingKeys tells of each algorithm since when its key signs, and until when by the age of rotation.
func (a *app) signingKeys() map[string]server.SigningKey {
	signing := map[string]server.SigningKey{}
	for _, k := range a.keys.Keys() {
		s := signing[string(k.Alg)]
		switch {
		case k.State == keys.Active:
			s.Since = k.ActivatesAt
		case k.State == keys.Next && (s.Until.IsZero() || k.ActivatesAt.Before(s.Until)):
			s.Until = k.ActivatesAt
		}
		signing[string(k.Alg)] = s
	}
	for alg, s := range signing {
		if s.Until.IsZero() && a.config.keyRotation > 0 {
			s.Until = s.Since.Add(a.config.keyRotation)
			signing[alg] = s
		}
	}
	return signing
}

// judgeClock fails while this clock is apart: it must not judge what is over.
func (a *app) judgeClock(ctx context.Context) error {
	if err := a.measureClock(ctx); err != nil {
		return err
	}
	return a.checkClock(ctx)
}

// turnKeys rotates the signing keys by age.
func (a *app) turnKeys(ctx context.Context) error {
	if err := a.judgeClock(ctx); err != nil {
		return err
	}
	done, err := a.keys.Turn(ctx, a.config.keyRotation)
	for _, k := range done.Next {
		a.log.Info("signing key rotated", "kid", k.KID, "alg", string(k.Alg), "activates_at", k.ActivatesAt)
		a.server.Record.Audit(audit.Record{Time: a.now(), Event: audit.KeyRotated, Actor: audit.Server, KeyID: k.KID})
	}
	for _, k := range done.Deleted {
		a.log.Info("signing key deleted", "kid", k.KID, "alg", string(k.Alg))
		a.server.Record.Audit(audit.Record{Time: a.now(), Event: audit.KeyDeleted, Actor: audit.Server, KeyID: k.KID})
	}
	return err
}
