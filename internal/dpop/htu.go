package dpop

import (
	"net/netip"
	"net/url"
	"strings"
)

// sameURL compares a proof's htu with an endpoint's URL without query and fragment, after syntax-based and scheme-based
// normalisation (RFC 9449 §4.3, RFC 3986 §6.2.2 and §6.2.3).
func sameURL(htu, endpoint string) bool {
	got, ok := normalise(htu)
	if !ok {
		return false
	}
	want, ok := normalise(endpoint)
	return ok && got == want
}

func normalise(raw string) (string, bool) {
	if i := strings.IndexAny(raw, "?#"); i >= 0 {
		raw = raw[:i]
	}
	if strings.ContainsFunc(raw, isForbidden) {
		return "", false
	}
	u, err := url.Parse(raw)
	if err != nil || u.User != nil || !isHost(u.Hostname()) {
		return "", false
	}
	scheme, host := strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	switch scheme {
	case "https":
		host = strings.TrimSuffix(host, ":443")
	case "http":
		host = strings.TrimSuffix(host, ":80")
	default:
		return "", false
	}
	return scheme + "://" + strings.TrimSuffix(host, ":") + removeDots(decodeUnreserved(u.EscapedPath())), true
}

// isHost tells whether a host is a name or an IPv6 address in plain letters (RFC 3986 §3.2.2): ours need no escapes. Package
// url lets more pass, such as a lone bracket, and has undone some of the escapes.
func isHost(name string) bool {
	if strings.Contains(name, ":") {
		ip, err := netip.ParseAddr(name)
		return err == nil && ip.Zone() == ""
	}
	return name != "" && !strings.ContainsFunc(name, isForbidden) && !strings.ContainsAny(name, "%[]")
}

// isForbidden tells whether a URI must spell a character as an escape (RFC 3986 §2). Package url lets some of them pass,
// and then forgets how the rest of the path was escaped; strings.ToLower turns one letter outside ASCII into a k.
func isForbidden(c rune) bool {
	return c <= 0x20 || c >= 0x7f || strings.ContainsRune("\"<>\\^`{|}", c)
}

// decodeUnreserved decodes the escapes of unreserved characters and puts the others into capitals (RFC 3986 §6.2.2.1, .2).
// The path has been parsed, so every escape in it is well formed.
func decodeUnreserved(escaped string) string {
	var b strings.Builder
	for i := 0; i < len(escaped); i++ {
		if escaped[i] != '%' || i+2 >= len(escaped) {
			b.WriteByte(escaped[i])
			continue
		}
		triplet := strings.ToUpper(escaped[i : i+3])
		if plain, err := url.PathUnescape(triplet); err == nil && isUnreserved(plain[0]) {
			b.WriteString(plain)
		} else {
			b.WriteString(triplet)
		}
		i += 2
	}
	return b.String()
}

func isUnreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

// removeDots resolves dot segments (RFC 3986 §5.2.4); empty segments stay, since they count.
func removeDots(p string) string {
	if p == "" {
		return "/"
	}
	if !strings.Contains(p, "/.") {
		return p
	}
	var out []string
	segments := strings.Split(strings.TrimPrefix(p, "/"), "/")
	for i, s := range segments {
		last := i == len(segments)-1
		switch s {
		case ".", "..":
			if s == ".." && len(out) > 0 {
				out = out[:len(out)-1]
			}
			if last {
				out = append(out, "")
			}
		default:
			out = append(out, s)
		}
	}
	return "/" + strings.Join(out, "/")
}
