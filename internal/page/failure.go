package page

import (
	"net/http"

	"authserver/internal/oauth"
)

// kinds are the reasons that a person can meet, by what there is to say to a person. All others are told by their status.
var kinds = map[oauth.Reason]string{
	oauth.RequestURIExpired:     "expired",
	oauth.InteractionExpired:    "expired",
	oauth.RequestAnswered:       "answered",
	oauth.InteractionUnknown:    "elsewhere",
	oauth.RequestURIUnknown:     "link",
	oauth.RequestCrowded:        "link",
	oauth.NoSuchEndpoint:        "link",
	oauth.ClientChanged:         "application",
	oauth.EncryptionKeyMissing:  "application",
	oauth.FormRefused:           "form",
	oauth.FormField:             "form",
	oauth.CrossSite:             "form",
	oauth.MethodNotAllowed:      "form",
	oauth.PersonChanged:         "person",
	oauth.PersonDisabled:        "disabled",
	oauth.LoginRefused:          "login",
	oauth.UpstreamRefused:       "login",
	oauth.AccountsUnavailable:   "accounts",
	oauth.AuthenticationTooWeak: "login",
	oauth.PersonDenied:          "denied",
	oauth.RateLimited:           "attempts",
	oauth.Unavailable:           "unavailable",
	oauth.Internal:              "ours",
}

// Kind is the group of sentences that the page says.
func (f Failure) Kind() string {
	kind, ok := kinds[f.Reason]
	switch {
	case f.SignOut != "":
		return "logout"
	case ok:
		return kind
	case f.Status == http.StatusTooManyRequests:
		return "attempts"
	case f.Status == http.StatusServiceUnavailable:
		return "unavailable"
	case f.Status >= http.StatusInternalServerError:
		return "ours"
	}
	return "request"
}

// Code is the RFC's code of the reason.
func (f Failure) Code() oauth.Code {
	return (&oauth.Error{Reason: f.Reason}).Code()
}
