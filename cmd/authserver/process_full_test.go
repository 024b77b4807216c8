//go:build full

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"authserver/internal/flow"
	"authserver/internal/store/storetest"
)

// process is a serve that runs as a process of its own, as an orchestrator would run it.
type process struct {
	*served
	command *exec.Cmd
	ended   chan error
}

// startProcess builds the program and runs serve.
func (p *production) startProcess(more ...string) *process {
	p.t.Helper()
	binary := filepath.Join(p.t.TempDir(), "authserver")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		p.t.Fatalf("%v: %s", err, out)
	}
	r := &process{served: &served{production: p, stdout: &lockedBuffer{}, stderr: &lockedBuffer{}}, ended: make(chan error, 1)}
	r.command = exec.Command(binary, "serve")
	r.command.Env, r.command.Stdout, r.command.Stderr = append(os.Environ(), p.with(more...)...), r.stdout, r.stderr
	if err := r.command.Start(); err != nil {
		p.t.Fatal(err)
	}
	go func() { r.ended <- r.command.Wait() }()
	p.t.Cleanup(func() { _ = r.command.Process.Kill() })
	eventually(p.t, "serve takes traffic", func() bool {
		code, _, _ := program(p.t, p.with(more...), "healthcheck")
		return code == 0
	})
	return r
}

// crowd is n clients' worth of token requests, each on a connection of its own, sent again and again while load is on.
type crowd struct {
	client   *flow.Client
	stop     atomic.Bool
	sent     atomic.Int64
	answered sync.Map // assertion → true, once the server has acknowledged it
	ok, late atomic.Int64
	failures sync.Map // what went wrong → true
	all      sync.WaitGroup
	first    chan struct{} // closed when every member has been answered once
}

func (p *process) crowd(n int) *crowd {
	p.t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: p.authority.pool()}, MaxIdleConnsPerHost: n, MaxConnsPerHost: n}
	server := &flow.Server{Issuer: p.issuer, HTTP: flow.NewHTTPClient(transport, time.Minute), Now: time.Now}
	if err := server.Discover(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
	k := key(p.t, "ES256")
	client, err := server.Register(p.t.Context(), server.RegisterRequest(metadata(k)), k, key(p.t, "ES256"))
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := client.Token(p.t.Context(), nil); err != nil { // from here on the nonce is known
		p.t.Fatal(err)
	}
	c := &crowd{client: client, first: make(chan struct{})}
	var begun sync.WaitGroup
	begun.Add(n)
	for range n {
		c.all.Go(func() {
			once := sync.OnceFunc(begun.Done)
			defer once()
			for !c.stop.Load() {
				c.ask()
				once()
			}
		})
	}
	go func() { begun.Wait(); close(c.first) }()
	return c
}

// ask sends one token request and keeps what became of it.
func (c *crowd) ask() {
	signed, err := c.client.Assertion()()
	if err != nil {
		c.failures.Store(err.Error(), true)
		return
	}
	request := c.client.TokenRequest(nil)
	request.Assertion = func() (string, error) { return signed, nil }
	c.sent.Add(1)
	e, err := c.client.Server.Do(context.Background(), request)
	switch {
	case err != nil:
		c.failures.Store(err.Error(), true)
	case e.Status == http.StatusOK:
		c.ok.Add(1)
		c.answered.Store(signed, true)
	case e.Status == http.StatusServiceUnavailable:
		c.late.Add(1)
	default:
		c.failures.Store(e.Outcome()+" "+e.ErrorDescription(), true)
	}
}

func (c *crowd) wait() {
	c.stop.Store(true)
	c.all.Wait()
}

// TestTermination: SIGTERM with 500 requests in flight. A load balancer that stops sending when the replica is not ready
// loses none, and the process ends within 25 s.
func TestTermination(t *testing.T) {
	p := newProduction(t, storetest.Empty(t))
	p.must("migrate", "up")
	r := p.startProcess("AUTHSERVER_REGISTRATION=open", "AUTHSERVER_DRAIN_DELAY=5s")
	c := r.crowd(500)
	<-c.first
	before := c.ok.Load()
	told := time.Now()
	if err := r.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the replica is not ready", func() bool {
		code, _, _ := program(t, p.environ, "healthcheck")
		return code == exitFailed
	})
	c.wait()
	err := <-r.ended
	took := time.Since(told)
	t.Logf("%d requests, %d of them after SIGTERM; the process ended after %s", c.sent.Load(), c.ok.Load()-before, took)
	if err != nil {
		t.Errorf("the process ended with %v: %s", err, r.stderr)
	}
	c.failures.Range(func(what, _ any) bool { t.Errorf("lost: %v", what); return true })
	if c.ok.Load() != c.sent.Load() || c.ok.Load() == before {
		t.Errorf("%d of %d requests were answered, %d of them after SIGTERM", c.ok.Load(), c.sent.Load(), c.ok.Load()-before)
	}
	if took > 25*time.Second {
		t.Errorf("the process took %s to end", took)
	}
}

// TestDatabaseKilled: kill -9 of PostgreSQL under load. Within 2 s the replica is not ready, within 3 s after PostgreSQL
// accepts again a request succeeds, and nothing that was acknowledged is forgotten: no assertion passes twice.
func TestDatabaseKilled(t *testing.T) {
	pg := storetest.NewPrivate(t, false)
	p := newProduction(t, pg.URL())
	p.must("migrate", "up")
	r := p.startProcess("AUTHSERVER_REGISTRATION=open")
	c := r.crowd(50)
	<-c.first
	pg.Kill()
	killed := time.Now()
	eventually(t, "the replica is not ready", func() bool {
		_, status := r.ready(t, "")
		return status == http.StatusServiceUnavailable
	})
	notReady := time.Since(killed)
	pg.Start()
	accepts, before := time.Now(), c.ok.Load()
	eventually(t, "a request succeeds", func() bool { return c.ok.Load() > before })
	recovered := time.Since(accepts)
	c.wait()
	t.Logf("not ready after %s; first success %s after PostgreSQL accepted; %d answered, %d told to come back", notReady, recovered, c.ok.Load(), c.late.Load())
	if notReady > 2*time.Second || recovered > 3*time.Second {
		t.Error("too late")
	}
	c.failures.Range(func(what, _ any) bool { t.Errorf("neither served nor told to come back: %v", what); return true })
	replayed := 0
	c.answered.Range(func(signed, _ any) bool {
		request := c.client.TokenRequest(nil)
		request.Assertion = func() (string, error) { return signed.(string), nil }
		e, err := c.client.Server.Do(t.Context(), request)
		if err = errors.Join(err); err != nil || e.Status == http.StatusOK {
			t.Errorf("an assertion that was acknowledged before: %v, %s", err, e.Outcome())
		}
		replayed++
		return replayed < 2000
	})
	if replayed == 0 || c.late.Load() == 0 {
		t.Errorf("%d assertions replayed, %d requests met the outage", replayed, c.late.Load())
	}
}
