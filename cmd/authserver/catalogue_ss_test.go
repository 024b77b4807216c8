package main

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"authserver/internal/flow"
)

// attacksOnOutbound is the section SS: requests that a client makes this server send. Names are resolved by a name server
// of the test's own, so that the DNS rows run end to end.
func attacksOnOutbound() []attack {
	return []attack{
		{"SS-01", loopbackAddresses},
		{"SS-02", func(t *testing.T, d *deployment) {
			d.refusesURIs("http://169.254.169.254/latest/meta-data/", "https://169.254.169.254/latest/meta-data/", "https://[fd00:ec2::254]/latest/")
		}},
		{"SS-03", func(t *testing.T, d *deployment) {
			d.refusesURIs("https://[::1]:8443/jwks", "https://[::1]/jwks", "https://[0:0:0:0:0:0:0:1]/jwks", "https://[::]/jwks", "https://0.0.0.0/jwks")
		}},
		{"SS-04", func(t *testing.T, d *deployment) {
			d.refusesURIs("https://[::ffff:127.0.0.1]/jwks", "https://[::ffff:7f00:1]:8443/jwks", "https://[::127.0.0.1]/jwks", "https://[::ffff:10.0.0.5]/")
		}},
		{"SS-05", func(t *testing.T, d *deployment) {
			d.refusesURIs("https://2130706433/jwks", "https://0x7f.1/jwks", "https://0177.0.0.1/jwks", "https://127.1/jwks", "https://0x7f000001/",
				"https://127.0.0.1./jwks", "https://127%2e0%2e0%2e1/", "https://%31%32%37.0.0.1/", "https://１２７.0.0.1/", "https://127。0。0。1/")
		}},
		{"SS-06", func(t *testing.T, d *deployment) {
			d.refusesURIs("file:///etc/passwd", "file://localhost/etc/passwd", "data:application/json,{}", "ftp://client.example/jwks", "gopher://client.example/",
				"jar:https://client.example!/jwks", "//client.example/jwks", "/jwks", "client.example/jwks", "https:///jwks", "https:jwks", "javascript:alert(1)")
		}},
		{"SS-07", func(t *testing.T, d *deployment) {
			d.refusesURIs("http://public.example/jwks", "http://public.example:443/jwks", "HTTP://public.example/jwks")
		}},
		{"SS-08", privateAddressByName},
		{"SS-09", rebinding},
		{"SS-10", redirects},
		{"SS-11", func(t *testing.T, d *deployment) {
			d.refusesURIs("https://good.example@127.0.0.1/jwks", "https://good.example:443@127.0.0.1/jwks", "https://user@good.example/jwks",
				"https://@good.example/jwks", `https://good.example\@127.0.0.1/jwks`, "https://127.0.0.1#@good.example/", "https://good.example#@127.0.0.1/")
		}},
		{"SS-12", ports},
		{"SS-13", hostsThatNeverEnd},
		{"SS-14", compressedKeySets},
		{"SS-15", badCertificates},
		{"SS-16", ownHost},
		{"SS-17", endlessHeaders},
		{"SS-18", func(t *testing.T, d *deployment) {
			d.refusesURIs("https://[fd12::1]/", "https://[fe80::1%25eth0]/", "https://[64:ff9b::7f00:1]/", "https://[2002:7f00:1::]/", "https://[fe80::1]/",
				"https://[2606:2800:21f::1%25eth0]/", "https://[64:ff9b:1::1]/", "https://[2001:db8::1]/", "https://[ff02::1]/", "https://[2001::1]/", "https://[100::1]/")
		}},
		{"SS-19", specialAddressesByName},
		{"SS-20", otherURIs},
		{"SS-21", credentials},
	}
}

// production is a replica more on the same database, whose outbound requests are vetted as a deployment's: only dev lets
// key sets come from this machine.
func (d *deployment) production(edits ...func(*config)) *deployment {
	d.t.Helper()
	return d.alone(append(edits, func(c *config) { c.vetting.AllowLoopback = false })...)
}

// loopbackAddresses: refused at registration, and when they are fetched for a client that was registered under other rules.
func loopbackAddresses(t *testing.T, d *deployment) {
	c, h := d.publisher()
	d.refusesURIs("https://127.0.0.1/jwks", "https://127.0.0.1:8443/jwks", "https://127.255.255.254/jwks", "https://127.0.0.1:"+portOf(h.URL)+"/jwks", h.URL)
	d.logsWith(func() { d.unproven(d.production().at(c, 0)) }, "client key set not fetched", c.ID, "prohibited")
	h.unreached(t)
	d.proven(c)
}

