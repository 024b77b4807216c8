package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"authserver/internal/flow"
	"authserver/internal/store/storetest"
)

// attacksOnConnections are the cases about how bytes arrive. They need a replica as main runs it, with its bounds.
func attacksOnConnections() []attack {
	return slices.Concat([]attack{{"HT-04", oversizeBodies}}, attacksOnHTTP2(), []attack{{"HT-07", slowBodies}, {"HT-06", slowHeaders}})
}

// bounded is one replica more on a deployment's database, run as main runs it.
type bounded struct {
	d                  *deployment
	public, management string       // addresses
	read               atomic.Int64 // bytes that the public listener was read
}

// bounded starts a replica with listeners of its own; with an https issuer it ends TLS itself.
func (d *deployment) bounded(t *testing.T) *bounded {
	t.Helper()
	c := d.config
	if d.authority != nil {
		dir := t.TempDir()
		c.certFile, c.keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
		writePair(t, d.authority.issue(t, "ECDSA", hostOf(d.issuer)), c.certFile, c.keyFile)
	}
	a, err := newApp(t.Context(), c, storetest.Open(t, d.url), slog.New(slog.NewJSONHandler(d.logs, nil)), nil, d.clock.now)
	if err != nil {
		t.Fatal(err)
	}
	r := &bounded{d: d}
	var l listeners
	for _, one := range []*net.Listener{&l.public, &l.management} {
		if *one, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	r.public, r.management = l.public.Addr().String(), l.management.Addr().String()
	l.public = counting{l.public, &r.read}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- a.run(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return r
}

// counting counts what its connections read.
type counting struct {
	net.Listener
	read *atomic.Int64
}

func (l counting) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	tcp := conn.(*net.TCPConn)
	_ = tcp.SetWriteBuffer(4 << 10) // a peer that does not read is noticed soon
	return counted{tcp, l.read}, nil
}

type counted struct {
	*net.TCPConn
	read *atomic.Int64
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
	c.read.Add(int64(n))
	return n, err
}

// transport reaches the replica under the issuer's name.
func (r *bounded) transport(t *testing.T) *http.Transport {
	transport := &http.Transport{ForceAttemptHTTP2: true, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, r.public)
	}}
	if r.d.authority != nil {
		transport.TLSClientConfig = &tls.Config{RootCAs: r.d.authority.pool()}
	}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// at is a client at this replica.
func (r *bounded) at(t *testing.T, c *flow.Client) *flow.Client {
	t.Helper()
	moved := *c
	moved.Server = r.d.serverThrough(r.transport(t))
	return &moved
}

// oversizeBodies are refused after what is read at most, whatever their length was announced as.
func oversizeBodies(t *testing.T, d *deployment) {
	r := d.bounded(t)
	good := r.at(t, d.register(0))
	const size = 10 << 20
	head := "POST /oauth2/token HTTP/1.1\r\nHost: " + d.host() + "\r\nContent-Type: " + formMedia + "\r\n"
	letters, mib := strings.Repeat("a", size), strings.Repeat("a", 1<<20)
	for name, test := range map[string]struct {
		text string
		want []int
	}{
		"announced":              {head + fmt.Sprintf("Content-Length: %d\r\n\r\n", size) + letters, []int{413}},
		"in chunks":              {head + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("100000\r\n"+mib+"\r\n", 10) + "0\r\n\r\n", []int{413}},
		"in small chunks":        {head + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1\r\na\r\n", size/6) + "0\r\n\r\n", []int{413}},
		"longer than announced":  {head + "Content-Length: 10\r\n\r\n" + letters, []int{401, 431}},
		"shorter than announced": {head + fmt.Sprintf("Content-Length: %d\r\n\r\n", size) + letters[:100<<10], []int{413}},
		"announced beyond all":   {head + "Content-Length: 9223372036854775807\r\n\r\n" + mib, []int{413}},
		"beyond a number":        {head + "Content-Length: 99999999999999999999\r\n\r\n" + mib, []int{400}},
		"in the header":          {strings.TrimSuffix(head, "\r\n") + "\r\nX: " + mib + "\r\n\r\n", []int{431}},
		"in the path":            {"GET /" + mib + " HTTP/1.1\r\nHost: a\r\n\r\n", []int{431}},
	} {
		t.Run(name, func(t *testing.T) {
			before := r.read.Load()
			allocates(t, 16<<20, func() {
				var got []int
				for _, a := range speak(t, r.public, test.text, 0) {
					got = append(got, a.StatusCode)
				}
				if !slices.Equal(got, test.want) {
					t.Errorf("answers %v, want %v", got, test.want)
				}
			})
			// net/http throws away up to 256 KiB of a body that nobody reads; as chunks of one byte they are six times as much.
			if n := r.read.Load() - before; n > 2<<20 {
				t.Errorf("%d bytes were read", n)
			}
		})
	}
	d.expect(good, good.TokenRequest(nil), "200")
}

// drip opens n connections that send a head and then one byte after the other, and wants each closed within a time that is
// generous, while another client is served.
func (r *bounded) drip(t *testing.T, n int, head string) {
	t.Helper()
	const within = 2 * time.Minute
	good := r.at(t, r.d.register(0))
	var running sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		connection, err := net.Dial("tcp", r.public)
		if err != nil {
			t.Fatal(err)
		}
		defer connection.Close()
		_ = connection.SetReadDeadline(time.Now().Add(within))
		running.Go(func() {
			_, errs[i] = io.ReadAll(connection)
			_ = connection.Close()
		})
		go func() {
			for _, err := io.WriteString(connection, head); err == nil; _, err = io.WriteString(connection, "a") {
				time.Sleep(500 * time.Millisecond)
			}
		}()
	}
	served := 0
	closed := make(chan struct{})
	go func() { running.Wait(); close(closed) }()
	for waiting := true; waiting; {
		outcome(t, do(t, good.Server, good.TokenRequest(nil)), "200")
		served++
		select {
		case <-closed:
			waiting = false
		case <-time.After(50 * time.Millisecond):
		}
	}
	for _, err := range errs {
		if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
			t.Fatalf("a connection was still open after %s", within)
		}
	}
	if served < 10 {
		t.Errorf("only %d good requests were served meanwhile", served)
	}
}

// slowHeaders: ReadHeaderTimeout is 5 s. Without it and ReadTimeout they would never end.
func slowHeaders(t *testing.T, d *deployment) {
	t.Parallel()
	d.bounded(t).drip(t, 100, "POST /oauth2/token HTTP/1.1\r\nHost: a\r\nX: ")
}

// slowBodies: ReadTimeout is 15 s. Without it the announced body would take 500 s to arrive.
func slowBodies(t *testing.T, d *deployment) {
	t.Parallel()
	d.bounded(t).drip(t, 50, "POST /oauth2/token HTTP/1.1\r\nHost: a\r\nContent-Type: "+formMedia+"\r\nContent-Length: 1000\r\n\r\n")
}
