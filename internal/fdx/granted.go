package fdx

import (
	"fmt"
	"slices"

	"authserver/internal/oauth"
)

// Granted is the details as the person grants them: an entry for each of the chosen accounts, with its resourceId, and
// entries about the customer with the customer's (FDX, ConsentGrantResource). Without accounts nothing about accounts is
// granted: the details then have fewer entries, or none at all. Ids have 1 to MaxIdentifier characters.
//
// Accounts are all that a person can choose here: an entry about documents is about those of one account, and has its id.
func (d Details) Granted(customer string, accounts []string) Details {
	var granted Details
	for _, detail := range d {
		r, ok := detail.(ConsentRequest)
		if !ok {
			granted = append(granted, detail)
			continue
		}
		resources := r.Resources
		r.Resources = nil
		for _, of := range resources {
			ids := accounts
			if of.ResourceType == Customer {
				ids = []string{customer}
			}
			for _, id := range ids {
				r.Resources = add(r.Resources, of.ResourceType, id, of.DataClusters...)
			}
		}
		if len(r.Resources) > 0 {
			granted = append(granted, r)
		}
	}
	return granted
}

// Clusters are the data clusters of the details, each once, in the order of their first mention. Overall are those of them
// that stand below resourceType CUSTOMER and could be about single accounts: they tell of all that the person has, whichever
// accounts were chosen, so that a person must be told of them apart.
func (d Details) Clusters() (clusters, overall []string) {
	for _, r := range d.ConsentRequests() {
		for _, of := range r.Resources {
			for _, name := range of.DataClusters {
				into := &clusters
				if of.ResourceType == Customer && clusterOf(name).of == ofBoth {
					into = &overall
				}
				if !slices.Contains(*into, name) {
					*into = append(*into, name)
				}
			}
		}
	}
	return clusters, overall
}

// LookBack is how many days each request for data may go back; 0: as far as the data does. All consents of a grant have one.
func (d Details) LookBack() int {
	for _, r := range d.ConsentRequests() {
		return r.LookbackPeriod
	}
	return 0
}

// mostNarrow is more resources than fit an access token, however short their ids.
const mostNarrow = MaxInToken / len(`{"resourceType":"ACCOUNT","dataClusters":["TAX"]}`)

// Narrow is what of the granted consents the request asks for: of a resource without an id, all granted ones of its type.
// The terms of a consent hold for all of its tokens, so durationType and durationPeriod are those of the grant, and
// lookbackPeriod is at most that; without one it is the granted one.
func (r ConsentRequest) Narrow(granted Details, at string) (Detail, error) {
	at += ".consentRequest"
	consents := granted.ConsentRequests()
	if len(consents) == 0 {
		return nil, oauth.Refuse(oauth.DetailsBeyondGrant, "%s goes beyond the grant: no consent to share data was given", at)
	}
	narrow, err := r.terms(consents[0], at)
	if err != nil {
		return nil, err
	}
	for i, of := range r.Resources {
		for j, name := range of.DataClusters {
			found := shared(consents, of, name)
			if len(found) == 0 {
				return nil, oauth.Refuse(oauth.DetailsBeyondGrant,
					"%s.resources[%d].dataClusters[%d] goes beyond the grant: %s was not granted for %s", at, i, j, name, of.named())
			}
			for _, resource := range found {
				narrow.Resources = add(narrow.Resources, resource.ResourceType, resource.ResourceID, name)
			}
			if len(narrow.Resources) > mostNarrow {
				return nil, tooLong()
			}
		}
	}
	return narrow, nil
}

// terms are those of the granted consent, with the look-back that the request asks for.
func (r ConsentRequest) terms(granted ConsentRequest, at string) (ConsentRequest, error) {
	refuse := func(member, expected string, received any) error {
		return oauth.Refuse(oauth.DetailsBeyondGrant, "%s.%s goes beyond the grant: expected %s, received %v",
			at, member, expected, received)
	}
	lookback := granted.LookbackPeriod
	switch {
	case r.DurationType != granted.DurationType:
		return ConsentRequest{}, refuse("durationType", granted.DurationType, r.DurationType)
	case r.DurationPeriod != granted.DurationPeriod:
		return ConsentRequest{}, refuse("durationPeriod", fmt.Sprint(granted.DurationPeriod), r.DurationPeriod)
	case lookback > 0 && r.LookbackPeriod > lookback:
		return ConsentRequest{}, refuse("lookbackPeriod", fmt.Sprintf("at most %d", lookback), r.LookbackPeriod)
	case r.LookbackPeriod > 0:
		lookback = r.LookbackPeriod
	}
	granted.LookbackPeriod, granted.Resources = lookback, nil
	return granted, nil
}

// shared are the granted resources that a requested one means and that share the data cluster.
func shared(consents []ConsentRequest, wanted Resource, cluster string) []Resource {
	var found []Resource
	for _, consent := range consents {
		for _, of := range consent.Resources {
			if of.ResourceType == wanted.ResourceType && (wanted.ResourceID == "" || of.ResourceID == wanted.ResourceID) &&
				slices.Contains(of.DataClusters, cluster) {
				found = append(found, of)
			}
		}
	}
	return found
}

// named is a resource in words.
func (r Resource) named() string {
	if r.ResourceID == "" {
		return "any " + r.ResourceType
	}
	return r.ResourceType + " " + shown(r.ResourceID)
}