// ports: two are open to key sets, and what is behind another one no answer tells: it is the same whether somebody listens
// there, nobody does, or the address was never dialled.
func ports(t *testing.T, d *deployment) {
	d.refusesURIs("https://public.example:5432/jwks", "https://public.example:6379/jwks", "https://public.example:80/", "https://public.example:0/",
		"https://public.example:65979/", "https://93.184.215.14:5432/jwks", "https://[2606:2800:21f::1]:22/")
	open, h := d.remote(serving("SSH-2.0-server"))
	closed, down := d.remote(nil)
	down.Close()
	prohibited, trap := d.remote(nil)
	var bodies []string
	for _, c := range []*flow.Client{open, closed, d.production().at(prohibited, 0)} {
		bodies = append(bodies, d.unproven(c).ResponseBody)
	}
	if bodies[0] != bodies[1] || bodies[0] != bodies[2] {
		t.Errorf("the answers differ: %q", bodies)
	}
	if h.requests.Load() == 0 {
		t.Error("the open port was not asked")
	}
	trap.unreached(t)
}

// refusesURIs wants every jwks_uri refused when a client registers and when it changes its registration, which stays as
// it was. Public ones, as the last two, pass: nothing is resolved or dialled here.
func (d *deployment) refusesURIs(uris ...string) {
	d.t.Helper()
	d = d.production()
	c := d.register(0)
	for _, uri := range uris {
		bent := metadata(c.Key, keysAt(uri))
		for _, r := range []*flow.Request{c.Server.RegisterRequest(bent), c.ManageRequest(http.MethodPut, bent)} {
			e := do(d.t, c.Server, r)
			outcome(d.t, e, "400 invalid_client_metadata")
			if !strings.HasPrefix(e.ErrorDescription(), "jwks_uri") {
				d.t.Errorf("%s: %s %s", uri, e.Outcome(), e.ErrorDescription())
			}
		}
	}
	d.proven(c)
	for _, uri := range []string{"https://public.example/jwks", "https://public.example:8443/jwks"} {
		d.register(0, keysAt(uri))
	}
}

func portOf(target string) string { return target[strings.LastIndexByte(target, ':')+1:] }

// named are clients whose hosts have the names that a name server answers for.
func (d *deployment) named(uris ...string) []*flow.Client {
	d.t.Helper()
	var clients []*flow.Client
	for _, uri := range uris {
		clients = append(clients, d.register(0, keysAt(uri)))
	}
	return clients
}

// resolvedBy makes a name server the one that fetches ask.
func resolvedBy(n *nameServer) func(*config) {
	return func(c *config) { c.vetting.Resolver = n.resolver() }
}

// allowing lists a range as an operator would.
func allowing(prefix string) func(*config) {
	return func(c *config) { c.vetting.AllowCIDRs = []netip.Prefix{netip.MustParsePrefix(prefix)} }
}

// refusedAtTheDial wants a client's host to be looked up and never dialled: the guard speaks between the two.
func (d *deployment) refusedAtTheDial(n *nameServer, c *flow.Client, name string) {
	d.t.Helper()
	before := n.lookups(name)
	d.logsWith(func() { d.unproven(c) }, "client key set not fetched", c.ID, "prohibited IP address")
	if n.lookups(name) == before {
		d.t.Errorf("%s was not looked up", name)
	}
}

func privateAddressByName(t *testing.T, d *deployment) {
	names := map[string][]string{"a.client.example": {"10.0.0.5"}, "b.client.example": {"192.168.1.1"}, "c.client.example": {"172.16.0.1"}, "d.client.example": {"10.0.0.5 192.168.0.1"}}
	n := newNameServer(t, names)
	d = d.production(resolvedBy(n))
	for name := range names {
		for _, port := range []string{"", ":8443"} {
			d.refusedAtTheDial(n, d.named("https://" + name + port + "/jwks")[0], name)
		}
	}
}

// secondLoopback listens on an address of this machine that is not 127.0.0.1.
func secondLoopback(t testing.TB, port string) net.Listener {
	t.Helper()
	for _, address := range []string{"127.0.0.2", "[::1]"} {
		if l, err := net.Listen("tcp", address+":"+port); err == nil {
			return l
		}
	}
	t.Fatal("this machine has one loopback address only")
	return nil
}

// rebinding: the name's first answer may be dialled (127.0.0.1, which the operator lists here, stands for a public
// address), the next one may not. Each dial is judged by the address that it goes to.
func rebinding(t *testing.T, d *deployment) {
	a := newAuthority(t)
	good := newTLSKeyHost(t, nil, a.issue(t, "ECDSA", "rebound.client.example", "both.client.example"), nil)
	l := secondLoopback(t, portOf(good.URL))
	inside := newTLSKeyHost(t, l, a.issue(t, "ECDSA", "rebound.client.example", "both.client.example"), serving("{}"))
	insideIP := l.Addr().(*net.TCPAddr).IP.String()
	n := newNameServer(t, map[string][]string{
		"rebound.client.example": {"127.0.0.1", insideIP},
		"both.client.example":    {insideIP + " 127.0.0.1"},
	})
	d = d.production(resolvedBy(n), trusting(a), allowing("127.0.0.1/32"))
	clients := d.named("https://rebound.client.example:"+portOf(good.URL)+"/jwks", "https://both.client.example:"+portOf(good.URL)+"/jwks")
	good.now(publishing(clients[0].Key.PublicJWK(), clients[1].Key.PublicJWK()))
	d.proven(clients[0])
	d.logsWith(func() { d.unproven(clients[0], flow.SetHeader("kid", "fetch again")) }, "client key set not fetched", clients[0].ID, "prohibited")
	d.proven(clients[0]) // by the set of the first answer
	d.expect(clients[1], clients[1].TokenRequest(nil), "200", "401 invalid_client")
	inside.unreached(t)
	if n.lookups("rebound.client.example") != 2 || n.lookups("both.client.example") == 0 {
		t.Errorf("asked for %v", n.asked)
	}
}

