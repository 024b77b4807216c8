package dpop

import (
	"net/url"
	"strings"
	"testing"
)

func TestSameURL(t *testing.T) {
	const endpoint = "https://as.example/oauth2/token"
	tests := []struct {
		name, htu, endpoint string
		want                bool
	}{
		{"the same", endpoint, endpoint, true},
		{"DP-15 query", endpoint + "?x=1", endpoint, true},
		{"DP-15 fragment", endpoint + "#f", endpoint, true},
		{"DP-15 both", endpoint + "?x=1#f?g", endpoint, true},
		{"DP-15 empty query and fragment", endpoint + "?#", endpoint, true},
		{"DP-15 a query that is no URI", endpoint + `?x="{é`, endpoint, true},
		{"DP-15 a query of ours", endpoint, endpoint + "?x=1", true},
		{"DP-16 host in capitals", "https://AS.Example/oauth2/token", endpoint, true},
		{"DP-16 scheme in capitals", "HTTPS://as.example/oauth2/token", endpoint, true},
		{"DP-16 default port", "https://as.example:443/oauth2/token", endpoint, true},
		{"DP-16 default port of ours", endpoint, "https://as.example:443/oauth2/token", true},
		{"DP-16 empty port", "https://as.example:/oauth2/token", endpoint, true},
		{"DP-16 default port of http", "http://as.example:80/x", "http://as.example/x", true},
		{"DP-16 an unreserved character escaped", "https://as.example/oauth2/%74ok%65n", endpoint, true},
		{"DP-16 escapes in small letters", "https://as.example/a%2fb", "https://as.example/a%2Fb", true},
		{"DP-16 dot segments", "https://as.example/x/./../oauth2/token", endpoint, true},
		{"DP-16 escaped dot segments", "https://as.example/x/%2e%2E/oauth2/token", endpoint, true},
		{"DP-16 above the root", "https://as.example/../oauth2/token", endpoint, true},
		{"DP-16 no path", "https://as.example", "https://as.example/", true},
		{"DP-16 no path but a query", "https://as.example?x", "https://as.example/", true},
		{"IPv6", "https://[2001:DB8::1]:443/x", "https://[2001:db8::1]/x", true},

		{"DP-17 slash at the end", endpoint + "/", endpoint, false},
		{"DP-17 slash twice", "https://as.example//oauth2/token", endpoint, false},
		{"DP-17 dot at the end", endpoint + "/.", endpoint, false},
		{"DP-17 path in capitals", "https://as.example/OAuth2/token", endpoint, false},
		{"DP-17 escaped slash", "https://as.example/oauth2%2Ftoken", endpoint, false},
		{"DP-17 escaped percent sign", "https://as.example/oauth2/%2574oken", endpoint, false},
		{"DP-17 escaped slash behind a character that is no URI's", `https://as.example/"/../oauth2%2Ftoken`, endpoint, false},
		{"DP-18 http", "http://as.example/oauth2/token", endpoint, false},
		{"DP-18 http on the other's port", "http://as.example:443/oauth2/token", endpoint, false},
		{"DP-18 another endpoint", "https://as.example/oauth2/par", endpoint, false},
		{"DP-18 another host", "https://evil.example/oauth2/token", endpoint, false},
		{"DP-18 another host that ends alike", "https://evil-as.example/oauth2/token", endpoint, false},
		{"DP-18 another host that begins alike", "https://as.example.evil/oauth2/token", endpoint, false},
		{"DP-18 another port", "https://as.example:8443/oauth2/token", endpoint, false},
		{"DP-18 a port that ends alike", "https://as.example:1443/oauth2/token", endpoint, false},
		{"DP-18 the Kelvin sign", "https://\u212aas.example/x", "https://kas.example/x", false},
		{"DP-18 the Kelvin sign escaped", "https://%E2%84%AAas.example/x", "https://kas.example/x", false},
		{"DP-18 dot after the host", "https://as.example./oauth2/token", endpoint, false},
		{"DP-18 path in the query", "https://as.example/?/oauth2/token", endpoint, false},
		{"DP-19 no URL", "not a url", endpoint, false},
		{"DP-19 empty", "", endpoint, false},
		{"DP-19 only a path", "/oauth2/token", endpoint, false},
		{"DP-19 no scheme", "//as.example/oauth2/token", endpoint, false},
		{"DP-19 opaque", "https:as.example/oauth2/token", endpoint, false},
		{"DP-19 no host", "https:///oauth2/token", endpoint, false},
		{"DP-19 only a port", "https://:443/oauth2/token", endpoint, false},
		{"DP-19 user", "https://as.example@as.example/oauth2/token", endpoint, false},
		{"DP-19 empty user", "https://@as.example/oauth2/token", endpoint, false},
		{"DP-19 another scheme", "urn:x", "urn:x", false},
		{"DP-19 ftp", "ftp://as.example/oauth2/token", "ftp://as.example/oauth2/token", false},
		{"DP-19 space", " " + endpoint, endpoint, false},
		{"DP-19 line break", endpoint + "\n", endpoint, false},
		{"DP-19 bad escape", "https://as.example/oauth2/token%zz", endpoint, false},
		{"DP-19 half an escape", "https://as.example/oauth2/token%4", endpoint, false},
		{"DP-19 backslash", `https://as.example\oauth2\token`, endpoint, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := sameURL(test.htu, test.endpoint); got != test.want {
				t.Errorf("%s against %s: %v", test.htu, test.endpoint, got)
			}
			if got := sameURL(test.endpoint, test.htu); got != test.want {
				t.Errorf("%s against %s: %v", test.endpoint, test.htu, got)
			}
		})
	}
}

