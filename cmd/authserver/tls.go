package main

import (
	"crypto/tls"
	"log/slog"
	"os"
	"sync"
	"time"
)

// tlsConfig is TLS 1.2 and 1.3, and for 1.2 exactly the suites that BCP 195 recommends (FAPI 2.0 Security Profile
// §5.2.2-1).
func tlsConfig(c *certificate) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		},
		GetCertificate: c.get,
		NextProtos:     []string{"h2", "http/1.1"},
	}
}

// certificate is the server's certificate, read again when its file changes.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu      sync.Mutex
	changed time.Time
	loaded  *tls.Certificate
}

// expiry is when the certificate ends; the beginning of time for one that cannot be read.
func (c *certificate) expiry() time.Time {
	loaded, err := c.get(nil)
	if err != nil {
		return time.Unix(0, 0)
	}
	return loaded.Leaf.NotAfter
}

// get returns the certificate for a handshake. While a new pair cannot be read, the last good one serves.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	info, err := os.Stat(c.certFile)
	if err == nil && info.ModTime().Equal(c.changed) {
		return c.loaded, nil
	}
	var pair tls.Certificate
	if err == nil {
		pair, err = tls.LoadX509KeyPair(c.certFile, c.keyFile)
	}
	if err != nil {
		if c.loaded == nil {
			return nil, err
		}
		c.log.Warn("certificate not read again", "cause", err.Error())
		return c.loaded, nil
	}
	c.loaded, c.changed = &pair, info.ModTime()
	return c.loaded, nil
}
