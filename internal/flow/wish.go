package flow

import (
	"net/url"
	"strings"
)

// wish is what a request asks a person for.
type wish struct {
	scope   string
	details string // authorization_details, exactly as it is pushed
	granted string // the part of scope that the details leave
	more    url.Values
}

// The flows with a person ask for three kinds of data and register for more, so that there is something to widen to.
const (
	grantedScope    = "fdx:accountdetailed:read fdx:transactions:read fdx:statements:read"
	registeredScope = grantedScope + " fdx:accountbasic:read fdx:customercontact:read"
)

// identified asks who somebody is, beside some data for 30 days.
var identified = wish{scope: "openid fdx:transactions:read", granted: "openid fdx:transactions:read",
	details: `[` + lastingDetail("ACCOUNT", "TRANSACTIONS") + `]`}

// once is the example that FDX gives, letter by letter: a consent that is good for one access token.
var once = wish{scope: grantedScope, granted: grantedScope, details: `[{"type":"fdx_v1.0","consentRequest":` +
	`{"durationType":"ONE_TIME","lookbackPeriod":60,"resources":[{"resourceType":"ACCOUNT","dataClusters":` +
	`["ACCOUNT_DETAILED","TRANSACTIONS","STATEMENTS"]}]}}]`}

// lasting asks for the same data for 30 days.
var lasting = wish{scope: grantedScope, granted: grantedScope,
	details: strings.Replace(once.details, `"ONE_TIME"`, `"TIME_BOUND","durationPeriod":30`, 1)}

// both asks by two details of one type for different things, and by every scope.
var both = wish{scope: registeredScope, granted: "fdx:transactions:read fdx:customercontact:read",
	details: `[` + lastingDetail("ACCOUNT", "TRANSACTIONS") + `,` + lastingDetail("CUSTOMER", "CUSTOMER_CONTACT") + `]`}

// lastingDetail asks for one data cluster of a resource for 30 days, in a request or out of what was granted.
func lastingDetail(resourceType, cluster string) string {
	return `{"type":"fdx_v1.0","consentRequest":{"durationType":"TIME_BOUND","durationPeriod":30,"resources":` +
		`[{"resourceType":"` + resourceType + `","dataClusters":["` + cluster + `"]}]}}`
}

// sealed tells whether the answer is to be one JWT (JARM §2.3).
func (w wish) sealed() bool { return strings.HasSuffix(w.more.Get("response_mode"), "jwt") }

// read is the details of a wish of this package.
func (w wish) read() Details {
	details, _ := ReadDetails(w.details) // A test reads them all.
	return details
}

// lasts tells whether what is asked for outlives its first access token, and so has a refresh token.
func (w wish) lasts() bool { return !strings.Contains(w.details, `"ONE_TIME"`) }
