package grant_test

import (
	"testing"
	"time"

	"authserver/internal/fdx"
	"authserver/internal/grant"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// TestRefreshes (RT-04, RT-06, RT-14): only the grant's own client, and only while the grant lives.
func TestRefreshes(t *testing.T) {
	revoked := noon
	of := func(durationType string) fdx.Details {
		return fdx.Details{fdx.ConsentRequest{DurationType: durationType, DurationPeriod: 1}}
	}
	for name, test := range map[string]struct {
		grant  grant.Grant
		client string
		want   bool
	}{
		"its client":     {grant.Grant{ClientID: "c1", ExpiresAt: noon.Add(1)}, "c1", true},
		"another client": {grant.Grant{ClientID: "c1", ExpiresAt: noon.Add(1)}, "c2", false},
		"at its end":     {grant.Grant{ClientID: "c1", ExpiresAt: noon}, "c1", false},
		"revoked":        {grant.Grant{ClientID: "c1", ExpiresAt: noon.Add(1), RevokedAt: &revoked}, "c1", false},
		"what lasts":     {grant.Grant{ClientID: "c1", ExpiresAt: noon.Add(1), Details: of(fdx.TimeBound)}, "c1", true},
		"for once":       {grant.Grant{ClientID: "c1", ExpiresAt: noon.Add(1), Details: of(fdx.OneTime)}, "c1", false},
	} {
		if got := test.grant.Refreshes(test.client, noon); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
