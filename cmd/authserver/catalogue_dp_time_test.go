package main

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"authserver/internal/flow"
	"authserver/internal/oauth"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
)

// The clock rules of a proof, as the catalogue's policy has them.
const (
	proofAge      = 300 * time.Second // with a nonce
	plainProofAge = 60 * time.Second  // without
	nonceStep     = 150 * time.Second // a nonce is the current one for so long, and then the previous one
)

func attacksOnProofTimes() []attack {
	return []attack{
		{"DP-22", untimelyProofs},
		{"DP-23", func(t *testing.T, d *deployment) {
			for _, c := range d.everywhere(d.register(0)) {
				prove(t, c, tokenProof(c, timed(c, "iat", 8*time.Second)))
			}
		}},
		{"DP-24", replayedProofs},
		{"DP-25", func(t *testing.T, _ *deployment) {
			replayedLate(t, "required", proofAge)
			replayedLate(t, "off", plainProofAge)
		}},
	}
}

// untimelyProofs: DP-22, and on both sides of the limits: with a nonce, and where none is needed, without.
func untimelyProofs(t *testing.T, d *deployment) {
	for _, c := range d.everywhere(d.register(0)) {
		for _, offset := range []time.Duration{-time.Hour, 2 * time.Minute, -proofAge - 5*time.Second, 61 * time.Second} {
			proveNothing(t, c, oauth.ProofStale, tokenProof(c, timed(c, "iat", offset)))
		}
		for _, value := range []any{"1999999999", fmt.Sprint(c.Server.Now().Unix()), true, nil, []int64{c.Server.Now().Unix()}} {
			proveNothing(t, c, oauth.ProofClaims, tokenProof(c, flow.SetClaim("iat", value)))
		}
		prove(t, c, tokenProof(c, timed(c, "iat", -proofAge+5*time.Second)), tokenProof(c, timed(c, "iat", 10*time.Second)))
	}
	optional := deploy(t, 1, func(s *settings) { s.DPoPNonce = "optional" })
	c := optional.everywhere(optional.register(0))[0]
	proveNothing(t, c, oauth.ProofStale, tokenProof(c, timed(c, "iat", -plainProofAge-5*time.Second), flow.DropClaim("nonce")))
	prove(t, c, tokenProof(c, timed(c, "iat", -plainProofAge+5*time.Second), flow.DropClaim("nonce")),
		tokenProof(c, timed(c, "iat", -proofAge+5*time.Second)))
}

// replayedProofs: DP-24. The assertions are all fresh; the proof is worth one token, at whichever replica.
func replayedProofs(t *testing.T, d *deployment) {
	clients := d.everywhere(d.register(0))
	with := func(c *flow.Client, proof flow.Compact) *flow.Request {
		r := c.TokenRequest(nil)
		r.Proof = proof
		return r
	}
	proof := flow.Literal(compact(t, tokenProof(clients[0])))
	boundTo(t, once(t, clients[0], with(clients[0], proof)), clients[0].DPoPKey)
	for _, c := range clients {
		refusedFor(t, once(t, c, with(c, proof)), "400 invalid_dpop_proof", oauth.ProofReplayed)
	}
	fresh := flow.Literal(compact(t, tokenProof(clients[0])))
	got := atOnce(t, 50, func(i int) (*flow.Server, *flow.Request) {
		c := clients[i%len(clients)]
		return c.Server, with(c, fresh)
	})
	if diff := cmp.Diff(map[string]int{"200": 1, "400 invalid_dpop_proof": 49}, got); diff != "" {
		t.Error(diff)
	}
}

