package dpop_test

import (
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"authserver/internal/dpop"
	"authserver/internal/jose/josetest"
)

// FuzzSameURL compares the normalisation with RFC 3986 done by other means, both ways: what is taken for a URL, what it
// becomes, and what counts as the same.
func FuzzSameURL(f *testing.F) {
	for _, seed := range []string{
		endpoint, endpoint + "?x#y", "https://AS.example:443/a/../b/./%7e%2f", "http://[::1]:80", "http://AS.EXAMPLE:80", "http://as.example:443/",
		"https://as.example/..//.", "https://as.example:/", "https://:443/", "https://%41.example/", "https://as.example/\"/../a%2Fb", "urn:x", "",
		"https://as.example/%2e%2e/a", "https://user@as.example/", "https://as.example:443:443/", "https://[fe80::1%25eth0]/", "https://as.example//a",
		"https://as.example/a//../b", "https://as.example/a/./", "https://as.example/.a/..b/...", "https://[::ffff:1.2.3.4]/", "https://as.example:0443/",
		"https://as.example./oauth2/token", "https://\u212aas.example/", "https://as.example/%zz", "https://as.example/%C3%a9", "https://a@/", "https://a:b/",
	} {
		f.Add(seed, endpoint)
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		n, ok := dpop.Normalise(a)
		if want := canonical(a); n != want || ok != (want != "") {
			t.Fatalf("%q becomes %q, %v; RFC 3986 says %q", a, n, ok, want)
		}
		if again, _ := dpop.Normalise(n); again != n {
			t.Fatalf("%q becomes %q and then %q", a, n, again)
		}
		same := ok && n == canonical(b)
		if dpop.SameURL(a, b) != same || dpop.SameURL(b, a) != same {
			t.Fatalf("%q and %q: %v and %v, want %v", a, b, dpop.SameURL(a, b), dpop.SameURL(b, a), same)
		}
	})
}

var (
	// httpURL is scheme, authority and path of RFC 3986 §3 for what a host of ours may be called: no user, no escapes. The
	// brackets in a path are not RFC 3986's, but they do no harm.
	httpURL   = regexp.MustCompile(`^(https?)://([a-z0-9._~!$&'()*+,;=-]+|\[([0-9a-f:.]+)\])(:[0-9]*)?((?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@\[\]-]|%[0-9A-Fa-f]{2})*)*)$`)
	authority = regexp.MustCompile(`^[A-Za-z]+://[^/]*`)
	escape    = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)
	unescaped = strings.NewReplacer(unreservedEscapes()...)
)

// unreservedEscapes are pairs of an escape in capitals and the unreserved character that it stands for.
func unreservedEscapes() (pairs []string) {
	const hex = "0123456789ABCDEF"
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~") {
		pairs = append(pairs, "%"+string(hex[c>>4])+string(hex[c&15]), string(c))
	}
	return pairs
}

// canonical is the normal form of an http URL without its query and fragment (RFC 3986 §6.2.2 and §6.2.3), or "".
func canonical(raw string) string {
	raw, _, _ = strings.Cut(raw, "#")
	raw, _, _ = strings.Cut(raw, "?")
	raw = authority.ReplaceAllStringFunc(raw, josetest.AsciiLower)
	m := httpURL.FindStringSubmatch(raw)
	if m == nil {
		return ""
	}
	scheme, host, ip, port, path := m[1], m[2], m[3], m[4], m[5]
	if ip != "" {
		if address, err := netip.ParseAddr(ip); err != nil || !address.Is6() {
			return ""
		}
	}
	if port == ":" || scheme+port == "https:443" || scheme+port == "http:80" {
		port = ""
	}
	return scheme + "://" + host + port + withoutDots(unescaped.Replace(escape.ReplaceAllStringFunc(path, strings.ToUpper)))
}

// withoutDots is the loop of RFC 3986 §5.2.4, letter by letter, for a path that is empty or begins with a slash.
func withoutDots(in string) string {
	out := ""
	for in != "" {
		switch {
		case strings.HasPrefix(in, "/./"):
			in = in[2:]
		case in == "/.":
			in = "/"
		case strings.HasPrefix(in, "/../"):
			in, out = in[3:], out[:max(strings.LastIndex(out, "/"), 0)]
		case in == "/..":
			in, out = "/", out[:max(strings.LastIndex(out, "/"), 0)]
		default:
			end := len(in)
			if i := strings.Index(in[1:], "/"); i >= 0 {
				end = i + 1
			}
			in, out = in[end:], out+in[:end]
		}
	}
	if out == "" {
		return "/"
	}
	return out
}
