package fdx

import (
	"slices"

	"authserver/internal/oauth"
)

// cluster is a data cluster, the scopes that open it, and whose data it holds.
type cluster struct {
	name   string
	scopes []string
	of     owner
}

// owner says whose data a cluster holds, and so what a person has to choose before it is shared. FDX leaves that to the
// provider.
type owner int

const (
	ofAccounts owner = iota // of single accounts, which the person chooses
	ofPerson                // of the person, whichever accounts there are
	ofBoth                  // of either, as the client asks; of accounts where it does not say
)

var clusters = []cluster{
	{"ACCOUNT_BASIC", []string{"fdx:accountbasic:read"}, ofAccounts},
	{"ACCOUNT_DETAILED", []string{"fdx:accountdetailed:read"}, ofAccounts},
	{"ACCOUNT_PAYMENTS", []string{"fdx:accountpayments:read"}, ofAccounts},
	{"BALANCES", []string{"fdx:balances:read"}, ofAccounts},
	{"BILLS", []string{"fdx:bills:read"}, ofAccounts},
	{"CUSTOMER_CONTACT", []string{"fdx:customercontact:read"}, ofPerson},
	{"CUSTOMER_PERSONAL", []string{"fdx:customerpersonal:read"}, ofPerson},
	{"IMAGES", []string{"fdx:images:read"}, ofAccounts},
	{"INVESTMENTS", []string{"fdx:investments:read"}, ofAccounts},
	{"NOTIFICATIONS", []string{"fdx:notifications:subscribe", "fdx:notifications:publish"}, ofBoth},
	{"PAYMENT_SUPPORT", []string{"fdx:paymentsupport:read"}, ofAccounts},
	{"REWARDS", []string{"fdx:rewards:read"}, ofBoth},
	{"SCHEDULED_PAYMENTS", []string{"fdx:scheduledpayments:read"}, ofAccounts},
	{"SOCIAL_SECURITY_NUMBER", []string{"fdx:socialsecurity:read"}, ofPerson},
	{"STATEMENTS", []string{"fdx:statements:read"}, ofAccounts},
	{"TAX", []string{"fdx:tax:read"}, ofBoth},
	{"TERMS_AND_CONDITIONS", []string{"fdx:termsconditions:read"}, ofAccounts},
	{"TRANSACTIONS", []string{"fdx:transactions:read"}, ofAccounts},
	{"TRANSFERS", []string{"fdx:transfers:read", "fdx:transfers:write"}, ofAccounts},
}

// clusterOf is the data cluster of a name; nil when the word is none.
func clusterOf(name string) *cluster {
	for i := range clusters {
		if clusters[i].name == name {
			return &clusters[i]
		}
	}
	return nil
}

// clusterBehind is the data cluster that a scope opens; nil when the scope is none of FDX.
func clusterBehind(scope string) *cluster {
	for i := range clusters {
		if slices.Contains(clusters[i].scopes, scope) {
			return &clusters[i]
		}
	}
	return nil
}

// openedBy tells whether the scope has one of those that open the cluster.
func (c cluster) openedBy(scope oauth.Scope) bool { return slices.ContainsFunc(c.scopes, scope.Has) }

// Scopes are all scopes of FDX, in the order of the clusters.
func Scopes() []string {
	var all []string
	for _, c := range clusters {
		all = append(all, c.scopes...)
	}
	return all
}

// ScopesOf are the scopes that open a data cluster; ok is false when the word is no cluster. FDX recipients may register
// clusters where RFC 7591 has scopes (FDX Recipient Registration 5.2).
func ScopesOf(name string) (scopes []string, ok bool) {
	if c := clusterOf(name); c != nil {
		return c.scopes, true
	}
	return nil, false
}
