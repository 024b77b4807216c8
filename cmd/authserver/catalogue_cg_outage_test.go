package main

import (
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"authserver/internal/flow"
	"authserver/internal/oauth"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// cutter stands between a replica and PostgreSQL, and ends a connection where it is told to.
type cutter struct {
	network, address string // PostgreSQL's
	armed            atomic.Pointer[cut]
}

// cut is a place in the next transaction: one of its statements, of which BEGIN is the first. The connection ends before
// the statement has left, or behind it, when PostgreSQL has done what it says and the answer is on its way.
type cut struct {
	statement int
	behind    bool
}

// newCutter listens, and returns the URL of the same database by way of it.
func newCutter(t *testing.T, database string) (c *cutter, through string) {
	t.Helper()
	config, err := pgx.ParseConfig(database)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	c = &cutter{}
	c.network, c.address = pgconn.NetworkAddress(config.Host, config.Port)
	go func() {
		for client, err := listener.Accept(); err == nil; client, err = listener.Accept() {
			go c.carry(client)
		}
	}()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	query.Set("host", "127.0.0.1")
	query.Set("port", fmt.Sprint(listener.Addr().(*net.TCPAddr).Port))
	u.RawQuery = query.Encode()
	return c, u.String()
}

// carry carries one connection until it ends, or is cut.
func (c *cutter) carry(client net.Conn) {
	defer client.Close()
	server, err := net.Dial(c.network, c.address)
	if err != nil {
		return
	}
	defer server.Close()
	var deaf atomic.Bool // nothing that PostgreSQL still says is carried
	go func() {
		defer client.Close()
		answer := make([]byte, 64<<10)
		for n, err := server.Read(answer); err == nil && !deaf.Load(); n, err = server.Read(answer) {
			if _, err := client.Write(answer[:n]); err != nil {
				return
			}
		}
	}()
	var under *cut
	statement, message := 0, make([]byte, 64<<10)
	for n, err := client.Read(message); err == nil; n, err = client.Read(message) {
		switch kind := message[0]; { // of the first message, if there are more: pgx waits for every answer
		case kind == 'Q' && strings.Contains(string(message[:n]), "begin"):
			under, statement = c.armed.Swap(nil), 1
		case kind == 'Q', kind == 'B': // what has no parameters is sent as it is, what is prepared is bound to be done
			statement++
		}
		if under != nil && statement == under.statement {
			if !under.behind {
				return
			}
			deaf.Store(true)
		}
		if _, err := server.Write(message[:n]); err != nil {
			return
		}
	}
}

// databaseLostDuringRedemption: CG-15, at each statement of the redemption, before it and behind it, five times. Whoever
// got no answer asks again: either nothing has happened, and there are tokens, or the code is used up, and its grant ends.
func databaseLostDuringRedemption(t *testing.T, _ *deployment) {
	d := deploy(t, 1, nil)
	cutter, through := newCutter(t, d.url)
	direct := d.url
	d.url = through
	d.start()
	d.url = direct
	clients := d.everywhere(d.recipient(0))
	b, guard := flow.NewBrowser(clients[0].Server), d.resourceServerAt(0)
	const statements, commit = 6, 6 // BEGIN, the code and its grant are locked, the code is spent, the grant is changed, its history, COMMIT
	played := 0
	for statement := 1; statement <= statements; statement++ {
		for _, behind := range []bool{false, true} {
			for range 5 {
				a := ask(t, clients[0])
				code := a.codeIn(b)
				cutter.armed.Store(&cut{statement, behind})
				e, err := clients[1].Server.Send(t.Context(), a.by(clients[1]).redemption(code))
				if err != nil {
					t.Fatal(err)
				}
				if e.Outcome() != "503 temporarily_unavailable" || e.ResponseHeader.Get("Retry-After") == "" || inside.MatchString(e.ResponseBody) {
					t.Errorf("cut at %d, behind %t: %s %s", statement, behind, e.Outcome(), e.ResponseBody)
				}
				again := do(t, clients[played%2].Server, a.by(clients[played%2]).redemption(code))
				if played++; statement == commit && behind {
					refusedFor(t, again, "400 invalid_grant", oauth.CodeReplayed)
					continue
				}
				outcome(t, again, "200")
				if introspected(t, guard, issued(again).Compact)["active"] != true {
					t.Errorf("cut at %d, behind %t: the token that was issued is not active", statement, behind)
				}
			}
		}
	}
	if n := one[int](t, d, `SELECT count(*)::int FROM authorization_grant WHERE refresh_token IS NOT NULL`); n != played || played != 60 {
		t.Errorf("%d rounds, and %d grants have a refresh token", played, n)
	}
	if n := one[int](t, d, `SELECT count(*)::int FROM authorization_grant WHERE revoked_at IS NOT NULL`); n != 5 {
		t.Errorf("%d grants were revoked", n)
	}
}
