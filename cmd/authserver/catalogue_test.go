package main

import (
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"authserver/internal/flow"
)

// attack is one case of the attack catalogue: hostile, or an accept control beside the hostile ones.
type attack struct {
	id  string
	run func(t *testing.T, d *deployment)
}

// deployments are those of sections that need another than three replicas as dev has them.
var deployments = map[string]func(t testing.TB) *deployment{
	"mutual TLS": func(t testing.TB) *deployment { return deployCertified(t, 3, toldOfCertificates) },
	"JWT bearer": func(t testing.TB) *deployment { return deploy(t, 3, withPayments) },
}

// alone are the sections that measure the whole process, or set its environment. The others run side by side: much of their
// time is spent waiting.
var alone = map[string]bool{"client assertions": true, "HTTP": true, "server-side requests": true}

// measuring are the cases of the others that measure the memory of the whole process.
var measuring = map[string]bool{"DR-17": true, "PR-22": true, "AZ-29": true, "KY-06": true}

// sideBySide lets sections play at the same time, except while one of them measures.
type sideBySide struct{ sync.RWMutex }

func (s *sideBySide) play(measures bool, what func()) {
	lock, unlock := s.RLock, s.RUnlock
	if measures {
		lock, unlock = s.Lock, s.Unlock
	}
	lock()
	defer unlock()
	what()
}

// TestCatalogue plays every case of the catalogue's sections against three replicas on one database, and fails when an id
// has no case. After each case the server must still serve the next good request (G9), must have written nothing that it
// must not (checkMustNots), and must have met no fault of its own, in the background either (G1).
func TestCatalogue(t *testing.T) {
	wanted := catalogueIDs(t)
	seen := map[string]bool{}
	var sections sideBySide
	for name, section := range map[string]func() []attack{
		"client assertions": attacksOnAssertions, "key sets": attacksOnKeySets, "server-side requests": attacksOnOutbound,
		"DPoP": attacksOnProofs, "client credentials": attacksOnGrants, "introspection and revocation": attacksOnIntrospection,
		"registration": attacksOnRegistration, "HTTP": attacksOnHTTP, "own keys": attacksOnKeys, "pushed requests": attacksOnPushes,
		"authorization codes": attacksOnCodes, "refresh tokens": attacksOnRefresh,
		"authorization endpoint": attacksOnAuthorization, "mutual TLS": attacksOnCertificates, "JWT bearer": attacksOnIssuers,
	} {
		for _, a := range section() {
			if seen[a.id] {
				t.Errorf("%s has two cases", a.id)
			}
			seen[a.id] = true
		}
		t.Run(name, func(t *testing.T) {
			if !alone[name] {
				t.Parallel()
			}
			var d *deployment
			var good *flow.Client
			sections.play(false, func() {
				if special := deployments[name]; special != nil {
					d = special(t)
				} else {
					d = deploy(t, 3, nil)
				}
				good = d.register(0)
			})
			for _, a := range section() {
				t.Run(a.id, func(t *testing.T) {
					sections.play(measuring[a.id], func() { a.run(t, d.within(t)) })
					outcome(t, do(t, good.Server, good.TokenRequest(nil)), "200")
					if written := d.checkMustNots(t); strings.Contains(written, `"level":"ERROR"`) {
						t.Errorf("G1: the log tells of a fault of ours:\n%s", written)
					}
				})
			}
		})
	}
	for _, id := range wanted {
		if !seen[id] {
			t.Errorf("%s has no case", id)
		}
		delete(seen, id)
	}
	for id := range seen {
		t.Errorf("%s is no id of the catalogue", id)
	}
}

func catalogueIDs(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("testdata/catalogue.txt")
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			ids = append(ids, line)
		}
	}
	if len(ids) < 240 {
		t.Fatalf("only %d ids", len(ids))
	}
	return ids
}

// within is the deployment under a subtest, whose failures are its own.
func (d *deployment) within(t *testing.T) *deployment {
	inner := *d
	inner.t = t
	return &inner
}

// expect plays one request and wants one of the outcomes.
func (d *deployment) expect(c *flow.Client, r *flow.Request, want ...string) *flow.Exchange {
	d.t.Helper()
	e := do(d.t, c.Server, r)
	outcome(d.t, e, want...)
	return e
}

// asserting is a token request with a bent assertion.
func asserting(c *flow.Client, edits ...flow.Edit) *flow.Request {
	r := c.TokenRequest(nil)
	r.Assertion = c.Assertion(edits...)
	return r
}

// proving is a token request with a bent proof.
func proving(c *flow.Client, edits ...flow.Edit) *flow.Request {
	r := c.TokenRequest(nil)
	r.Proof = c.Proof(http.MethodPost, r.URL, edits...)
	return r
}
