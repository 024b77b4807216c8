//go:build linux

package deploy

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"testing"

	"authserver/internal/store/pglocal"
)

// database is a private PostgreSQL that can also be reached over TCP.
type database struct {
	url  string // over its socket
	port string
}

func newDatabase(t *testing.T) database {
	t.Helper()
	pg, err := pglocal.Start(t.Context(), pglocal.Options{Fast: true})
	must(t, err)
	t.Cleanup(func() { _ = pg.Stop() })
	d := database{url: pg.URL("authserver")}
	target, err := url.Parse(d.url)
	must(t, err)
	socket := filepath.Join(target.Query().Get("host"), ".s.PGSQL.5432")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			go join(from, socket)
		}
	}()
	_, d.port, err = net.SplitHostPort(listener.Addr().String())
	must(t, err)
	return d
}

func join(from net.Conn, socket string) {
	defer from.Close()
	to, err := net.Dial("unix", socket)
	if err != nil {
		return
	}
	defer to.Close()
	go func() {
		defer to.Close()
		_, _ = io.Copy(to, from)
	}()
	_, _ = io.Copy(from, to)
}

// freePort is a port of this machine that nobody listened on a moment ago.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	must(t, err)
	return port
}

// issuerAt fetches the metadata from a server and returns the issuer that they name.
func issuerAt(t *testing.T, server string, trusted *x509.CertPool) string {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}, DisableKeepAlives: true}
	response, err := (&http.Client{Transport: transport}).Get(server + "/.well-known/oauth-authorization-server")
	must(t, err)
	defer response.Body.Close()
	var metadata struct{ Issuer string }
	must(t, json.NewDecoder(response.Body).Decode(&metadata))
	return metadata.Issuer
}
