package client

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"testing"

	"code.dny.dev/ssrf"

	"authserver/internal/oauth"
)

// The three kinds of deployment.
var (
	production = Vetting{Own: []string{issuer, "https://mtls.as.example:8443"}}
	inHouse    = Vetting{Own: []string{issuer}, AllowCIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd12::/16")}}
	laptop     = Vetting{Own: []string{"http://localhost:8080", ""}, AllowLoopback: true}
)

func TestCheckURI(t *testing.T) {
	const yes, no = true, false
	tests := []struct {
		name, uri                   string
		production, inHouse, laptop bool
	}{
		{"a public name", "https://public.example/jwks", yes, yes, yes},
		{"its port", "https://public.example:443/jwks", yes, yes, yes},
		{"the other port", "https://public.example:8443/jwks?a=b", yes, yes, yes},
		{"a name in capitals with a final dot", "HTTPS://Public.Example./jwks", yes, yes, yes},
		{"a public IPv4 address", "https://93.184.216.34/jwks", yes, yes, yes},
		{"a public IPv6 address", "https://[2606:2800:220:1::1]:8443/jwks", yes, yes, yes},
		{"seed 001", "https://www.jsonkeeper.com/b/3FJT", yes, yes, yes},

		{"SS-01 loopback", "https://127.0.0.1/jwks", no, no, yes},
		{"SS-01 loopback elsewhere", "https://127.8.9.1:9000/jwks", no, no, yes},
		{"SS-01 loopback over http", "http://127.0.0.1:9000/jwks", no, no, yes},
		{"SS-02 link-local over http", "http://169.254.169.254/latest/meta-data/", no, no, no},
		{"SS-02 link-local", "https://169.254.169.254/latest/meta-data/", no, no, no},
		{"SS-03 IPv6 loopback", "https://[::1]:8443/jwks", no, no, yes},
		{"SS-04 mapped loopback", "https://[::ffff:127.0.0.1]/jwks", no, no, yes},
		{"SS-04 mapped private", "https://[::ffff:192.168.0.1]/jwks", no, no, no},
		{"SS-05 decimal", "https://2130706433/jwks", no, no, no},
		{"SS-05 hexadecimal", "https://0x7f.1/jwks", no, no, no},
		{"SS-05 hexadecimal at the end", "https://127.0.0.0x1/jwks", no, no, no},
		{"SS-05 octal", "https://0177.0.0.1/jwks", no, no, no},
		{"SS-05 short", "https://127.1/jwks", no, no, no},
		{"SS-05 short with a final dot", "https://127.1./jwks", no, no, no},
		{"SS-06 file", "file:///etc/passwd", no, no, no},
		{"SS-06 file with a host", "file://public.example/etc/passwd", no, no, no},
		{"SS-06 data", "data:application/json,{}", no, no, no},
		{"SS-06 ftp", "ftp://public.example/jwks", no, no, no},
		{"SS-06 loopback by another scheme", "ftp://127.0.0.1/jwks", no, no, no},
		{"SS-07 http", "http://public.example/jwks", no, no, no},
		{"SS-11 user name", "https://good.example@127.0.0.1/jwks", no, no, no},
		{"SS-11 user name before a public host", "https://user:pw@public.example/jwks", no, no, no},
		{"SS-11 empty user name", "https://@public.example/jwks", no, no, no},
		// A name may resolve into the listed range, where every port will do; what it resolves to is judged at the dial.
		{"SS-12 the port of PostgreSQL", "https://public.example:5432/jwks", no, yes, no},
		{"SS-12 the port of Redis", "https://public.example:6379/jwks", no, yes, no},
		{"SS-12 on a public address", "https://93.184.216.34:5432/jwks", no, no, no},
		{"SS-12 port 80", "https://93.184.216.34:80/jwks", no, no, no},
		{"SS-16 localhost", "https://localhost/jwks", no, no, yes},
		{"SS-16 localhost in capitals with a final dot", "https://LocalHost./jwks", no, no, yes},
		{"SS-16 below localhost", "https://a.localhost:8443/jwks", no, no, yes},
		{"SS-16 a name without a dot", "https://intranet/jwks", no, no, no},
		{"SS-16 our own host", "https://as.example/admin", no, no, yes},
		{"SS-16 our own host with its port", "https://AS.Example:443/admin", no, no, yes},
		{"SS-16 our own host with a final dot", "https://as.example./admin", no, no, yes},
		{"SS-16 our host of mutual TLS", "https://mtls.as.example:8443/oauth2/jwks", no, yes, yes},
		{"SS-16 our host of mutual TLS on another port", "https://mtls.as.example/oauth2/jwks", yes, yes, yes},
		{"SS-16 ourselves on a laptop", "http://localhost:8080/oauth2/jwks", no, no, no},
		{"SS-16 ourselves on a laptop with a final dot", "http://localhost.:8080/oauth2/jwks", no, no, no},
		{"SS-18 unique local", "https://[fd12::1]/jwks", no, yes, no},
		{"SS-18 unique local on another port", "https://[fd12::1]:9000/jwks", no, yes, no},
		{"SS-18 link-local with a zone", "https://[fe80::1%25eth0]/jwks", no, no, no},
		{"SS-18 listed range with a zone", "https://[fd12::1%25eth0]/jwks", no, no, no},
		{"SS-18 NAT64", "https://[64:ff9b::7f00:1]/jwks", no, no, no},
		{"SS-18 6to4", "https://[2002:7f00:1::]/jwks", no, no, no},
		{"SS-18 unspecified", "https://[::]/jwks", no, no, no},
		{"SS-18 documentation", "https://[2001:db8::1]/jwks", no, no, no},
		{"SS-19 private", "https://10.0.0.5/jwks", no, yes, no},
		{"SS-19 private on another port", "https://10.0.0.5:9000/jwks", no, yes, no},
		{"SS-19 private over http", "http://10.0.0.5/jwks", no, no, no},
		{"SS-19 private, not listed", "https://192.168.1.1/jwks", no, no, no},
		{"SS-19 shared", "https://100.64.0.5/jwks", no, no, no},
		{"SS-19 benchmarks", "https://198.18.0.1/jwks", no, no, no},
		{"SS-19 protocol assignments", "https://192.0.0.192/jwks", no, no, no},
		{"SS-19 multicast", "https://224.0.0.1/jwks", no, no, no},
		{"SS-19 broadcast", "https://255.255.255.255/jwks", no, no, no},
		{"SS-19 this network", "https://0.0.0.0/jwks", no, no, no},
		{"fragment", "https://public.example/jwks#a", no, no, no},
		{"empty fragment", "https://public.example/jwks#", no, no, no},
		{"empty", "", no, no, no},
		{"relative", "/jwks", no, no, no},
		{"no host", "https:///jwks", no, no, no},
		{"only a port", "https://:443/jwks", no, no, no},
		{"opaque", "https:public.example/jwks", no, no, no},
		{"no URL", "https://public.example:port/jwks", no, no, no},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for name, deployment := range map[string]struct {
				vetting Vetting
				want    bool
			}{"production": {production, test.production}, "in-house": {inHouse, test.inHouse}, "laptop": {laptop, test.laptop}} {
				err := deployment.vetting.CheckURI(test.uri)
				if (err == nil) != deployment.want {
					t.Errorf("%s: %s: %v", name, test.uri, err)
				}
				if err != nil && err.Error() != oauth.Printable(err.Error()) {
					t.Errorf("%s: the sentence is not fit for a description: %s", name, err)
				}
			}
		})
	}
}

