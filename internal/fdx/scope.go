package fdx

import "slices"

// cluster is a data cluster and the scopes that open it.
type cluster struct {
	name   string
	scopes []string
}

var clusters = []cluster{
	{"ACCOUNT_BASIC", []string{"fdx:accountbasic:read"}},
	{"ACCOUNT_DETAILED", []string{"fdx:accountdetailed:read"}},
	{"ACCOUNT_PAYMENTS", []string{"fdx:accountpayments:read"}},
	{"BALANCES", []string{"fdx:balances:read"}},
	{"BILLS", []string{"fdx:bills:read"}},
	{"CUSTOMER_CONTACT", []string{"fdx:customercontact:read"}},
	{"CUSTOMER_PERSONAL", []string{"fdx:customerpersonal:read"}},
	{"IMAGES", []string{"fdx:images:read"}},
	{"INVESTMENTS", []string{"fdx:investments:read"}},
	{"NOTIFICATIONS", []string{"fdx:notifications:subscribe", "fdx:notifications:publish"}},
	{"PAYMENT_SUPPORT", []string{"fdx:paymentsupport:read"}},
	{"REWARDS", []string{"fdx:rewards:read"}},
	{"SCHEDULED_PAYMENTS", []string{"fdx:scheduledpayments:read"}},
	{"SOCIAL_SECURITY_NUMBER", []string{"fdx:socialsecurity:read"}},
	{"STATEMENTS", []string{"fdx:statements:read"}},
	{"TAX", []string{"fdx:tax:read"}},
	{"TERMS_AND_CONDITIONS", []string{"fdx:termsconditions:read"}},
	{"TRANSACTIONS", []string{"fdx:transactions:read"}},
	{"TRANSFERS", []string{"fdx:transfers:read", "fdx:transfers:write"}},
}

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
	for _, c := range clusters {
		if c.name == name {
			return c.scopes, true
		}
	}
	return nil, false
}

// AboutAccounts tells whether a scope opens data of single accounts, so that a person has to choose some. The others are
// about the person.
func AboutAccounts(scope string) bool {
	for _, c := range clusters {
		if slices.Contains(c.scopes, scope) {
			return c.name != "CUSTOMER_CONTACT" && c.name != "CUSTOMER_PERSONAL" && c.name != "SOCIAL_SECURITY_NUMBER"
		}
	}
	return false
}
