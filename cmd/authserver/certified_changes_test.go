package main

import (
	"net/http"
	"testing"

	"authserver/internal/client"
	"authserver/internal/flow"
	"authserver/internal/oauth"
)

// What of its certificate a client registers is known everywhere from its commit on: at replicas that have the record in
// memory, at every endpoint, and for a method that is given up.
func TestCertificateChanges(t *testing.T) {
	t.Parallel()
	d := deployCertified(t, 3, nil)
	old, next := d.vouched("of old"), d.vouched("the next")
	c := d.certified(0, old, recipient)
	own := func(by *flow.Client, access string) []*flow.Request {
		return []*flow.Request{by.TokenRequest(nil), by.IntrospectRequest(access), by.RevokeRequest("unknown"),
			by.PushRequest(pushable())}
	}
	access := certifiedBy(t, d.expect(c, c.TokenRequest(nil), "200"), old)
	for i := range d.replicas { // which have the record in memory then
		moved := d.at(c, i)
		for _, r := range own(moved, access) {
			outcome(t, do(t, moved.Server, r), "200", "201")
		}
	}
	for _, step := range []struct {
		name    string
		edit    func(map[string]any)
		is, was bool // whether the next certificate proves the client then, and the old one
	}{
		{"another subject", bySubject(next), true, false},
		{"its own certificate", bySelf(old), false, true},
		{"by assertion", changes{"token_endpoint_auth_method": client.PrivateKeyJWT}.apply, false, false},
		{"the first again", bySubject(old), false, true},
	} {
		changed(t, c, boundToCertificate, step.edit)
		for i := range d.replicas {
			for shown, proves := range map[*flow.Client]bool{d.with(c, i, next): step.is, d.with(c, i, old): step.was} {
				for _, r := range own(shown, access) {
					e := do(t, shown.Server, r)
					if taken := e.Status < 300; taken != proves || !taken && reasonOf(e) != oauth.ClientNotProven {
						t.Errorf("%s, at replica %d, %s: %s (%s)", step.name, i, r.URL, e.Outcome(), reasonOf(e))
					}
				}
			}
		}
	}
	outcome(t, do(t, c.Server, c.ManageRequest(http.MethodDelete, nil)), "204")
	for i := range d.replicas {
		moved := d.with(c, i, old)
		for _, r := range own(moved, access) {
			refusedFor(t, do(t, moved.Server, r), "401 invalid_client", oauth.ClientNotProven)
		}
		refusedFor(t, do(t, moved.Server, moved.Present(accounts(moved), access)), "401 invalid_token", oauth.TokenRevoked)
	}
	d.certified(1, old) // the name of a deleted client is free
}
