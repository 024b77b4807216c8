package authorize

import (
	"net/http"
	"slices"
	"time"

	"authserver/internal/audit"
	"authserver/internal/client"
	"authserver/internal/grant"
	"authserver/internal/oauth"
	"authserver/internal/page"
	"authserver/internal/person"
)

// connectedPage is where a person sees and ends what was allowed. Nobody is sent there: people come of their own accord.
const connectedPage = "/connected"

// mostOver is how many consents the page shows that are over.
const mostOver = 50

// Connected shows the person all that is shared, and what was. Whoever is not signed in does that first.
func (e *Endpoint) Connected(w http.ResponseWriter, r *http.Request) error {
	now := e.Now()
	t, err := e.ownTurn(r, now)
	switch {
	case err != nil:
		return err
	case t.session.Subject == "":
		return e.askOwn(w, r, t, now)
	}
	model, err := e.connected(w, r, t, now)
	if err != nil {
		return err
	}
	model.Stopped = nameOf(model.Ended, r.URL.Query().Get("stopped"))
	e.showOwn(w, r, http.StatusOK, model)
	return nil
}

// connected is the page's model. Where the bank's accounts cannot be read just now their names are missing: nobody is kept
// from stopping because of that.
func (e *Endpoint) connected(w http.ResponseWriter, r *http.Request, t turn, now time.Time) (page.Connected, error) {
	model := page.Connected{SignOut: e.form(t, forSignOut, "/sign-out"), Person: t.session.Name}
	consents, err := e.Store.Consents(r.Context(), t.session.Subject, mostOver+1, now)
	if err != nil {
		return model, err
	}
	var accounts []person.Account
	if e.Accounts != nil && slices.ContainsFunc(consents, func(c grant.Consent) bool { return len(c.Accounts) > 0 }) {
		if accounts, err = e.Accounts.Accounts(r.Context(), t.session.Subject); err != nil {
			oauth.Note(w, oauth.FieldLacks, err.Error())
		}
	}
	clients := map[string]client.Client{}
	for _, c := range consents {
		registered, known := clients[c.ClientID]
		if !known {
			if registered, _, err = e.Store.FindClient(r.Context(), c.ClientID); err != nil {
				return model, err
			}
			clients[c.ClientID] = registered
		}
		switch sharing := e.sharing(t, c, registered, accounts, now); {
		case sharing.Ending == "":
			model.Active = append(model.Active, sharing)
		case len(model.Ended) == mostOver:
			model.More = true
		default:
			model.Ended = append(model.Ended, sharing)
		}
	}
	return model, nil
}

// nameOf is what the app of a consent that has been stopped is called; "" for all else that a URL may say.
func nameOf(ended []page.Sharing, id string) string {
	for _, s := range ended {
		if s.ID == id && s.Ending == page.StoppedByYou {
			return s.Client.Name
		}
	}
	return ""
}

// Stop ends a consent of the person's. One that had ended already, or is not theirs, changes nothing, and the page tells how
// things are.
func (e *Endpoint) Stop(w http.ResponseWriter, r *http.Request) error {
	now := e.Now()
	form, err := e.Forms.read(r, "consent")
	if err != nil {
		return err
	}
	t, err := e.ownTurn(r, now)
	switch {
	case err != nil:
		return err
	case t.session.Subject == "": // the session is over; signing in shows the page again
		return e.sendTo(w, e.Issuer+connectedPage)
	}
	if err := e.Forms.check(t, forStop, form.Get("form_token")); err != nil {
		return err
	}
	change := grant.Stopped(grant.PersonStopped, "", oauth.InteractionID(w), now)
	g, became, err := e.Store.RevokeGrant(r.Context(), form.Get("consent"), grant.Owner{Subject: t.session.Subject}, change)
	if err != nil {
		return err
	}
	target := e.Issuer + connectedPage
	if became == grant.Ended {
		oauth.Note(w, oauth.FieldEvent, audit.GrantRevoked)
		oauth.Note(w, oauth.FieldActor, audit.Person)
		oauth.Note(w, oauth.FieldSubject, g.Subject)
		oauth.Note(w, oauth.FieldClient, g.ClientID)
		oauth.Note(w, oauth.FieldGrantID, g.ID)
		target += "?stopped=" + g.ID
	}
	return e.sendTo(w, target)
}

// showOwn writes a page that no client has a part in.
func (e *Endpoint) showOwn(w http.ResponseWriter, r *http.Request, status int, m page.Model) {
	e.show(w, r, turn{}, status, m)
}
