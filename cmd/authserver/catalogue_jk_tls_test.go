package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"authserver/internal/flow"
)

// http2Hosts: a fetch offers no HTTP/2, so that what a host could do with frames ends at the first line of its answer.
func http2Hosts(t *testing.T, d *deployment) {
	a := newAuthority(t)
	d = d.alone(trusting(a))
	var offered atomic.Pointer[[]string]
	var protocol atomic.Pointer[string]
	var c *flow.Client
	h := newTLSKeyHost(t, nil, a.issue(t, "ECDSA", "127.0.0.1"), func(w http.ResponseWriter, r *http.Request) {
		protocol.Store(&r.Proto)
		publishing(c.Key.PublicJWK())(w, r)
	})
	h.TLS.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		offered.Store(&hello.SupportedProtos)
		return nil, nil
	}
	c = d.register(0, keysAt(h.URL+"/jwks"))
	d.proven(c)
	if got := *protocol.Load(); got != "HTTP/1.1" || slices.Contains(*offered.Load(), "h2") {
		t.Errorf("the fetch spoke %s and offered %v", got, *offered.Load())
	}

	frame := func(kind byte, stream uint32, payload []byte) []byte {
		header := []byte{byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload)), kind, 0}
		return append(binary.BigEndian.AppendUint32(header, stream), payload...)
	}
	settings := frame(4, 0, []byte{0, 5, 0, 0, 0, 0}) // SETTINGS_MAX_FRAME_SIZE = 0
	for name, flood := range map[string][]byte{
		"RST_STREAM":   frame(3, 1, []byte{0, 0, 0, 8}),
		"CONTINUATION": frame(9, 1, bytes.Repeat([]byte{0}, 100)),
		"SETTINGS":     settings,
		"empty lines":  []byte("\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			d := d.within(t)
			host := newFlood(t, a.issue(t, "ECDSA", "127.0.0.1"), settings, flood)
			c := d.register(0, keysAt("https://"+host.Addr().String()+"/jwks"))
			d.logsWith(func() { d.unproven(c) }, c.ID, "client key set not fetched")
			host.ended(t)
		})
	}
}

// flood is a TLS host that writes without end, whatever it is asked.
type flood struct {
	net.Listener
	begun   atomic.Int64
	running sync.WaitGroup
}

func newFlood(t testing.TB, certificate tls.Certificate, first, more []byte) *flood {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"h2", "http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	f := &flood{Listener: listener}
	more = bytes.Repeat(more, 1+4096/len(more))
	f.running.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			f.running.Go(func() {
				defer c.Close()
				f.begun.Add(1)
				_, err := c.Write(first)
				for err == nil {
					_, err = c.Write(more)
				}
			})
		}
	})
	t.Cleanup(func() { _ = listener.Close(); f.running.Wait() })
	return f
}

// ended wants that somebody came and that all have hung up.
func (f *flood) ended(t testing.TB) {
	t.Helper()
	if f.begun.Load() == 0 {
		t.Error("nobody came")
	}
	_ = f.Close()
	done := make(chan struct{})
	go func() { f.running.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Error("somebody still listens")
	}
}

// hugeCertificates: a host cannot make a handshake expensive. The control has a certificate of ordinary size.
func hugeCertificates(t *testing.T, d *deployment) {
	a := newAuthority(t)
	d = d.alone(trusting(a))
	try := func(certificate tls.Certificate) (*flow.Client, *keyHost) {
		h := newTLSKeyHost(t, nil, certificate, nil)
		c := d.register(0, keysAt(h.URL+"/jwks"))
		h.now(publishing(c.Key.PublicJWK()))
		return c, h
	}
	for _, certificate := range []tls.Certificate{
		a.certify(t, func(c *x509.Certificate) {
			for i := range 50_000 {
				c.DNSNames = append(c.DNSNames, fmt.Sprintf("%d.client.example", i))
			}
		}),
		manyIntermediates(t, 500),
	} {
		c, h := try(certificate)
		d.logsWith(func() { d.unproven(c) }, c.ID, "client key set not fetched", "tls: ")
		if h.connections.Load() == 0 || h.requests.Load() > 0 {
			t.Errorf("%d connections and %d requests", h.connections.Load(), h.requests.Load())
		}
	}
	c, _ := try(a.certify(t, func(*x509.Certificate) {}))
	d.proven(c)
}

// certify issues a certificate for 127.0.0.1 that edit has changed.
func (a *authority) certify(t testing.TB, edit func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	edit(template)
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// manyIntermediates is a certificate below n that all share one name and one key, so that each could have issued each
// other, and none leads to a root.
func manyIntermediates(t testing.TB, n int) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	between := &authority{key: key, certificate: &x509.Certificate{
		SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: "between"}, PublicKey: key.Public(),
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}}
	chain := between.certify(t, func(*x509.Certificate) {})
	for i := range n {
		template := *between.certificate
		template.SerialNumber = big.NewInt(int64(1000 + i))
		der, err := x509.CreateCertificate(rand.Reader, &template, between.certificate, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		chain.Certificate = append(chain.Certificate, der)
	}
	return chain
}