// FuzzSameURL: what normalisation makes equal is one URL under RFC 3986, and it has nothing left to do after that.
func FuzzSameURL(f *testing.F) {
	for _, seed := range []string{
		"https://as.example/oauth2/token", "https://as.example/oauth2/token?x#y", "https://AS.example:443/a/../b/./%7e%2f", "http://[::1]:80",
		"https://as.example/..//.", "https://as.example:/", "https://:443/", "https://%41.example/", "https://as.example/\"/../a%2Fb", "urn:x", "",
		"https://as.example/%2e%2e/a", "https://user@as.example/", "https://as.example:443:443/", "https://[fe80::1%25eth0]/", "https://as.example//a",
	} {
		f.Add(seed, "https://as.example/oauth2/token")
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if sameURL(a, b) != sameURL(b, a) {
			t.Fatalf("%q and %q: not the same both ways", a, b)
		}
		n, ok := normalise(a)
		if sameURL(a, a) != ok {
			t.Fatalf("%q is not the same as itself", a)
		}
		if !ok {
			return
		}
		if again, ok := normalise(n); !ok || again != n {
			t.Fatalf("%q becomes %q and then %q", a, n, again)
		}
		if !sameURL(a, n+"?query#fragment") {
			t.Fatalf("query and fragment count for %q", a)
		}
		for _, other := range []string{n + "/", n + "x", strings.Replace(n, "://", "://x", 1), strings.Replace(n, "://", "x://", 1)} {
			if sameURL(a, other) {
				t.Fatalf("%q is the same as %q", a, other)
			}
		}
		checkMeaning(t, a, n)
	})
}

// checkMeaning compares host, port and segments of a URL with those of its normal form, as package url reads them.
func checkMeaning(t *testing.T, raw, normal string) {
	t.Helper()
	raw, _, _ = strings.Cut(raw, "#")
	raw, _, _ = strings.Cut(raw, "?")
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	v, err := url.Parse(normal)
	if err != nil {
		t.Fatal(err)
	}
	port := func(u *url.URL) string {
		if u.Port() == "" {
			return map[string]string{"http": "80", "https": "443"}[u.Scheme]
		}
		return u.Port()
	}
	if !strings.EqualFold(u.Hostname(), v.Hostname()) || port(u) != port(v) || u.Scheme != v.Scheme {
		t.Fatalf("%q becomes %q", raw, normal)
	}
	if strings.Contains(u.Path, "/.") {
		return // dot segments are for the table
	}
	path, escaped := u.Path, u.EscapedPath()
	if path == "" {
		path, escaped = "/", "/"
	}
	if v.Path != path || strings.Count(v.EscapedPath(), "/") != strings.Count(escaped, "/") {
		t.Fatalf("the path of %q becomes %q", raw, normal)
	}
}
