package dcr

import (
	"net/netip"
	"net/url"
	"strings"

	"authserver/internal/client"
	"authserver/internal/oauth"
)

// checkRedirectURIs wants URIs that every reader reads alike, since they are compared as strings (RFC 9700 §2.1).
func checkRedirectURIs(m *client.Metadata, usesCode bool) error {
	if usesCode && len(m.RedirectURIs) == 0 {
		return oauth.Refuse(oauth.RedirectURIRefused, "redirect_uris is needed for the grant type authorization_code")
	}
	for i, raw := range m.RedirectURIs {
		if why := redirectDefect(raw, m.ApplicationType == "native"); why != "" {
			return oauth.Refuse(oauth.RedirectURIRefused, "redirect_uris: entry %d %s", i+1, why)
		}
	}
	for i, raw := range m.PostLogoutRedirectURIs {
		if why := redirectDefect(raw, m.ApplicationType == "native"); why != "" {
			return oauth.Refuse(oauth.RedirectURIRefused, "post_logout_redirect_uris: entry %d %s", i+1, why)
		}
	}
	return nil
}

func redirectDefect(raw string, native bool) string {
	u, err := url.Parse(raw)
	switch {
	case err != nil || !isURIText(raw) || u.Hostname() == "":
		return "is no absolute URI"
	case u.User != nil || strings.Contains(u.Host, "*"):
		return "must not have a user name or a wildcard"
	case strings.Contains(raw, "#"):
		return "must not have a fragment"
	case u.Scheme == "https":
		return ""
	case u.Scheme == "http" && native && isLoopbackLiteral(u.Hostname()):
		return "" // RFC 8252 §7.3
	}
	return "must be https (or, for application_type native, http on the literal address of a loopback interface)"
}

func isLoopbackLiteral(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}
