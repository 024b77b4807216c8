package main

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// replica is one replica as the program runs it: its listeners, background tasks, and an end.
type replica struct {
	public, mutual, management string // addresses; mutual only where it is configured
	end                        func() error
}

// runReplica starts a replica of the deployment's own configuration.
func (d *deployment) runReplica() replica {
	d.t.Helper()
	a, err := newApp(d.t.Context(), d.config, d.store, slog.New(slog.NewJSONHandler(d.logs, nil)), nil, d.clock.now)
	if err != nil {
		d.t.Fatal(err)
	}
	return d.run(a)
}

// run opens a replica's listeners, as the configuration has them.
func (d *deployment) run(a *app) replica {
	d.t.Helper()
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			d.t.Fatal(err)
		}
		return l
	}
	l := listeners{public: listen(), management: listen()}
	r := replica{public: l.public.Addr().String(), management: l.management.Addr().String()}
	if d.config.mtls.listen != "" {
		l.mutual = listen()
		r.mutual = l.mutual.Addr().String()
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.run(ctx, l) }()
	r.end = func() error {
		cancel()
		err := <-ended
		ended <- err
		return err
	}
	d.t.Cleanup(func() { _ = r.end() })
	return r
}

// overTLS is a deployment without replicas, whose certificate stands in files of its own.
func overTLS(t *testing.T, a *authority, keyType string) (d *deployment, certFile, keyFile string) {
	t.Helper()
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	writePair(t, a.issue(t, keyType, "localhost"), certFile, keyFile)
	d = deploy(t, 0, func(s *settings) {
		s.Issuer, s.TLSCertFile, s.TLSKeyFile = "https://localhost:8443", certFile, keyFile
		s.MTLSURL, s.MTLSListen = "https://localhost:8444", "127.0.0.1:0"
	})
	return d, certFile, keyFile
}

func TestCertificateReload(t *testing.T) {
	a := newAuthority(t)
	d, certFile, keyFile := overTLS(t, a, "ECDSA")
	r := d.runReplica()
	serial := func(address string) *big.Int {
		t.Helper()
		connection, err := tls.Dial("tcp", address, &tls.Config{RootCAs: a.pool(), ServerName: "localhost"})
		if err != nil {
			t.Fatal(err)
		}
		defer connection.Close()
		return connection.ConnectionState().PeerCertificates[0].SerialNumber
	}
	serves := func(pair tls.Certificate, when string) {
		t.Helper()
		for _, address := range []string{r.public, r.mutual} {
			if got := serial(address); got.Cmp(pair.Leaf.SerialNumber) != 0 {
				t.Errorf("%s: %s serves the certificate %s, want %s", when, address, got, pair.Leaf.SerialNumber)
			}
		}
	}
	modified := 0
	touch := func() { // file systems keep times in steps; a change inside one would not show
		modified++
		at := time.Now().Add(time.Duration(modified) * time.Second)
		if err := os.Chtimes(certFile, at, at); err != nil {
			t.Fatal(err)
		}
	}
	second, third := a.issue(t, "ECDSA", "localhost"), a.issue(t, "RSA", "localhost")
	before := serial(r.public)
	writePair(t, second, certFile, keyFile)
	touch()
	serves(second, "after a swap")
	if before.Cmp(second.Leaf.SerialNumber) == 0 {
		t.Fatal("nothing was swapped")
	}
	if err := os.WriteFile(certFile, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	touch()
	serves(second, "with a broken file")
	writePEM(t, certFile, "CERTIFICATE", third.Certificate[0])
	touch()
	serves(second, "with the new certificate and still the old key")
	writePair(t, third, certFile, keyFile)
	touch()
	serves(third, "with both")
	if err := os.Remove(certFile); err != nil {
		t.Fatal(err)
	}
	serves(third, "without a file")
	if !strings.Contains(d.logs.String(), "certificate not read again") {
		t.Error("the log does not tell")
	}
	writePair(t, second, certFile, keyFile)
	touch()
	serves(second, "with a file again")
}

// GEN-01, GEN-02, TL-10: TLS 1.3, and of TLS 1.2 exactly the four suites that BCP 195 recommends, on both listeners.
func TestTLSVersionsAndSuites(t *testing.T) {
	for _, keyType := range []string{"ECDSA", "RSA"} {
		a := newAuthority(t)
		d, _, _ := overTLS(t, a, keyType)
		r := d.runReplica()
		t.Run("TL-10 "+keyType+", public", func(t *testing.T) { shakeHands(t, a, keyType, r.public) })
		t.Run("TL-10 "+keyType+", mutual", func(t *testing.T) { shakeHands(t, a, keyType, r.mutual) })
	}
}

// shakeHands tries every version and every suite at a listener whose certificate has a key of this type.
func shakeHands(t *testing.T, a *authority, keyType, address string) {
	recommended := map[string][]uint16{
		"ECDSA": {tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384},
		"RSA":   {tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384},
	}
	handshake := func(c *tls.Config) (tls.ConnectionState, error) {
		c.RootCAs, c.ServerName = a.pool(), "localhost"
		connection, err := tls.Dial("tcp", address, c)
		if err != nil {
			return tls.ConnectionState{}, err
		}
		defer connection.Close()
		return connection.ConnectionState(), nil
	}
	for _, suite := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
		if !slices.Contains(suite.SupportedVersions, tls.VersionTLS12) {
			continue
		}
		state, err := handshake(&tls.Config{MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{suite.ID}})
		if wanted := slices.Contains(recommended[keyType], suite.ID); (err == nil) != wanted || wanted && state.CipherSuite != suite.ID {
			t.Errorf("%s: error %v, want a handshake %t", suite.Name, err, wanted)
		}
	}
	for version, wanted := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		state, err := handshake(&tls.Config{MinVersion: version, MaxVersion: version})
		if (err == nil) != wanted || wanted && state.Version != version {
			t.Errorf("%s: error %v, want a handshake %t", tls.VersionName(version), err, wanted)
		}
	}
	if state, err := handshake(&tls.Config{NextProtos: []string{"h2", "http/1.1"}}); err != nil || state.NegotiatedProtocol != "h2" || state.Version != tls.VersionTLS13 {
		t.Errorf("left to choose: %s, %s, %v", tls.VersionName(state.Version), state.NegotiatedProtocol, err)
	}
}

