package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"authserver/internal/audit"
	"authserver/internal/fdx"
	"authserver/internal/grant"
)

// shownConsent is a consent for the operator. Times are seconds since 1970.
type shownConsent struct {
	ConsentID  string        `json:"consent_id"`
	Status     string        `json:"status"`
	ClientID   string        `json:"client_id"`
	ClientName string        `json:"client_name,omitempty"`
	Subject    string        `json:"subject"`
	Scope      string        `json:"scope"`
	Resources  []string      `json:"resources,omitempty"`
	Details    fdx.Details   `json:"authorization_details,omitempty"`
	Accounts   []string      `json:"accounts,omitempty"`
	CreatedAt  int64         `json:"created_at"`
	UpdatedAt  int64         `json:"updated_at"`
	UsedAt     int64         `json:"used_at,omitempty"`
	ExpiresAt  int64         `json:"expires_at"`
	RevokedAt  int64         `json:"revoked_at,omitempty"`
	ClientGone int64         `json:"client_deleted_at,omitempty"`
	History    []shownChange `json:"history,omitempty"`
}

// shownChange is an entry in the history of a consent.
type shownChange struct {
	At            int64       `json:"at"`
	Event         grant.Event `json:"event"`
	Why           grant.Why   `json:"why"`
	Actor         audit.Actor `json:"actor"`
	ClientID      string      `json:"client_id,omitempty"`
	Reason        string      `json:"reason,omitempty"`
	Initiator     string      `json:"initiator,omitempty"`
	InteractionID string      `json:"interaction_id,omitempty"`
}

func shownConsentOf(c grant.Consent, now time.Time) shownConsent {
	shown := shownConsent{
		ConsentID: c.ID, Status: statusText(c, now), ClientID: c.ClientID, ClientName: c.ClientName, Subject: c.Subject,
		Scope: c.Scope, Resources: c.Resources, Details: c.Details, Accounts: c.Accounts,
		CreatedAt: c.CreatedAt.Unix(), UpdatedAt: c.UpdatedAt.Unix(), ExpiresAt: c.ExpiresAt.Unix(),
	}
	if c.UsedAt != nil {
		shown.UsedAt = c.UsedAt.Unix()
	}
	if c.RevokedAt != nil {
		shown.RevokedAt = c.RevokedAt.Unix()
	}
	if c.ClientGone != nil {
		shown.ClientGone = c.ClientGone.Unix()
	}
	for _, change := range c.History {
		shown.History = append(shown.History, shownChange{
			change.At.Unix(), change.Event, change.Why, change.Actor, change.By, change.Revocation.Reason, change.Revocation.Initiator,
			change.InteractionID,
		})
	}
	return shown
}

// statusText is FDX's word for where a consent stands, written as the sub-commands write theirs.
func statusText(c grant.Consent, now time.Time) string { return strings.ToLower(c.Status(now)) }

// printConsent prints a consent and its history for people.
func printConsent(w io.Writer, c grant.Consent, now time.Time) error {
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	line := func(name, value string) { fmt.Fprintf(table, "%s\t%s\n", name, clean(value)) }
	line("consent_id", c.ID)
	line("status", statusText(c, now))
	line("client", strings.TrimSpace(c.ClientID+"   "+c.ClientName))
	line("subject", c.Subject)
	line("given", moment(c.CreatedAt))
	line("ends", moment(c.ExpiresAt))
	line("updated", moment(c.UpdatedAt))
	line("used", usedText(c))
	line("scope", or(c.Scope, "-"))
	line("for", or(strings.Join(c.Resources, " "), "-"))
	for _, r := range c.Details.ConsentRequests() {
		line("terms", termsText(r))
	}
	for _, r := range c.Details.Resources() {
		line(strings.ToLower(r.ResourceType), r.ResourceID+"   "+strings.Join(r.DataClusters, " "))
	}
	for _, change := range c.History {
		line("history", changeText(change))
	}
	if c.ClientGone != nil {
		line("history", moment(*c.ClientGone)+"   its client was deleted")
	}
	return table.Flush()
}

// usedText is when a consent last gave somebody something.
func usedText(c grant.Consent) string {
	if c.UsedAt == nil {
		return "never"
	}
	return moment(*c.UsedAt)
}

// termsText is how long a consent lasts, and how far it looks back.
func termsText(r fdx.ConsentRequest) string {
	text := r.DurationType
	if r.DurationPeriod > 0 {
		text += ", " + plural(r.DurationPeriod, "day")
	}
	if r.LookbackPeriod > 0 {
		text += ", looks back " + plural(r.LookbackPeriod, "day")
	}
	return text
}

// changeText is who did what, when and why.
func changeText(c grant.Change) string {
	text := fmt.Sprintf("%s   %s by %s (%s)", moment(c.At), c.Event, strings.TrimSpace(string(c.Actor)+" "+c.By), c.Why)
	if c.Revocation != (fdx.Revocation{}) {
		text += fmt.Sprintf(", %s of %s", c.Revocation.Reason, c.Revocation.Initiator)
	}
	if c.InteractionID != "" {
		text += ", interaction " + c.InteractionID
	}
	return text
}

// consentTable prints a line for each consent, under one head.
type consentTable struct {
	w      io.Writer
	now    time.Time
	headed bool
}

func (t *consentTable) page(consents []grant.Consent) error {
	table := tabwriter.NewWriter(t.w, 0, 0, 3, ' ', 0)
	if !t.headed {
		fmt.Fprintln(table, "CONSENT_ID\tSTATUS\tGIVEN\tENDS\tUSED\tSUBJECT\tCLIENT_ID")
	}
	t.headed = true
	for _, c := range consents {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", c.ID, statusText(c, t.now), moment(c.CreatedAt), moment(c.ExpiresAt),
			usedText(c), c.Subject, clean(c.ClientID))
	}
	return table.Flush()
}

func (t *consentTable) end() error { return nil }

// consentArray prints one JSON array, a consent on each line.
type consentArray struct {
	jsonArray
	now time.Time
}

func (a *consentArray) page(consents []grant.Consent) error {
	for _, c := range consents {
		if err := a.add(shownConsentOf(c, a.now)); err != nil {
			return err
		}
	}
	return nil
}
