package main

import (
	"bytes"
	"compress/gzip"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"authserver/internal/flow"
)

// redirects: no answer of a host sends the fetch elsewhere.
func redirects(t *testing.T, d *deployment) {
	var c *flow.Client
	target := newKeyHost(t, func(w http.ResponseWriter, r *http.Request) { publishing(c.Key.PublicJWK())(w, r) })
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, to := range []string{target.URL + "/jwks", "http://169.254.169.254/", "/elsewhere", "file:///etc/passwd"} {
			var h *keyHost
			c, h = d.remote(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/elsewhere" {
					publishing(c.Key.PublicJWK())(w, r)
					return
				}
				w.Header().Set("Location", to)
				w.WriteHeader(status)
				_, _ = io.WriteString(w, keySetOf(c.Key.PublicJWK()))
			})
			h.fetches(t, 1, func() {
				d.logsWith(func() { d.unproven(c) }, "client key set not fetched", c.ID, fmt.Sprint("answered ", status))
			})
		}
	}
	// Other ways to say it.
	var h *keyHost
	c, h = d.remote(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Refresh", "0; url="+target.URL)
		w.Header().Set("Alt-Svc", `h2="`+target.Listener.Addr().String()+`"`)
		w.Header().Set("Link", "<"+target.URL+">; rel=canonical")
		_, _ = io.WriteString(w, `{"keys":[]}`)
	})
	d.unproven(c)
	if h.requests.Load() == 0 {
		t.Error("the host was not asked")
	}
	target.unreached(t)
}

// rawHost is a host below HTTP.
type rawHost struct {
	net.Listener
	running sync.WaitGroup
}

// newRawHost answers every connection with what write sends, and closes it when write returns.
func newRawHost(t testing.TB, write func(net.Conn) error) *rawHost {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &rawHost{Listener: l}
	h.running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			h.running.Go(func() {
				defer c.Close()
				_, _ = c.Read(make([]byte, 4096)) // the request
				_ = write(c)
			})
		}
	})
	t.Cleanup(h.drain)
	return h
}

// drain waits until whoever came has hung up or has been answered.
func (h *rawHost) drain() {
	_ = h.Close()
	h.running.Wait()
}

// repeat writes until the other side hangs up, with a pause before each time, and counts the times.
func repeat(c net.Conn, text string, pause time.Duration, times *atomic.Int64) error {
	for {
		time.Sleep(pause)
		if _, err := io.WriteString(c, text); err != nil {
			return err
		}
		times.Add(1)
	}
}

const okHeader = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"

// hostsThatNeverEnd drip, flood, or lie about the length. They all run at once: each fetch is cut at five seconds or at
// 64 KiB, and each host is hung up on.
func hostsThatNeverEnd(t *testing.T, d *deployment) {
	var seconds, kilobytes atomic.Int64
	var hosts []*rawHost
	hung := newHanging(t)
	for _, write := range append(endlessBodies(&seconds, &kilobytes), wrongLengths(keySetOf(key(t, "ES256").PublicJWK()))...) {
		h := newRawHost(t, write)
		hosts = append(hosts, h)
		hung.send(d.register(0, keysAt("http://"+h.Addr().String()+"/jwks")))
	}
	d.proven(d.register(0))
	hung.wait()
	for _, e := range hung.exchanges {
		outcome(t, e, "401 invalid_client")
	}
	for _, h := range hosts {
		h.drain()
	}
	if n := seconds.Load(); n < 1 || n > 60 { // of three hosts, and a fetch lasts five
		t.Errorf("slow hosts could write for %d seconds", n)
	}
	if n := kilobytes.Load(); n < 64 || n > 64<<10 { // of two hosts, with what the kernel takes before anybody reads it
		t.Errorf("fast hosts could send %d KiB", n)
	}
}

// endlessBodies are hosts that write something every second, and hosts that write a kilobyte again and again.
func endlessBodies(seconds, kilobytes *atomic.Int64) []func(net.Conn) error {
	kilobyte := strings.Repeat(" ", 1<<10)
	chunk := "400\r\n" + kilobyte + "\r\n"
	return []func(net.Conn) error{
		func(c net.Conn) error {
			_, _ = io.WriteString(c, okHeader+"Transfer-Encoding: chunked\r\n\r\n")
			return repeat(c, chunk, time.Second, seconds)
		},
		func(c net.Conn) error { return repeat(c, "H", time.Second, seconds) },
		func(c net.Conn) error {
			_, _ = io.WriteString(c, okHeader)
			return repeat(c, "X: y\r\n", time.Second, seconds)
		},
		func(c net.Conn) error {
			_, _ = io.WriteString(c, okHeader+"Transfer-Encoding: chunked\r\n\r\n")
			return repeat(c, chunk, 0, kilobytes)
		},
		func(c net.Conn) error {
			_, _ = io.WriteString(c, okHeader+"Content-Length: 4611686018427387904\r\n\r\n")
			return repeat(c, kilobyte, 0, kilobytes)
		},
	}
}

