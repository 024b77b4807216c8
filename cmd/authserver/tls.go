package main

import (
	"crypto/tls"
	"log/slog"
	"os"
	"sync"
	"time"

	"authserver/internal/certificate"
)

// tlsConfig is TLS 1.2 and 1.3, and for 1.2 exactly the suites that BCP 195 recommends (FAPI 2.0 Security Profile
// §5.2.2-1).
func tlsConfig(pair *keyPair) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return pair.get() },
		NextProtos:     []string{"h2", "http/1.1"},
	}
}

// mutualTLSConfig asks for a client certificate and takes any, or none: a handler says in JSON what is wrong with it. Which
// authorities are trusted is told nobody. No session is resumed: what one handshake proved must not outlive the anchors of
// that day, and a full handshake is cheap for who shows a certificate.
func mutualTLSConfig(pair *keyPair) *tls.Config {
	config := tlsConfig(pair)
	config.ClientAuth = tls.RequestClientCert
	config.SessionTicketsDisabled = true
	return config
}

// watched is what a file says, read again when the file changes, or another takes its place. While it cannot be read, what it
// said before serves. Strangers ask for it, so what they can ask of a broken file is bounded too.
type watched[T any] struct {
	name string // for the log
	file string
	read func() (T, error)
	log  *slog.Logger
	now  func() time.Time

	mu      sync.Mutex
	loaded  *T          // nil: never read
	tried   os.FileInfo // the file at the last attempt to read it; nil: there was none
	failure error       // of that attempt
	again   time.Time   // when the next one is due, if the file does not change before
	warn    time.Time   // and when the log is told of it again
}

// How often a file that cannot be read, and does not change, is tried again, and told of: the key beside a certificate may
// come after it, and a file may be rewritten without a new time.
const (
	retryAfter = 5 * time.Second
	warnAfter  = time.Minute
)

func (w *watched[T]) get() (T, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	info, err := os.Stat(w.file)
	now, changed := w.now(), !sameFile(info, w.tried)
	if fine := w.loaded != nil && w.failure == nil; changed || !fine && !now.Before(w.again) {
		w.attempt(info, err, now, changed)
	}
	if w.loaded == nil {
		var none T
		return none, w.failure
	}
	return *w.loaded, nil
}

// attempt reads the file, unless it could not even be found.
func (w *watched[T]) attempt(info os.FileInfo, err error, now time.Time, changed bool) {
	var fresh T
	if err == nil {
		fresh, err = w.read()
	}
	w.tried, w.failure, w.again = info, err, now.Add(retryAfter)
	switch {
	case err == nil:
		w.loaded = &fresh
	case w.loaded != nil && (changed || !now.Before(w.warn)):
		w.log.Warn(w.name+" not read again", "file", w.file, "cause", err.Error())
		w.warn = now.Add(warnAfter)
	}
}

// sameFile tells whether a file is the one that was seen, and unchanged; nil is none. Some installers give all the same time.
func sameFile(info, seen os.FileInfo) bool {
	if info == nil || seen == nil {
		return info == seen
	}
	return os.SameFile(info, seen) && info.ModTime().Equal(seen.ModTime()) && info.Size() == seen.Size()
}

// keyPair is a certificate of ours and its key, read again when the certificate's file changes.
type keyPair struct{ watched[*tls.Certificate] }

func newKeyPair(certFile, keyFile string, log *slog.Logger, now func() time.Time) *keyPair {
	return &keyPair{watched[*tls.Certificate]{
		name: "certificate", file: certFile, log: log, now: now,
		read: func() (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(certFile, keyFile)
			return &pair, err
		},
	}}
}

// expiry is when the certificate ends; the beginning of time for one that cannot be read.
func (p *keyPair) expiry() time.Time {
	loaded, err := p.get()
	if err != nil {
		return time.Unix(0, 0)
	}
	return loaded.Leaf.NotAfter
}

// anchors are the authorities that vouch for clients, read again when their file changes: who is taken out of it vouches for
// nobody from the next request on.
type anchors struct {
	watched[certificate.Authorities]
}

func newAnchors(file string, log *slog.Logger, now func() time.Time) *anchors {
	return &anchors{watched[certificate.Authorities]{
		name: "authorities of clients", file: file, log: log, now: now,
		read: func() (certificate.Authorities, error) { return readAuthorities(file) },
	}}
}

// Verify makes anchors a certificate.Anchors.
func (a *anchors) Verify(c certificate.Certificate, now time.Time) error {
	authorities, err := a.get()
	if err != nil {
		return err
	}
	return authorities.Verify(c, now)
}

// anchors are those of the configuration: nil where no client can show a certificate, and nobody where none is named.
func (m mutualTLS) anchors(log *slog.Logger, now func() time.Time) certificate.Anchors {
	switch {
	case !m.offered():
		return nil
	case m.caFile == "":
		return certificate.Authorities{}
	}
	return newAnchors(m.caFile, log, now)
}

// openCertificates finds the certificates that the listeners show.
func (a *app) openCertificates() {
	if c := a.config; c.certFile != "" {
		a.certificate = newKeyPair(c.certFile, c.keyFile, a.log, a.now)
	}
	if m := a.config.mtls; m.listen != "" {
		a.mutualCertificate = newKeyPair(m.certFile, m.keyFile, a.log, a.now)
	}
}

// certificateExpiry is when the first of them ends.
func (a *app) certificateExpiry() time.Time {
	var first time.Time
	for _, pair := range []*keyPair{a.certificate, a.mutualCertificate} {
		if pair == nil {
			continue
		}
		if end := pair.expiry(); first.IsZero() || end.Before(first) {
			first = end
		}
	}
	return first
}
