package storetest

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"authserver/internal/store/pglocal"
)

// Private is a PostgreSQL of one test's own, which may be stopped, killed and started again under the same URL.
type Private struct {
	t     testing.TB
	fast  bool
	place string // a short path, because a socket's may not be long
	pg    *pglocal.Server
}

// NewPrivate starts one. Fast: without fsync, for a test that kills nothing.
func NewPrivate(t testing.TB, fast bool) *Private {
	t.Helper()
	URL(t) // leaves the test out where PostgreSQL's binaries are missing
	place, err := os.MkdirTemp("", "pg")
	if err != nil {
		t.Fatal(err)
	}
	p := &Private{t: t, fast: fast, place: place}
	t.Cleanup(func() {
		_ = p.pg.Stop()
		_ = os.RemoveAll(place)
	})
	if err := os.Chmod(place, 0o711); err != nil { // PostgreSQL's account must pass
		t.Fatal(err)
	}
	p.Start()
	return p
}

func (p *Private) data() string { return filepath.Join(p.place, "data") }
func (p *Private) link() string { return filepath.Join(p.place, "s") }

// URL is the database "authserver". PostgreSQL's socket lies elsewhere after every start; a link follows it.
func (p *Private) URL() string {
	u := p.location()
	values := u.Query()
	values.Set("host", p.link())
	u.RawQuery = values.Encode()
	return u.String()
}

func (p *Private) location() *url.URL {
	p.t.Helper()
	u, err := url.Parse(p.pg.URL("authserver"))
	if err != nil {
		p.t.Fatal(err)
	}
	return u
}

// Start returns when PostgreSQL accepts connections.
func (p *Private) Start() {
	p.t.Helper()
	pg, err := pglocal.Start(p.t.Context(), pglocal.Options{Dir: p.data(), Fast: p.fast})
	if err != nil {
		p.t.Fatal(err)
	}
	p.pg = pg
	_ = os.Remove(p.link())
	if err := os.Symlink(p.location().Query().Get("host"), p.link()); err != nil {
		p.t.Fatal(err)
	}
}

// Stop shuts PostgreSQL down.
func (p *Private) Stop() {
	p.t.Helper()
	if err := p.pg.Stop(); err != nil {
		p.t.Fatal(err)
	}
}

// Kill ends PostgreSQL's first process with SIGKILL; its children notice and end too.
func (p *Private) Kill() {
	p.t.Helper()
	text, err := os.ReadFile(filepath.Join(p.data(), "cluster", "postmaster.pid"))
	if err != nil {
		p.t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(first)
	if err == nil && pid > 1 {
		err = syscall.Kill(pid, syscall.SIGKILL)
	}
	if err != nil || pid <= 1 {
		p.t.Fatal(fmt.Errorf("kill PostgreSQL, process %q: %w", first, err))
	}
	_ = p.pg.Stop() // which says that it had ended by itself
}