// wrongLengths are hosts that send a good set and announce more, or announce it in two ways, and one that sends nothing.
func wrongLengths(good string) []func(net.Conn) error {
	var hosts []func(net.Conn) error
	for _, text := range []string{
		"Content-Length: 60000\r\n\r\n" + good,
		"Content-Length: 2\r\nContent-Length: " + strconv.Itoa(len(good)) + "\r\n\r\n" + good,
		"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n" + good,
		"Transfer-Encoding: chunked\r\n\r\n" + strconv.FormatInt(int64(len(good)), 16) + "\r\n" + good + "\r\n", // no last chunk
	} {
		hosts = append(hosts, func(c net.Conn) error { _, err := io.WriteString(c, okHeader+text); return err })
	}
	return append(hosts, func(net.Conn) error { return nil }, func(c net.Conn) error {
		_, _ = io.WriteString(c, okHeader+"Content-Length: 60000\r\n\r\n"+good)
		_, err := io.Copy(io.Discard, c) // says no more until it is hung up on
		return err
	})
}

// compressedKeySets: 60 KiB that stand for 60 MiB are not unpacked, nor is anything else; a fetch asks for no encoding.
func compressedKeySets(t *testing.T, d *deployment) {
	k := key(t, "ES256")
	good := strings.TrimSuffix(keySetOf(k.PublicJWK()), "}") + `,"padding":"`
	var bomb, small bytes.Buffer
	for packed, size := range map[*bytes.Buffer]int{&bomb: 60 << 20, &small: 100} {
		z := gzip.NewWriter(packed)
		_, _ = io.WriteString(z, good)
		_, _ = z.Write(bytes.Repeat([]byte("x"), size))
		_, _ = io.WriteString(z, `"}`)
		_ = z.Close()
	}
	for _, body := range [][]byte{bomb.Bytes(), small.Bytes()} {
		for _, encoding := range []string{"gzip", "GZIP", "gzip, gzip", "x-gzip", "deflate", "br", ""} {
			c, h := d.remote(nil)
			h.now(func(w http.ResponseWriter, r *http.Request) {
				if accepts := r.Header.Get("Accept-Encoding"); accepts != "" {
					t.Errorf("the fetch accepts %q", accepts)
				}
				w.Header().Set("Content-Type", "application/json")
				if encoding != "" {
					w.Header().Set("Content-Encoding", encoding)
				}
				_, _ = w.Write(body)
			})
			c.Key = k
			d.unproven(c)
			if h.requests.Load() == 0 {
				t.Error("the host was not asked")
			}
		}
	}
}

// badCertificates: nobody who cannot prove the name gets to send a set. The last host can, and is served.
func badCertificates(t *testing.T, d *deployment) {
	a := newAuthority(t)
	n := newNameServer(t, map[string][]string{"keys.client.example": {"127.0.0.1"}})
	d = d.production(trusting(a), resolvedBy(n), allowing("127.0.0.1/32"))
	named := func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"keys.client.example"} }
	for name, bad := range map[string]struct {
		issuer *authority
		edit   func(*x509.Certificate)
		cause  string
	}{
		"expired":          {a, func(c *x509.Certificate) { named(c); c.NotAfter = time.Now().Add(-time.Minute) }, "expired"},
		"not yet valid":    {a, func(c *x509.Certificate) { named(c); c.NotBefore = time.Now().Add(time.Minute) }, "not yet valid"},
		"another name":     {a, func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"other.client.example"} }, "not keys.client.example"},
		"only its address": {a, func(*x509.Certificate) {}, "keys.client.example"},
		"common name only": {a, func(c *x509.Certificate) {
			c.IPAddresses = nil
			c.Subject.CommonName = "keys.client.example"
		}, "legacy Common Name"},
		"a client's certificate": {a, func(c *x509.Certificate) { named(c); c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }, "key usage"},
		"self-signed or unknown": {newAuthority(t), named, "unknown authority"},
	} {
		t.Run(name, func(t *testing.T) {
			d := d.within(t)
			h := newTLSKeyHost(t, nil, bad.issuer.certify(t, bad.edit), nil)
			c := d.named("https://keys.client.example:" + portOf(h.URL) + "/jwks")[0]
			h.now(publishing(c.Key.PublicJWK()))
			d.logsWith(func() { d.unproven(c) }, "client key set not fetched", c.ID, "tls: failed to verify certificate", bad.cause)
			if h.connections.Load() == 0 || h.requests.Load() > 0 {
				t.Errorf("%d connections, %d requests", h.connections.Load(), h.requests.Load())
			}
		})
	}
	h := newTLSKeyHost(t, nil, a.certify(t, named), nil)
	c := d.named("https://keys.client.example:" + portOf(h.URL) + "/jwks")[0]
	h.now(publishing(c.Key.PublicJWK()))
	d.proven(c)
}