// replayedLate: DP-25. A proof is signed with a clock 9 s ahead, used, and used again in the last second in which its iat is
// still taken, after every replica was restarted and the sweeper has been. The proof of a twin, unused, shows that this
// second is that one.
func replayedLate(t *testing.T, policy string, age time.Duration) {
	t.Helper()
	d := deploy(t, 3, func(s *settings) { s.DPoPNonce = policy })
	// All this happens a while ago, so that it ends about now, by the database's clock: that is the one which sweeps.
	begin := time.Unix((time.Now().Unix()-int64(proofAge/time.Second))/150*150, 0)
	iat := begin.Add(9 * time.Second)
	c := d.register(0)
	// A replica whose clock is ahead hands out the next nonce: of all that are taken at the beginning, the one that lasts.
	d.clock.set(begin.Add(nonceStep))
	nonce := freshNonce(t, c)
	d.clock.set(begin)
	sign := func() flow.Compact {
		return flow.Literal(compact(t, tokenProof(c, flow.SetClaim("iat", iat.Unix()), flow.SetClaim("nonce", nonce))))
	}
	send := func(c *flow.Client, proof flow.Compact, moment time.Time) *flow.Exchange {
		r := c.TokenRequest(nil)
		r.Proof = proof
		d.clock.set(moment)
		return once(t, c, r)
	}
	used, stale := sign(), sign()
	boundTo(t, send(c, used, begin), c.DPoPKey)
	d.restart()
	if err := d.store.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	last := iat.Add(age - time.Second)
	for i := range d.replicas {
		c := d.at(c, i)
		refusedFor(t, send(c, used, last), "400 invalid_dpop_proof", oauth.ProofReplayed)
		boundTo(t, send(c, sign(), last), c.DPoPKey)
	}
	refusedFor(t, send(d.at(c, 0), stale, iat.Add(age+time.Second)), "400 invalid_dpop_proof", oauth.ProofStale)
}

// freshNonce is the nonce that a replica hands out now.
func freshNonce(t testing.TB, c *flow.Client) string {
	t.Helper()
	return once(t, c, c.TokenRequest(nil)).ResponseHeader.Get("DPoP-Nonce")
}

// under is a token request whose proof bears a nonce, whatever the client knows.
func under(c *flow.Client, nonce any) *flow.Request { return proving(c, flow.SetClaim("nonce", nonce)) }

func attacksOnNonces() []attack {
	return []attack{
		{"DP-28", func(t *testing.T, d *deployment) {
			for _, c := range d.everywhere(d.register(0)) {
				before := d.rows(t)
				e := once(t, c, proving(c, flow.DropClaim("nonce")))
				refusedFor(t, e, "400 use_dpop_nonce", oauth.NonceMissing)
				if nonces := e.ResponseHeader.Values("DPoP-Nonce"); len(nonces) != 1 || nonces[0] == "" {
					t.Errorf("DPoP-Nonce %q", nonces)
				}
				if diff := cmp.Diff(before, d.rows(t)); diff != "" {
					t.Error("something was kept:", diff)
				}
			}
		}},
		{"DP-29", func(t *testing.T, d *deployment) {
			retriedWithNonce(t, d)
			codeRetriedWithNonce(t, d)
		}},
		{"DP-30", func(t *testing.T, d *deployment) {
			other := deploy(t, 1, nil)
			foreign := freshNonce(t, other.register(0))
			c := d.everywhere(d.register(0))[0]
			for _, nonce := range []string{"5e897251a07beb5a", foreign, "", foreign + "A", "a nonce\n"} {
				r := under(c, nonce)
				r.Assertion = flow.Literal(compact(t, c.Assertion()))
				e := once(t, c, r)
				refusedFor(t, e, "400 use_dpop_nonce", oauth.NonceUnknown)
				r.Proof = tokenProof(c, flow.SetClaim("nonce", e.ResponseHeader.Get("DPoP-Nonce")))
				boundTo(t, once(t, c, r), c.DPoPKey)
			}
			proveNothing(t, c, oauth.NonceMalformed, tokenProof(c, flow.SetClaim("nonce", 7)))
		}},
		{"DP-31", oldNonces},
		{"DP-32", func(t *testing.T, d *deployment) {
			clients := d.everywhere(d.register(0))
			for _, from := range clients {
				nonce := freshNonce(t, from)
				for _, c := range clients {
					boundTo(t, once(t, c, under(c, nonce)), c.DPoPKey)
				}
			}
		}},
		{"DP-33", rollingRestart},
		{"DP-45", nonceIgnored},
	}
}

// retriedWithNonce: DP-29. A request for which a nonce was missing is sent again with it and the same assertion, to another
// replica; only then the assertion is used up.
func retriedWithNonce(t *testing.T, d *deployment) {
	clients := d.everywhere(d.register(0))
	for i, c := range clients {
		elsewhere := clients[(i+1)%len(clients)]
		assertion := flow.Literal(compact(t, c.Assertion()))
		r := proving(c, flow.DropClaim("nonce"))
		r.Assertion = assertion
		nonce := once(t, c, r).ResponseHeader.Get("DPoP-Nonce")
		r = under(elsewhere, nonce)
		r.Assertion = assertion
		boundTo(t, once(t, elsewhere, r), c.DPoPKey)
		r = under(c, nonce)
		r.Assertion = assertion
		refusedFor(t, once(t, c, r), "401 invalid_client", oauth.AssertionReplayed)
	}
}

