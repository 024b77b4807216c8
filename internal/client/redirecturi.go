package client

import (
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// RedirectsTo tells whether a browser may be sent to uri with an answer for the client: it is registered to the letter (RFC
// 9700 §2.1). Of a native app's loopback address the port may be another one (RFC 8252 §7.3).
func (c Client) RedirectsTo(uri string) bool {
	return slices.ContainsFunc(c.Metadata.RedirectURIs, func(registered string) bool {
		return uri == registered || c.Metadata.ApplicationType == "native" && sameButPort(uri, registered)
	})
}

// sameButPort compares two URIs of one loopback address, whose ports may differ, and nothing else.
func sameButPort(uri, registered string) bool {
	u, err := url.Parse(uri)
	r, err2 := url.Parse(registered)
	if err != nil || err2 != nil || r.Scheme != "http" || u.Hostname() != r.Hostname() {
		return false
	}
	if ip, err := netip.ParseAddr(r.Hostname()); err != nil || !ip.IsLoopback() {
		return false
	}
	if port, err := strconv.ParseUint(u.Port(), 10, 16); err != nil || strconv.FormatUint(port, 10) != u.Port() {
		return false
	}
	withPort := strings.Replace(registered, "//"+r.Host, "//"+strings.TrimSuffix(r.Host, ":"+r.Port())+":"+u.Port(), 1)
	return uri == withPort
}
