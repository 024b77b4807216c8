package authorize

import (
	"net/http"

	"authserver/internal/client"
	"authserver/internal/oauth"
	"authserver/internal/page"
)

// show writes a page of the interaction, in a language that the client or the browser asked for.
func (e *Endpoint) show(w http.ResponseWriter, r *http.Request, t turn, status int, m page.Model) {
	language := e.Pages.Language(t.interaction.Request.UILocales, r.Header.Get("Accept-Language"))
	targets := []string{t.answeredAt(m)}
	if e.Upstream != nil { // where a form leads whose session is over; only the upstream knows its endpoint
		if !e.secure() { // dev's may be of this machine too
			targets = append(targets, "http:")
		}
		targets = append(targets, "https:")
	}
	e.Pages.Write(w, language, status, m, targets...)
}

// ShowError is the page for errors, where a person asked.
func (e *Endpoint) ShowError(w http.ResponseWriter, r *http.Request, refusal *oauth.Error, status int) {
	language := e.Pages.Language(nil, r.Header.Get("Accept-Language"))
	e.Pages.Write(w, language, status, page.Failure{Reason: refusal.Reason, Status: status, ID: oauth.InteractionID(w)})
}

// clientName is what pages call the client.
func clientName(c client.Client) string {
	if c.Metadata.ClientName != "" {
		return c.Metadata.ClientName
	}
	return c.ID
}
