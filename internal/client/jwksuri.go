package client

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strings"

	"code.dny.dev/ssrf"
)

// CheckURI tells what is wrong with a jwks_uri before anything is dialled. The sentence is public: it speaks of the URI
// alone. What a name resolves to is judged when it is dialled.
func (v Vetting) CheckURI(uri string) error {
	u, err := url.Parse(uri)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "":
		return errors.New("it must be an absolute https URL")
	case u.User != nil:
		return errors.New("it must not hold a user name")
	case u.Fragment != "" || strings.Contains(uri, "#"):
		return errors.New("it must not have a fragment")
	case v.AllowLoopback && isLoopback(u.Hostname()) && (u.Scheme == "http" || u.Scheme == "https"):
		return v.notOurselves(u)
	case u.Scheme != "https":
		return errors.New("it must be an https URL")
	}
	if err := v.checkHost(u); err != nil {
		return err
	}
	return v.notOurselves(u)
}

func (v Vetting) checkHost(u *url.URL) error {
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil {
		if ip.Zone() != "" {
			return errors.New("its address must not have a zone")
		}
		address := net.JoinHostPort(u.Hostname(), port(u))
		if !v.exempt(address) && ssrf.New(ssrf.WithPorts(443, 8443)).Safe("tcp"+family(ip), address, nil) != nil {
			return errors.New("its address is not a public one, or its port is neither 443 nor 8443")
		}
		return nil
	}
	name := plain(u.Hostname())
	last := name[strings.LastIndexByte(name, '.')+1:]
	switch {
	case isLoopback(name) || !strings.Contains(name, "."):
		return errors.New("its host must have a public name")
	case last == "" || strings.ContainsRune("0123456789", rune(last[0])):
		// Resolvers read names like 2130706433 and 0x7f.1 as addresses; no top-level domain begins with a digit.
		return errors.New("its host must be a name or an ordinary IP address")
	case len(v.AllowCIDRs) == 0 && port(u) != "443" && port(u) != "8443":
		return errors.New("its port must be 443 or 8443")
	}
	return nil
}

// notOurselves keeps a client from making this server call itself.
func (v Vetting) notOurselves(u *url.URL) error {
	for _, base := range v.Own {
		own, err := url.Parse(base)
		if err == nil && plain(own.Hostname()) == plain(u.Hostname()) && port(own) == port(u) {
			return errors.New("it must not be on this server's own host")
		}
	}
	return nil
}

// plain is a host name in one spelling: lower case, and without the dot that an absolute name may end with.
func plain(host string) string { return strings.TrimSuffix(strings.ToLower(host), ".") }

func port(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "http":
		return "80"
	}
	return "443"
}

func family(ip netip.Addr) string {
	if ip.Is4() {
		return "4"
	}
	return "6"
}

// isLoopback tells whether a host names this machine.
func isLoopback(host string) bool {
	host = plain(host)
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().IsLoopback()
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}
