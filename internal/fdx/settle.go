package fdx

import (
	"fmt"
	"slices"
	"strings"

	"authserver/internal/oauth"
)

// Ceilings are what a client is registered to ask for at most (FDX Recipient Registration). What is zero bounds nothing.
type Ceilings struct {
	DurationType   []string // duration_type
	DurationPeriod int      // duration_period, in days
	LookbackPeriod int      // lookback_period, in days
}

// Settle makes of an authorization request's details and scope what the person is asked for, or says why it cannot be
// granted: both must be within what the client registered (scope is, before this), and agree with each other. A data
// cluster needs one of the scopes that open it; a scope without its cluster is left out. Scopes of FDX without any detail
// that asks for a consent stand for a ONE_TIME consent to their clusters. A consent without a lookbackPeriod has the
// registered one.
//
// Error: DetailsMember, DetailsContradict, DetailsNotRegistered, or ClusterWithoutScope, which is an invalid_scope.
func (d Details) Settle(scope oauth.Scope, c Ceilings) (Details, oauth.Scope, error) {
	settled := slices.Clone(d)
	requests := d.ConsentRequests()
	if len(requests) == 0 {
		r, err := oneTime(scope, c)
		if err != nil {
			return nil, nil, err
		}
		if len(r.Resources) > 0 {
			settled = append(settled, r)
		}
	}
	for i, detail := range d {
		r, ok := detail.(ConsentRequest)
		if !ok {
			continue
		}
		at := element(i) + ".consentRequest"
		if err := r.agrees(requests[0], at); err != nil {
			return nil, nil, err
		}
		if err := c.hold(r, at); err != nil {
			return nil, nil, err
		}
		if err := r.opened(scope, at); err != nil {
			return nil, nil, err
		}
		settled[i] = c.fill(r)
	}
	settled, scope = settled.Intersect(scope)
	return settled, scope, nil
}

// oneTime is the consent that scopes of FDX stand for; without resources, when there are none. Without it a client that
// asks by scope alone, as OAuth has always done, would get data with no record of a consent.
func oneTime(scope oauth.Scope, c Ceilings) (ConsentRequest, error) {
	r := ConsentRequest{DurationType: OneTime}
	for _, cluster := range clusters {
		if !cluster.openedBy(scope) {
			continue
		}
		kind := Account
		if cluster.of == ofPerson {
			kind = Customer
		}
		r.Resources = add(r.Resources, kind, "", cluster.name)
	}
	if len(r.Resources) > 0 && len(c.DurationType) > 0 && !slices.Contains(c.DurationType, OneTime) {
		return ConsentRequest{}, oauth.Refuse(oauth.DetailsNotRegistered, "authorization_details of type %s is missing; "+
			"scopes of FDX alone ask for a consent of durationType %s, and the client registered duration_type %s",
			Type, OneTime, strings.Join(c.DurationType, ", "))
	}
	return c.fill(r), nil
}

// agrees demands the terms of the first: a grant is one consent, with one end and one look-back (FDX, ConsentGrant).
func (r ConsentRequest) agrees(first ConsentRequest, at string) error {
	refuse := func(member string, expected, received any) error {
		return oauth.Refuse(oauth.DetailsContradict, "%s.%s must be that of the first consentRequest; expected %v, received %v",
			at, member, expected, received)
	}
	switch {
	case r.DurationType != first.DurationType:
		return refuse("durationType", first.DurationType, r.DurationType)
	case r.DurationPeriod != first.DurationPeriod:
		return refuse("durationPeriod", first.DurationPeriod, r.DurationPeriod)
	case r.LookbackPeriod != first.LookbackPeriod:
		return refuse("lookbackPeriod", orNone(first.LookbackPeriod), orNone(r.LookbackPeriod))
	}
	return nil
}

// orNone is a member of a request in words.
func orNone(days int) string {
	if days == 0 {
		return "none"
	}
	return fmt.Sprint(days)
}

// hold demands that a request stays below the ceilings.
func (c Ceilings) hold(r ConsentRequest, at string) error {
	refuse := func(member, expected string, received any) error {
		return oauth.Refuse(oauth.DetailsNotRegistered, "%s.%s goes beyond what the client registered: expected %s, received %v",
			at, member, expected, received)
	}
	switch {
	case len(c.DurationType) > 0 && !slices.Contains(c.DurationType, r.DurationType):
		return refuse("durationType", "one of "+strings.Join(c.DurationType, ", "), r.DurationType)
	case c.DurationPeriod > 0 && r.DurationPeriod > c.DurationPeriod:
		return refuse("durationPeriod", fmt.Sprintf("at most %d days", c.DurationPeriod), r.DurationPeriod)
	case c.LookbackPeriod > 0 && r.LookbackPeriod > c.LookbackPeriod:
		return refuse("lookbackPeriod", fmt.Sprintf("at most %d days", c.LookbackPeriod), r.LookbackPeriod)
	}
	return nil
}

// fill bounds a request that asks for no look-back of its own.
func (c Ceilings) fill(r ConsentRequest) ConsentRequest {
	if r.LookbackPeriod == 0 {
		r.LookbackPeriod = c.LookbackPeriod
	}
	return r
}

// opened demands a scope for each data cluster. Which resources there are the person says, so a request names none.
func (r ConsentRequest) opened(scope oauth.Scope, at string) error {
	for i, of := range r.Resources {
		at := fmt.Sprintf("%s.resources[%d]", at, i)
		if of.ResourceID != "" {
			return oauth.Refuse(oauth.DetailsMember, "%s.resourceId is for the person to choose; leave it out", at)
		}
		for j, name := range of.DataClusters {
			if c := clusterOf(name); !c.openedBy(scope) {
				return oauth.Refuse(oauth.ClusterWithoutScope, "%s.dataClusters[%d] asks for %s, and scope does not have %s",
					at, j, name, strings.Join(c.scopes, " or "))
			}
		}
	}
	return nil
}

// Intersect is the access that details and scope give together: the data clusters that the scope opens, and the scopes
// that open one of them. Scopes and details of other kinds stay as they are; resources of one type and id become one.
func (d Details) Intersect(scope oauth.Scope) (Details, oauth.Scope) {
	var both Details
	opened := map[string]bool{}
	for _, detail := range d {
		r, ok := detail.(ConsentRequest)
		if !ok {
			both = append(both, detail)
			continue
		}
		resources := r.Resources
		r.Resources = nil
		for _, of := range resources {
			// A resource keeps the place of its first mention, even when the scope opens nothing of that.
			r.Resources = add(r.Resources, of.ResourceType, of.ResourceID)
			for _, name := range of.DataClusters {
				if clusterOf(name).openedBy(scope) {
					r.Resources = add(r.Resources, of.ResourceType, of.ResourceID, name)
					opened[name] = true
				}
			}
		}
		r.Resources = slices.DeleteFunc(r.Resources, func(of Resource) bool { return len(of.DataClusters) == 0 })
		if len(r.Resources) > 0 {
			both = append(both, r)
		}
	}
	closed := func(s string) bool {
		c := clusterBehind(s)
		return c != nil && !opened[c.name]
	}
	return both, slices.DeleteFunc(slices.Clone(scope), closed)
}
