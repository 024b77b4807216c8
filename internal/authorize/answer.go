package authorize

import (
	"net/http"
	"net/url"
	"time"

	"authserver/internal/grant"
	"authserver/internal/oauth"
	"authserver/internal/page"
)

// answerLife is for how long a client may take an answer that is a JWT for news (JARM §2.1: ten minutes at most).
const answerLife = 5 * time.Minute

// back is the way back to the client, in the mode that it asked for. It comes before the answer is kept: where a client has
// no key that its answer could be encrypted for, nothing is granted, and the person is told instead of the client.
func (e *Endpoint) back(r *http.Request, t turn, now time.Time) (oauth.Return, error) {
	p := t.interaction.Request
	to := oauth.Return{RedirectURI: p.RedirectURI, State: p.State, Issuer: e.Issuer}
	if p.ResponseMode == "" {
		return to, nil
	}
	envelope, err := e.Sealer.Prepare(r.Context(), t.client, t.client.Authorization())
	if err != nil {
		return to, err
	}
	to.Seal = func(parameters url.Values) (string, error) {
		claims := map[string]any{}
		for name := range parameters {
			claims[name] = parameters.Get(name)
		}
		claims["aud"], claims["iat"], claims["exp"] = t.client.ID, now.Unix(), now.Add(answerLife).Unix()
		return envelope.Seal("JWT", claims)
	}
	if p.ResponseMode == grant.FormPostJWT {
		to.Post = func(w http.ResponseWriter, jwt string) {
			language := e.Pages.Language(p.UILocales, r.Header.Get("Accept-Language"))
			answer := page.Answer{Client: clientName(t.client), Target: p.RedirectURI, Response: jwt}
			e.Pages.Write(w, language, http.StatusOK, answer)
		}
	}
	return to, nil
}
