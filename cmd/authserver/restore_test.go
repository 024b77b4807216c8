package main

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"authserver/internal/flow"
	"authserver/internal/oauth"
	"authserver/internal/store/pglocal"
	"authserver/internal/store/storetest"
)

// TestRestore: a backup, restored as UPGRADING.md says, has the clients, the keys, the tokens and the memory of what was used.
func TestRestore(t *testing.T) {
	migrating, serving := serveRoles(t, storetest.Empty(t))
	p := newProduction(t, migrating)
	p.must("migrate", "up")
	p.environ = p.with("AUTHSERVER_DATABASE_URL="+serving, "AUTHSERVER_REGISTRATION=open")
	s := p.start()
	server := s.server()
	k := key(t, "ES256")
	c, err := server.Register(t.Context(), server.RegisterRequest(metadata(k)), k, key(t, "ES256"))
	if err != nil {
		t.Fatal(err)
	}
	token, err := c.Token(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	revoked, err := c.Token(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	outcome(t, do(t, server, c.RevokeRequest(revoked.AccessToken)), "200")
	used := c.TokenRequest(nil)
	signed := compact(t, used.Assertion)
	used.Assertion = func() (string, error) { return signed, nil }
	outcome(t, do(t, server, used), "200")
	keysBefore := do(t, server, &flow.Request{Method: http.MethodGet, URL: server.Metadata.JWKSURI}).ResponseBody
	s.end()

	backup := filepath.Join(t.TempDir(), "backup")
	postgres(t, "pg_dump", "--format=custom", "--file="+backup, "--dbname="+storetest.As(t, "authserver", serving))
	migrating, serving = serveRoles(t, storetest.Empty(t))
	postgres(t, "pg_restore", "--exit-on-error", "--no-owner", "--no-privileges", "--dbname="+migrating, backup)
	p.environ = p.with("AUTHSERVER_DATABASE_URL=" + serving)
	p.start()
	outcome(t, do(t, server, c.TokenRequest(nil)), "200")
	refusedFor(t, do(t, server, used), "401 invalid_client", oauth.AssertionReplayed)
	for compact, want := range map[string]bool{token.AccessToken: true, revoked.AccessToken: false} {
		if got := do(t, server, c.IntrospectRequest(compact)).JSON()["active"]; got != want {
			t.Errorf("active %v, want %v", got, want)
		}
	}
	if after := do(t, server, &flow.Request{Method: http.MethodGet, URL: server.Metadata.JWKSURI}).ResponseBody; after != keysBefore {
		t.Errorf("the key set was %s, is %s", keysBefore, after)
	}
}

// postgres runs one of PostgreSQL's programs.
func postgres(t *testing.T, program string, args ...string) {
	t.Helper()
	bin, err := pglocal.Find()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(filepath.Join(bin, program), args...)
	command.Env = os.Environ()
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", program, err, out)
	}
}