// The management listener tells health, metrics and version; the end of a replica lets requests finish and is no error.
func TestReplicaRuns(t *testing.T) {
	d := deploy(t, 0, nil)
	r := d.runReplica()
	get := func(address, path string) (int, string) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(body)
	}
	for path, want := range map[string]string{
		"/livez": `{"process":"ok"}`, "/readyz": `{"clock":"ok","database":"ok","draining":"ok","keys":"ok"}`, "/readyz?for=traffic": `{"clock":"ok","database":"ok","draining":"ok","keys":"ok"}`,
		"/version": `{"version":"` + version + `"}`,
	} {
		if status, body := get(r.management, path); status != http.StatusOK || strings.TrimSpace(body) != want {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if status, body := get(r.public, "/.well-known/openid-configuration"); status != http.StatusOK || !strings.Contains(body, `"issuer":"`+d.issuer+`"`) {
		t.Errorf("%d %s", status, body)
	}
	if status, body := get(r.management, "/metrics"); status != http.StatusOK || !strings.Contains(body, `authserver_http_requests_total{method="GET",route="/.well-known/openid-configuration",status="200"} 1`) {
		t.Errorf("%d %s", status, body)
	}
	if status, _ := get(r.management, "/oauth2/token"); status != http.StatusNotFound {
		t.Errorf("the management listener answers the protocol: %d", status)
	}
	if err := r.end(); err != nil {
		t.Errorf("the end: %v", err)
	}
	if _, err := net.Dial("tcp", r.public); err == nil {
		t.Error("still listening")
	}
}

// A clock that is apart from the database's takes the replica out of service, by name.
func TestClockApart(t *testing.T) {
	d := deploy(t, 1, nil)
	a := d.replicas[0]
	for ahead, apart := range map[time.Duration]bool{0: false, 4 * time.Second: false, 7 * time.Second: true, -7 * time.Second: true} {
		d.clock.ahead.Store(int64(ahead))
		if err := a.measureClock(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := a.checkClock(t.Context()); (err != nil) != apart {
			t.Errorf("%s ahead: %v", ahead, err)
		}
	}
}

// A file that takes the place of another is read, whatever its size and time: some installers give all files the same.
func TestReplacedFileIsReadAgain(t *testing.T) {
	dir, at := t.TempDir(), time.Unix(1, 0)
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
		return path
	}
	path := write("file", "one")
	w := &watched[string]{name: "file", file: path, log: slog.New(slog.DiscardHandler), now: time.Now, read: func() (string, error) {
		text, err := os.ReadFile(path)
		return string(text), err
	}}
	if text, err := w.get(); text != "one" || err != nil {
		t.Fatal(text, err)
	}
	if err := os.Rename(write("other", "two"), path); err != nil {
		t.Fatal(err)
	}
	if text, err := w.get(); text != "two" || err != nil {
		t.Error(text, err)
	}
}

// A file that cannot be read costs a reading now and then and a line a minute, however often it is asked for. A change is seen
// at once, also by a file with the time and the size of the one that was broken.
func TestBrokenFile(t *testing.T) {
	path, at, now := filepath.Join(t.TempDir(), "file"), time.Unix(1, 0), time.Unix(1000, 0)
	var log strings.Builder
	readings := 0
	w := &watched[string]{
		name: "file", file: path, log: slog.New(slog.NewTextHandler(&log, nil)), now: func() time.Time { return now },
		read: func() (string, error) {
			readings++
			text, err := os.ReadFile(path)
			if strings.HasPrefix(string(text), "bad") {
				err = errors.New("it is bad")
			}
			return string(text), err
		},
	}
	put := func(text string) { // always with the same time, in the place of what was there
		t.Helper()
		if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(os.Chtimes(path+".new", at, at), os.Rename(path+".new", path)); err != nil {
			t.Fatal(err)
		}
	}
	rewrite := func(text string) { // in its place, with the same time and size
		t.Helper()
		if err := errors.Join(os.WriteFile(path, []byte(text), 0o600), os.Chtimes(path, at, at)); err != nil {
			t.Fatal(err)
		}
	}
	remove := func(string) {
		t.Helper()
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	wait := func(string) {}
	for _, step := range []struct {
		name     string
		change   func(string)
		text     string
		later    time.Duration
		want     string // "": an error
		readings int    // of a hundred calls
		lines    int
	}{
		{"before there is a file", wait, "", 0, "", 0, 0},
		{"a file that was never good", put, "bad0", 0, "", 1, 0},
		{"still, after a while", wait, "", retryAfter, "", 1, 0},
		{"good", put, "one ", 0, "one ", 1, 0},
		{"good, days later", wait, "", 48 * time.Hour, "one ", 0, 0},
		{"bad", put, "bad1", 0, "one ", 1, 1},
		{"bad, a moment later", wait, "", retryAfter - 1, "one ", 0, 0},
		{"bad, after a while", wait, "", 1, "one ", 1, 0},
		{"another that is bad", put, "bad2", 0, "one ", 1, 1},
		{"bad, a minute later", wait, "", warnAfter, "one ", 1, 1},
		{"mended by another file", put, "two ", 0, "two ", 1, 0},
		{"bad again", put, "bad3", 0, "two ", 1, 1},
		{"mended where it stands", rewrite, "thre", retryAfter, "thre", 1, 0},
		{"gone", remove, "", 0, "thre", 0, 1},
		{"gone, after a while", wait, "", retryAfter, "thre", 0, 0},
		{"gone, a minute later", wait, "", warnAfter, "thre", 0, 1},
		{"there again", put, "four", 0, "four", 1, 0},
	} {
		step.change(step.text)
		now = now.Add(step.later)
		readings = 0
		log.Reset()
		for range 100 {
			if text, err := w.get(); text != step.want || (err != nil) != (step.want == "") {
				t.Fatalf("%s: %q, %v", step.name, text, err)
			}
		}
		if lines := strings.Count(log.String(), "\n"); readings != step.readings || lines != step.lines {
			t.Errorf("%s: %d readings and %d lines, want %d and %d:\n%s", step.name, readings, lines, step.readings, step.lines, &log)
		}
	}
}
