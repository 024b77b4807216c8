package server_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"authserver/internal/oauth"
)

// Who the client is: the connection's peer, unless that is a trusted proxy; then the rightmost address that is none. What
// stands left of it the client may have written.
func TestClientBehindProxies(t *testing.T) {
	const proxy, client, forged = "10.0.0.1:1234", "203.0.113.7", "198.51.100.1"
	for name, test := range map[string]struct {
		remote  string
		forward []string // X-Forwarded-For, field by field
		want    string
	}{
		"one proxy":                           {proxy, []string{client}, client},
		"two proxies":                         {proxy, []string{client + ", 10.0.0.2"}, client},
		"two proxies, each with a field":      {proxy, []string{client, "10.0.0.2"}, client},
		"a proxy over IPv6":                   {"[fd00::1]:1234", []string{client}, client},
		"a client over IPv6 is its /64":       {proxy, []string{"2001:db8:1:2:3::4"}, "2001:db8:1:2::/64"},
		"an IPv4 address in IPv6":             {proxy, []string{"::ffff:" + client}, client},
		"spaces":                              {proxy, []string{"  " + client + " ,\t10.0.0.2 "}, client},
		"a zone does not make another client": {proxy, []string{"fe80::1%a"}, "fe80::/64"},

		"DR-16 no proxy: the header is ignored":        {client + ":1234", []string{forged}, client},
		"DR-16 no proxy: it may not name one either":   {client + ":1234", []string{forged + ", 10.0.0.1"}, client},
		"DR-16 the client forges an entry":             {proxy, []string{forged + ", " + client}, client},
		"DR-16 the client forges a whole chain":        {proxy, []string{forged + ", 10.0.0.2, " + client}, client},
		"DR-16 the client forges a field":              {proxy, []string{forged, client}, client},
		"DR-16 the client forges a proxy":              {proxy, []string{"10.0.0.3, " + client}, client},
		"DR-16 the client forges a proxy in IPv6":      {proxy, []string{forged + ", ::ffff:10.0.0.3, " + client}, client},
		"DR-16 the client forges rubbish":              {proxy, []string{"rubbish, " + client}, client},
		"rubbish from a proxy: the proxy that we know": {proxy, []string{client + ", rubbish"}, "10.0.0.1"},
		"rubbish before a proxy's entry":               {proxy, []string{client + ", rubbish, 10.0.0.2"}, "10.0.0.1"},
		"a port is rubbish":                            {proxy, []string{client + ":1234"}, "10.0.0.1"},
		"a name is rubbish":                            {proxy, []string{"unknown"}, "10.0.0.1"},
		"no header":                                    {proxy, nil, "10.0.0.1"},
		"an empty header":                              {proxy, []string{""}, "10.0.0.1"},
		"commas alone":                                 {proxy, []string{",,"}, "10.0.0.1"},
		"a chain of proxies alone":                     {proxy, []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.1"},
		"the edge of the range":                        {"10.0.255.255:1", []string{client}, client},
		"beyond the range":                             {"10.1.0.0:1", []string{client}, "10.1.0.0"},
		"an IPv4 peer in IPv6":                         {"[::ffff:10.0.0.1]:1234", []string{client}, client},
		"a peer that is no address":                    {"@", []string{client}, "@"},
	} {
		t.Run(name, func(t *testing.T) {
			var got string
			s, log := answering(func(_ http.ResponseWriter, r *http.Request) error { got = oauth.Peer(r); return nil })
			s.Proxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16"), netip.MustParsePrefix("fd00::/8")}
			r := httptest.NewRequest(http.MethodGet, "/demo/accounts", nil)
			r.RemoteAddr = test.remote
			r.Header["X-Forwarded-For"] = test.forward
			for _, other := range []string{"X-Real-Ip", "True-Client-Ip", "Cf-Connecting-Ip"} {
				r.Header.Set(other, "198.51.100.99")
			}
			r.Header.Set("Forwarded", "for=198.51.100.99")
			s.Handler().ServeHTTP(httptest.NewRecorder(), r)
			if logged := only(t, log)["peer"]; got != test.want || logged != test.want {
				t.Errorf("handlers see %s, the log %s, want %s", got, logged, test.want)
			}
			if r.RemoteAddr != test.remote {
				t.Errorf("the request was changed: %s", r.RemoteAddr)
			}
		})
	}
}

// Without trusted proxies nobody's header is believed.
func TestNoProxies(t *testing.T) {
	s, log := answering(func(http.ResponseWriter, *http.Request) error { return nil })
	r := httptest.NewRequest(http.MethodGet, "/demo/accounts", nil)
	r.RemoteAddr = "127.0.0.1:1234"
	r.Header.Set("X-Forwarded-For", "198.51.100.1")
	s.Handler().ServeHTTP(httptest.NewRecorder(), r)
	if peer := only(t, log)["peer"]; peer != "127.0.0.1" {
		t.Errorf("%v", peer)
	}
}
