package grant_test

import (
	"testing"
	"time"

	"authserver/internal/audit"
	"authserver/internal/fdx"
	"authserver/internal/grant"

	"github.com/google/go-cmp/cmp"
)

// consent is what a person shares on these terms.
func consent(durationType string, days int) fdx.Details {
	return fdx.Details{fdx.ConsentRequest{DurationType: durationType, DurationPeriod: days, Resources: []fdx.Resource{
		{ResourceType: fdx.Account, ResourceID: "one", DataClusters: []string{"TRANSACTIONS"}}}}}
}

// TestFetch (FDX-09, RT-13): a consent for once ends with its one access token, to the second; nothing else is shortened.
func TestFetch(t *testing.T) {
	end := noon.Add(24 * time.Hour)
	for name, test := range map[string]struct {
		details   fdx.Details
		end       time.Time
		lifetime  time.Duration
		want      time.Time
		refreshes bool
	}{
		"once":                          {consent(fdx.OneTime, 0), end, 5 * time.Minute, noon.Add(5 * time.Minute).Truncate(time.Second), false},
		"once, with less time left":     {consent(fdx.OneTime, 0), noon.Add(time.Minute), 5 * time.Minute, noon.Add(time.Minute), false},
		"for days":                      {consent(fdx.TimeBound, 30), end, 5 * time.Minute, end, true},
		"until it is stopped":           {consent(fdx.Persistent, 0), end, 5 * time.Minute, end, true},
		"of which FDX knows nothing":    {nil, end, 5 * time.Minute, end, true},
		"once, one of several consents": {append(consent(fdx.OneTime, 0), consent(fdx.OneTime, 0)...), end, time.Minute, noon.Add(time.Minute).Truncate(time.Second), false},
	} {
		before := grant.Grant{Details: test.details, ExpiresAt: test.end}
		after, refreshes := before.Fetch(test.lifetime, noon)
		want := before
		want.ExpiresAt, want.UpdatedAt, want.UsedAt = test.want, noon, &noon
		if diff := cmp.Diff(want, after); diff != "" || refreshes != test.refreshes {
			t.Errorf("%s: refreshes %v (-want +got):\n%s", name, refreshes, diff)
		}
	}
}

// TestWrongDetails (RT-11): a code that is asked for more than was granted counts a try, says what goes beyond, and is good
// for a better one.
func TestWrongDetails(t *testing.T) {
	code, a := fresh(), good()
	code.Grant.Details, a.Details = consent(fdx.TimeBound, 30), consent(fdx.TimeBound, 31)
	after, r := code.Redeem(a, noon)
	if r.Outcome != grant.WrongDetails || r.Failures != 1 || r.Beyond == nil || after.Spent {
		t.Fatalf("%+v, %+v", r, after)
	}
	a.Details = consent(fdx.TimeBound, 30)
	if _, r := after.Redeem(a, noon); r.Outcome != grant.Redeemed || r.Beyond != nil {
		t.Errorf("%+v", r)
	}
	if code.Grant.Details = nil; code.Grant.ConsentID() != "" {
		t.Error("a grant without details is a consent")
	}
	if _, r := code.Redeem(a, noon); r.Outcome != grant.WrongDetails {
		t.Errorf("details of a grant that has none: %+v", r)
	}
}

