package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// dev --tls needs no other setting, and takes none that contradicts it.
func TestDevTLSSettings(t *testing.T) {
	for name, test := range map[string]struct {
		edit                  func(*settings)
		issuer, listen, alias string
		want                  string // the problem
	}{
		"alone":           {func(*settings) {}, "https://localhost:8443", "127.0.0.1:8444", "https://localhost:8444", ""},
		"another port":    {func(s *settings) { s.Listen = "127.0.0.1:9000" }, "https://localhost:9000", "127.0.0.1:9001", "https://localhost:9001", ""},
		"another issuer":  {func(s *settings) { s.Issuer = "https://localhost:9000/a" }, "https://localhost:9000/a", "127.0.0.1:9001", "https://localhost:9001/a", ""},
		"another place":   {func(s *settings) { s.MTLSListen = "127.0.0.1:9444" }, "https://localhost:8443", "127.0.0.1:9444", "https://localhost:9444", ""},
		"an http issuer":  {func(s *settings) { s.Issuer = "http://localhost:9000" }, "http://localhost:9000", "127.0.0.1:9001", "https://localhost:9001", "needs an https issuer"},
		"own authorities": {func(s *settings) { s.MTLSClientCAFile = newAuthority(t).writeFile(t) }, "https://localhost:8443", "127.0.0.1:8444", "https://localhost:8444", "--tls makes certificates of its own"},
	} {
		t.Run(name, func(t *testing.T) {
			command := devCmd{TLS: true}
			test.edit(&command.Settings)
			command.fillIn()
			c, err := command.configure(nil)
			if c.issuer != test.issuer || c.mtls.listen != test.listen || c.mtls.url != test.alias {
				t.Errorf("%s, %s at %s", c.issuer, c.mtls.url, c.mtls.listen)
			}
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}

// devFiles are all files that dev --tls makes for itself.
var devFiles = []string{devAuthorityKeyFile, devAuthorityFile, devClientKeyFile, devClientCertFile, devServerKeyFile, devServerCertFile}

// contents are the texts of those files; "" for one that is missing.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, name := range devFiles {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		texts[name] = string(text)
	}
	return texts
}

// The certificates of dev --tls stay as long as they are good, and their keys are for their owner alone.
func TestDevCertificates(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	open := func(at time.Time, urls ...string) (made []string) {
		t.Helper()
		before := contents(t, dir)
		if err := openDevCertificates(dir, at, urls...); err != nil {
			t.Fatal(err)
		}
		for name, text := range contents(t, dir) {
			if before[name] != text {
				made = append(made, name)
			}
		}
		slices.Sort(made)
		return made
	}
	soon := now.Add(devLeafLife - devLeafRenewal)
	for _, step := range []struct {
		when string
		at   time.Time
		urls []string
		want []string
	}{
		{"at first", now, []string{"https://localhost:8443", "https://localhost:8444"}, devFiles},
		{"again", now, []string{"https://localhost:8443", "https://localhost:8444"}, nil},
		{"after months", soon.Add(-time.Hour), []string{"https://localhost:8443"}, nil},
		{"other hosts", now, []string{"https://dev.example", "https://10.0.0.9:8444"}, devFiles[4:]},
		{"other hosts again", now, []string{"https://dev.example", "https://10.0.0.9:8444"}, nil},
		{"near the end", soon.Add(time.Hour), []string{"https://localhost:8443"}, devFiles[2:]},
	} {
		if made := open(step.at, step.urls...); !slices.Equal(made, step.want) {
			t.Errorf("%s: made %q, want %q", step.when, made, step.want)
		}
		for _, location := range step.urls {
			if err := good(t, dir, location, step.at); err != nil {
				t.Errorf("%s: %v", step.when, err)
			}
		}
	}
	for _, name := range devFiles {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || strings.HasSuffix(name, ".key") && info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.Remove(filepath.Join(dir, devAuthorityKeyFile)); err != nil {
		t.Fatal(err)
	}
	if made := open(now, "https://localhost:8443"); !slices.Equal(made, devFiles) {
		t.Errorf("after the authority's key was lost: made %q", made)
	}
	if err := os.WriteFile(filepath.Join(dir, devAuthorityKeyFile), []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := openDevCertificates(dir, now, "https://localhost:8443"); err == nil {
		t.Error("rubbish in the place of the authority's key was overwritten")
	}
}

// good tells whether the folder's certificates are those of a server at this URL, and of a client.
func good(t *testing.T, dir, location string, at time.Time) error {
	t.Helper()
	u, err := url.Parse(location)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(contents(t, dir)[devAuthorityFile]))
	server, err := tls.LoadX509KeyPair(filepath.Join(dir, devServerCertFile), filepath.Join(dir, devServerKeyFile))
	if err != nil {
		return err
	}
	client, err := tls.LoadX509KeyPair(filepath.Join(dir, devClientCertFile), filepath.Join(dir, devClientKeyFile))
	if err != nil {
		return err
	}
	_, err = server.Leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: u.Hostname(), CurrentTime: at})
	_, err2 := client.Leaf.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return errors.Join(err, err2)
}

