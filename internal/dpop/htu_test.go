package dpop

import "testing"

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
		{"DP-19 a lone bracket for a host", "https://]/oauth2/token", "https://]/oauth2/token", false},
		{"DP-19 a name in brackets", "https://[as.example]/oauth2/token", endpoint, false},
		{"DP-19 an IPv6 zone", "https://[fe80::1%25eth0]/", "https://[fe80::1%25eth0]/", false},
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