// specialAddressesByName walks the special-purpose registries, and ends at a host that is there to notice a connection.
func specialAddressesByName(t *testing.T, d *deployment) {
	names := map[string][]string{}
	for i, address := range []string{
		"100.64.0.5", "198.18.0.1", "192.0.0.192", "224.0.0.1", "255.255.255.255", "0.0.0.0", "127.0.0.1", "169.254.169.254",
		"192.0.2.1", "198.51.100.1", "203.0.113.1", "240.0.0.1", "192.88.99.1",
		"::1", "::", "fd12::1", "fe80::1", "ff02::1", "64:ff9b::7f00:1", "2002:7f00:1::", "::ffff:127.0.0.1", "::ffff:10.0.0.5", "2001:db8::1", "100::1",
	} {
		names[fmt.Sprintf("special-%d.client.example", i)] = []string{address}
	}
	l := loopback8443(t)
	names["trap.client.example"] = []string{l.Addr().(*net.TCPAddr).IP.String()}
	a, n := newAuthority(t), newNameServer(t, names)
	trap := newTLSKeyHost(t, l, a.issue(t, "ECDSA", "trap.client.example"), nil)
	guarded := d.production(resolvedBy(n), trusting(a))
	for name, address := range names {
		t.Run(address[0], func(t *testing.T) {
			d := guarded.within(t)
			d.refusedAtTheDial(n, d.named("https://" + name + ":8443/jwks")[0], name)
		})
	}
	trap.unreached(t)
	d = d.alone(resolvedBy(n), trusting(a)) // the same host, where its address may be dialled
	c := d.named("https://trap.client.example:8443/jwks")[0]
	trap.now(publishing(c.Key.PublicJWK()))
	d.proven(c)
}

// loopback8443 listens on a port that key sets may be on.
func loopback8443(t testing.TB) net.Listener {
	t.Helper()
	for _, address := range []string{"127.0.0.1", "127.0.0.2", "127.0.0.3", "[::1]"} {
		if l, err := net.Listen("tcp", address+":8443"); err == nil {
			return l
		}
	}
	t.Fatal("port 8443 is taken on every loopback address")
	return nil
}

// ownHost needs an issuer of the kind that deployments have.
func ownHost(t *testing.T, _ *deployment) {
	d := deploy(t, 1, func(s *settings) {
		s.Issuer, s.MTLSURL = "https://as.example", "https://mtls.as.example"
		s.ClientCertHeader, s.TrustedProxies = "Client-Cert", "192.0.2.0/24"
	})
	d.refusesURIs("https://localhost/jwks", "https://localhost:8443/jwks", "https://LOCALHOST/jwks", "https://localhost./jwks", "https://a.localhost/jwks",
		"https://as.example/admin", "https://as.example:443/oauth2/jwks", "https://AS.example/", "https://as.example./oauth2/jwks",
		"https://mtls.as.example/oauth2/jwks", "https://MTLS.as.example.:443/",
		"https://as/jwks", "https://postgres:8443/", "https://./jwks", "https://.../jwks")
}

// otherURIs: a client's other URIs are for browsers; this server fetches none of them, whatever happens.
func otherURIs(t *testing.T, d *deployment) {
	h := newTLSKeyHost(t, nil, newAuthority(t).issue(t, "ECDSA", "127.0.0.1"), serving("{}"))
	s := d.server(0)
	for _, member := range []string{"sector_identifier_uri", "initiate_login_uri", "tos_uri", "policy_uri", "logo_uri", "client_uri", "backchannel_logout_uri", "tos_uri#fr", "request_uris", "redirect_uris", "post_logout_redirect_uris"} {
		var value any = h.URL + "/fetched"
		if strings.HasSuffix(member, "uris") {
			value = []any{value}
		}
		k := key(t, "ES256")
		e := do(t, s, s.RegisterRequest(metadata(k, func(m map[string]any) { m[member] = value })))
		outcome(t, e, "201", "400 invalid_client_metadata", "400 invalid_redirect_uri")
		if e.Status == http.StatusCreated {
			c := &flow.Client{Server: s, Key: k, DPoPKey: key(t, "ES256")}
			c.ID, _ = e.JSON()["client_id"].(string)
			d.proven(c)
		}
	}
	// Nor is anything that an assertion's header names.
	c := d.register(0)
	for _, member := range []string{"jku", "x5u"} {
		e := do(t, c.Server, asserting(c, flow.SetHeader(member, h.URL+"/fetched")))
		outcome(t, e, "401 invalid_client")
	}
	h.unreached(t)
}