// oldNonces: DP-31, from the first second of a nonce on, at every replica.
func oldNonces(t *testing.T, _ *deployment) {
	d := deploy(t, 3, nil)
	begin := time.Unix(time.Now().Unix()/150*150+150, 0)
	d.clock.set(begin)
	clients := d.everywhere(d.register(0))
	nonce := freshNonce(t, clients[0])
	for _, c := range clients {
		d.clock.set(begin.Add(2*nonceStep - 5*time.Second))
		boundTo(t, once(t, c, under(c, nonce)), c.DPoPKey)
		for _, age := range []time.Duration{2 * nonceStep, time.Hour} {
			d.clock.set(begin.Add(age))
			r := under(c, nonce)
			r.Assertion = flow.Literal(compact(t, c.Assertion()))
			e := once(t, c, r)
			refusedFor(t, e, "400 use_dpop_nonce", oauth.NonceUnknown)
			r.Proof = tokenProof(c, flow.SetClaim("nonce", e.ResponseHeader.Get("DPoP-Nonce")))
			boundTo(t, once(t, c, r), c.DPoPKey)
		}
	}
}

// rollingRestart: DP-33. New replicas take the old ones' places one by one; each kind takes the other's nonces.
func rollingRestart(t *testing.T, _ *deployment) {
	d := deploy(t, 3, nil)
	c := d.register(0)
	before := freshNonce(t, c)
	for old := range 3 {
		d.start()
		newest := len(d.replicas) - 1
		nonce := freshNonce(t, d.at(c, newest))
		d.stops[old]()
		for i := old + 1; i <= newest; i++ {
			c := d.at(c, i)
			boundTo(t, once(t, c, under(c, before)), c.DPoPKey)
			boundTo(t, once(t, c, under(c, nonce)), c.DPoPKey)
		}
	}
}

// nonceIgnored: DP-45, as a bounded burst. However often a nonce is asked for in vain, nothing is kept, and there are no
// more nonces than there are steps of the clock.
func nonceIgnored(t *testing.T, d *deployment) {
	clients := d.everywhere(d.register(0))
	before := d.rows(t)
	began := d.clock.now()
	handedOut := map[string]bool{}
	for range 200 {
		for _, c := range clients {
			e := once(t, c, proving(c, flow.DropClaim("nonce")))
			refusedFor(t, e, "400 use_dpop_nonce", oauth.NonceMissing)
			handedOut[e.ResponseHeader.Get("DPoP-Nonce")] = true
		}
	}
	if steps := int(d.clock.now().Unix()/150-began.Unix()/150) + 1; len(handedOut) > steps {
		t.Errorf("%d nonces in %d steps", len(handedOut), steps)
	}
	if diff := cmp.Diff(before, d.rows(t)); diff != "" {
		t.Error("something was kept:", diff)
	}
	for _, c := range clients {
		prove(t, c, tokenProof(c))
	}
}

// rows counts what every table of the database holds.
func (d *deployment) rows(t *testing.T) map[string]int {
	t.Helper()
	counts := map[string]int{}
	d.query(t, func(c *pgx.Conn) error {
		tables, err := c.Query(t.Context(), `SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'`)
		if err != nil {
			return err
		}
		names, err := pgx.CollectRows(tables, pgx.RowTo[string])
		for _, name := range names {
			var n int
			err = errors.Join(err, c.QueryRow(t.Context(), `SELECT count(*) FROM `+pgx.Identifier{name}.Sanitize()).Scan(&n))
			counts[name] = n
		}
		return err
	})
	if counts["client"] == 0 || counts["spent"] == 0 {
		t.Fatal("nothing is counted", counts)
	}
	return counts
}

// one asks the database for a single value.
func one[T any](t *testing.T, d *deployment, sql string, args ...any) (value T) {
	t.Helper()
	d.query(t, func(c *pgx.Conn) error { return c.QueryRow(t.Context(), sql, args...).Scan(&value) })
	return value
}

// query looks into the database from outside.
func (d *deployment) query(t *testing.T, ask func(c *pgx.Conn) error) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), d.url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context())
	if err := ask(c); err != nil {
		t.Fatal(err)
	}
}