// endlessHeaders: too much header, in one field, in many, and in answers that only announce another. What would be a good
// set follows where it can.
func endlessHeaders(t *testing.T, d *deployment) {
	k := key(t, "ES256")
	good := keySetOf(k.PublicJWK())
	end := fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(good), good)
	once := func(text string) func(net.Conn) error {
		return func(c net.Conn) error { _, err := io.WriteString(c, text); return err }
	}
	for name, write := range map[string]func(net.Conn) error{
		"20 MiB in one field":   once(okHeader + "X: " + strings.Repeat("y", 20<<20) + "\r\n" + end),
		"20 MiB in many fields": once(okHeader + strings.Repeat("X: yyyyyyyyyyyyyyy\r\n", 1<<20) + end),
		"20 MiB reason phrase":  once("HTTP/1.1 200 " + strings.Repeat("O", 20<<20) + "\r\n" + end),
		"80 KiB in one field":   once(okHeader + "X: " + strings.Repeat("y", 80<<10) + "\r\n" + end),
		"early hints, over and over": func(c net.Conn) error {
			return repeat(c, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", 0, new(atomic.Int64))
		},
		"trailers without end": func(c net.Conn) error {
			_, _ = io.WriteString(c, okHeader+"Transfer-Encoding: chunked\r\nTrailer: X\r\n\r\n2\r\n{}\r\n0\r\n")
			return repeat(c, "X: "+strings.Repeat("y", 1000)+"\r\n", 0, new(atomic.Int64))
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := d.within(t)
			sent := make(chan error, 1)
			h := newRawHost(t, func(c net.Conn) error {
				err := write(c)
				select {
				case sent <- err:
				default:
				}
				return err
			})
			c := d.register(0, keysAt("http://"+h.Addr().String()+"/jwks"))
			c.Key = k
			d.logsWith(func() { d.unproven(c) }, "client key set not fetched", c.ID)
			if err := <-sent; err == nil && !strings.HasPrefix(name, "80 KiB") { // which the kernel takes in one piece
				t.Error("the host could send everything")
			}
		})
	}
}

// credentials: a fetch has none to give, whatever a host asks for, and keeps none that a host sends.
func credentials(t *testing.T, d *deployment) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	a, n := newAuthority(t), newNameServer(t, map[string][]string{"keys.client.example": {"127.0.0.1"}})
	d = d.production(trusting(a), resolvedBy(n), allowing("127.0.0.1/32"))
	var c *flow.Client
	var asking atomic.Bool
	h := newTLSKeyHost(t, nil, a.issue(t, "ECDSA", "keys.client.example"), func(w http.ResponseWriter, r *http.Request) {
		for _, name := range []string{"Cookie", "Authorization", "Proxy-Authorization", "Referer", "Origin", "X-Fapi-Interaction-Id", "Dpop"} {
			if r.Header.Get(name) != "" {
				t.Errorf("the fetch sent %s: %s", name, r.Header.Get(name))
			}
		}
		if len(r.TLS.PeerCertificates) > 0 || r.Method != http.MethodGet || r.ContentLength > 0 {
			t.Errorf("%s with %d certificates and %d bytes", r.Method, len(r.TLS.PeerCertificates), r.ContentLength)
		}
		w.Header().Add("Set-Cookie", "session=1; Path=/; Secure")
		w.Header().Add("Set-Cookie", "session=2; Domain=client.example; Max-Age=1000000")
		if asking.Load() {
			w.Header().Set("WWW-Authenticate", `Basic realm="keys"`)
			w.Header().Set("Proxy-Authenticate", "Negotiate")
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		publishing(c.Key.PublicJWK())(w, r)
	})
	c = d.named("https://keys.client.example:" + portOf(h.URL) + "/jwks")[0]
	d.proven(c)
	for range 2 { // with a cookie to send back, then a challenge to answer
		d.clock.advance(6 * time.Minute)
		h.fetches(t, 1, func() { d.proven(c) })
		asking.Store(true)
	}
}