// SS-16: our own host is ours whether its port is spelled or not.
func TestOwnPort(t *testing.T) {
	own := Vetting{Own: []string{"http://localhost"}, AllowLoopback: true}
	for uri, want := range map[string]bool{
		"http://localhost/jwks": false, "http://localhost:80/jwks": false, "https://localhost:80/jwks": false, "https://localhost/jwks": true, "http://localhost:81/jwks": true,
	} {
		if err := own.CheckURI(uri); (err == nil) != want {
			t.Errorf("SS-16 %s: %v", uri, err)
		}
	}
}

// SS-08, SS-09, SS-19: what is dialled is judged by its address at the moment of dialling, whatever name led there.
func TestDialGuard(t *testing.T) {
	tests := []struct {
		name, address string
		vetting       Vetting
		want          error
	}{
		{"SS-01", "127.0.0.1:443", production, ssrf.ErrProhibitedIP},
		{"SS-03", "[::1]:443", production, ssrf.ErrProhibitedIP},
		{"SS-04", "[::ffff:127.0.0.1]:443", production, ssrf.ErrProhibitedIP},
		{"SS-08 a name of a private address", "localhost:443", production, ssrf.ErrProhibitedIP},
		{"SS-08 a private address beside a listed range", "192.168.0.1:443", inHouse, ssrf.ErrProhibitedIP},
		{"SS-12", "93.184.216.34:5432", production, ssrf.ErrProhibitedPort},
		{"SS-12 http", "93.184.216.34:80", production, ssrf.ErrProhibitedPort},
		{"SS-12 outside a listed range", "93.184.216.34:5432", inHouse, ssrf.ErrProhibitedPort},
		{"SS-12 on a laptop", "93.184.216.34:5432", laptop, ssrf.ErrProhibitedPort},
		{"SS-18 unique local", "[fd12::1]:443", production, ssrf.ErrProhibitedIP},
		{"SS-18 link-local", "[fe80::1%lo]:443", production, ssrf.ErrProhibitedIP},
		{"SS-18 NAT64", "[64:ff9b::7f00:1]:443", production, ssrf.ErrProhibitedIP},
		{"SS-18 6to4", "[2002:7f00:1::]:443", production, ssrf.ErrProhibitedIP},
		{"SS-19 private", "10.0.0.5:443", production, ssrf.ErrProhibitedIP},
		{"SS-19 private on a laptop", "10.0.0.5:443", laptop, ssrf.ErrProhibitedIP},
		{"SS-19 shared", "100.64.0.5:443", production, ssrf.ErrProhibitedIP},
		{"SS-19 link-local", "169.254.169.254:443", production, ssrf.ErrProhibitedIP},
		{"SS-19 benchmarks", "198.18.0.1:443", production, ssrf.ErrProhibitedIP},
		{"SS-19 protocol assignments", "192.0.0.192:443", production, ssrf.ErrProhibitedIP},
		{"SS-19 multicast", "224.0.0.1:443", production, ssrf.ErrProhibitedIP},
		{"SS-19 broadcast", "255.255.255.255:443", production, ssrf.ErrProhibitedIP},
		{"SS-19 this network", "0.0.0.0:443", production, ssrf.ErrProhibitedIP},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			conn, err := NewFetcher(test.vetting).http.Transport.(*http.Transport).DialContext(t.Context(), "tcp", test.address)
			if err == nil {
				conn.Close()
			}
			if !errors.Is(err, test.want) {
				t.Errorf("%v, want %v", err, test.want)
			}
		})
	}
}