// Where dev demands a certificate of every call, its banner has try show one.
func TestDevDemandsCertificates(t *testing.T) {
	state, port, alias := openFolder(t), freePort(t), freePort(t)
	r := startDev(t, port, "--tls", "--mtls-listen", "127.0.0.1:"+alias, "--state", state, "--require-client-certificate", "true")
	_, command, _ := strings.Cut(r.stdout.String(), "go run ./cmd/authserver ")
	args := strings.Fields(strings.ReplaceAll(command, `"`, ""))
	for _, name := range []string{"cc", "mtls", "jwt-bearer"} {
		if code, stdout, stderr := program(t, nil, append(args, "--flow", name)...); code != 0 {
			t.Errorf("%q: code %d: %s%s", args, code, stdout, stderr)
		}
	}
	if code, stdout, _ := program(t, nil, "try", "--issuer", "https://localhost:"+port, "--state", state); code != exitFailed ||
		!strings.Contains(stdout, "every call must come with a client certificate") {
		t.Errorf("without a certificate: code %d: %s", code, stdout)
	}
}

// dev --tls serves both listeners, and its banner says how to try them.
func TestDevTLS(t *testing.T) {
	state, port, alias := openFolder(t), freePort(t), freePort(t)
	r := startDev(t, port, "--tls", "--mtls-listen", "127.0.0.1:"+alias, "--state", state)
	r.issuer = "https://localhost:" + port
	_, command, found := strings.Cut(r.stdout.String(), "go run ./cmd/authserver ")
	if !found || !strings.Contains(r.stdout.String(), "mutual TLS  https://localhost:"+alias) {
		t.Fatal(r.stdout)
	}
	if want := `try --issuer ` + r.issuer + ` --state "` + state + `"` + "\n"; command != want {
		t.Errorf("next is %q, want %q", command, want)
	}
	r.try(state)
	code, stdout, stderr := program(t, nil, "doctor", "--state", state, "--mtls-listen", "127.0.0.1:"+alias, "--timeout", "60s")
	if code != 0 {
		t.Errorf("doctor: code %d: %s%s", code, stdout, stderr)
	}
	before := contents(t, state)
	if code := r.end(); code != 0 {
		t.Errorf("code %d: %s", code, r.stderr)
	}
	startDev(t, port, "--tls", "--mtls-listen", "127.0.0.1:"+alias, "--state", state).end()
	for name, text := range contents(t, state) {
		if text != before[name] {
			t.Errorf("%s was made again", name)
		}
	}
	startDev(t, port, "--tls", "--mtls-listen", "127.0.0.1:"+alias, "--state", state, "--reset")
	for name, text := range contents(t, state) {
		if text == before[name] {
			t.Errorf("--reset kept %s", name)
		}
	}
}