// TestEnd: an owner ends what is theirs and alive. To everybody else there is no such grant.
func TestEnd(t *testing.T) {
	alive := grant.Grant{ClientID: "c1", Subject: "_alex", ExpiresAt: noon.Add(time.Second)}
	revoked, late := alive, alive
	revoked.RevokedAt, late.ExpiresAt = &noon, noon
	for name, test := range map[string]struct {
		g    grant.Grant
		by   grant.Owner
		want grant.Ending
	}{
		"its client":        {alive, grant.Owner{ClientID: "c1"}, grant.Ended},
		"its person":        {alive, grant.Owner{Subject: "_alex"}, grant.Ended},
		"the operator":      {alive, grant.Owner{}, grant.Ended},
		"another client":    {alive, grant.Owner{ClientID: "c2"}, grant.NoGrant},
		"another person":    {alive, grant.Owner{Subject: "_kim"}, grant.NoGrant},
		"one of two":        {alive, grant.Owner{ClientID: "c1", Subject: "_kim"}, grant.NoGrant},
		"revoked":           {revoked, grant.Owner{}, grant.EndedBefore},
		"over":              {late, grant.Owner{}, grant.EndedBefore},
		"revoked, stranger": {revoked, grant.Owner{ClientID: "c2"}, grant.NoGrant},
	} {
		if got := test.g.End(test.by, noon); got != test.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// TestStatus: where a consent stands, in the words of FDX.
func TestStatus(t *testing.T) {
	alive := grant.Grant{ExpiresAt: noon.Add(time.Microsecond)}
	revoked, late := alive, alive
	revoked.RevokedAt, late.ExpiresAt = &noon, noon
	both := late
	both.RevokedAt = &noon
	for name, test := range map[string]struct {
		c    grant.Consent
		want string
	}{
		"alive": {grant.Consent{Grant: alive}, fdx.Active}, "its time is over": {grant.Consent{Grant: late}, fdx.Expired},
		"revoked": {grant.Consent{Grant: revoked}, fdx.Revoked}, "both": {grant.Consent{Grant: both}, fdx.Revoked},
		"its client is gone":  {grant.Consent{Grant: alive, ClientGone: &noon}, fdx.Revoked},
		"its client went too": {grant.Consent{Grant: late, ClientGone: &noon}, fdx.Expired},
		"by a clock ahead":    {grant.Consent{Grant: alive, ClientGone: &alive.ExpiresAt}, fdx.Expired},
	} {
		if got := test.c.Status(noon); got != test.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// TestEndsAt: a consent ends with what comes first, and one whose client is gone not in the future.
func TestEndsAt(t *testing.T) {
	soon, later := noon.Add(time.Minute), noon.Add(time.Hour)
	for name, test := range map[string]struct {
		revoked, gone *time.Time
		want          time.Time
	}{
		"alive": {nil, nil, soon}, "revoked": {&noon, nil, noon}, "its client is gone": {nil, &noon, noon},
		"revoked after its time": {&later, nil, soon}, "its client went after its time": {nil, &later, soon},
	} {
		c := grant.Consent{Grant: grant.Grant{ExpiresAt: soon, RevokedAt: test.revoked}, ClientGone: test.gone}
		if got := c.EndsAt(); !got.Equal(test.want) {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// TestStopped: every reason to end a grant has its actor, and its words of FDX.
func TestStopped(t *testing.T) {
	got := map[grant.Why]string{}
	for _, why := range []grant.Why{grant.PersonStopped, grant.RefreshTokenRevoked, grant.CodeReused, grant.OperatorStopped, grant.PersonDisabledToo} {
		c := grant.Stopped(why, "", "", noon)
		got[why] = string(c.Actor) + " " + c.Revocation.Reason + " " + c.Revocation.Initiator
	}
	want := map[grant.Why]string{
		grant.PersonStopped:       "person USER_ACTION INDIVIDUAL",
		grant.RefreshTokenRevoked: "client BUSINESS_RULE DATA_RECIPIENT",
		grant.CodeReused:          "server BUSINESS_RULE DATA_PROVIDER",
		grant.OperatorStopped:     "operator BUSINESS_RULE DATA_PROVIDER",
		grant.PersonDisabledToo:   "operator BUSINESS_RULE DATA_PROVIDER",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	byClient := grant.StoppedByClient("c1", fdx.Revocation{Reason: fdx.UserAction, Initiator: fdx.Individual}, "reference", noon)
	if byClient.Actor != audit.Client || byClient.By != "c1" || byClient.Why != grant.ClientStopped || byClient.Event != grant.Revoked {
		t.Errorf("%+v", byClient)
	}
}