// TestRefusedAddressIsNotDialled counts what arrives: nothing, unless the operator made an exception.
func TestRefusedAddressIsNotDialled(t *testing.T) {
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	for _, test := range []struct {
		name    string
		vetting Vetting
		host    string
		want    int64
	}{
		{"SS-01", production, "127.0.0.1", 0},
		{"SS-08 SS-16 by name", production, "localhost", 0},
		{"SS-01 another range is listed", inHouse, "127.0.0.1", 0},
		{"the range is listed", Vetting{Own: []string{issuer}, AllowCIDRs: loopback}, "127.0.0.1", 1},
		{"a laptop", laptop, "127.0.0.1", 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			var arrived atomic.Int64
			last := make(chan struct{})
			go func() {
				for {
					conn, err := listener.Accept()
					if err != nil {
						return
					}
					first := make([]byte, 1)
					if n, _ := conn.Read(first); n == 1 && first[0] == '!' {
						close(last)
						return
					}
					arrived.Add(1)
					conn.Close()
				}
			}()
			_, port, _ := net.SplitHostPort(listener.Addr().String())
			f := NewFetcher(test.vetting)
			if _, err := f.fetch(context.Background(), "https://"+net.JoinHostPort(test.host, port)+"/jwks", false); err == nil {
				t.Error("what is no TLS server gave a key set")
			}
			// Connections arrive in their order, so behind our own there is nothing.
			own, err := net.Dial("tcp", listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer own.Close()
			if _, err := own.Write([]byte("!")); err != nil {
				t.Fatal(err)
			}
			<-last
			if got := arrived.Load(); got != test.want {
				t.Errorf("%d connections arrived, want %d", got, test.want)
			}
		})
	}
}
