package fdx_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"authserver/internal/fdx"
	"authserver/internal/oauth"
)

// FuzzParseDetails: what is accepted says, written out again, the same as the text, keeps the rules of FDX, read here again
// by other means, and is read again as it was; what is refused begins with its path.
func FuzzParseDetails(f *testing.F) {
	for _, text := range []string{
		seed, "", "[]", "{}", "null", "[null]", "[{}]", `[{"type":"fdx_v9.9"}]`, `[{"type":"fdx_v1.0"}]`, `[{"type":"fdx_v1.0","type":1}]`, strings.Repeat("[", 20),
		of(`"durationType":"TIME_BOUND","durationPeriod":365,"lookbackPeriod":36500`), of(`"durationType":"PERSISTENT"`),
		of(`"durationType":"TIME_BOUND","durationPeriod":0`), of(`"durationType":"TIME_BOUND","durationPeriod":"30"`), of(`"durationType":"TIME_BOUND"`),
		of(`"durationType":"ONE_TIME","durationPeriod":1`), of(`"durationType":"ONE_TIME","lookbackPeriod":1.5`), of(`"durationType":"FOREVER"`),
		resources(`[]`), clusters(), clusters("ROOT"), clusters("TAX", "TAX"), clusters("ACCOUNT_PAYMENTS", "TERMS_AND_CONDITIONS"),
		resources(`[{"resourceType":"CUSTOMER","dataClusters":["TAX"]},{"resourceType":"DOCUMENT","resourceId":"a\u00e9","dataClusters":["IMAGES"]}]`),
		resources(`[{"resourceType":"CUSTOMER","dataClusters":["IMAGES"]}]`), resources(`[{"resourceType":"ACCOUNT","resourceId":"","dataClusters":["TAX"],"x":1}]`),
		strings.TrimSuffix(clusters("TAX"), "]") + " , " + clusters("BILLS")[1:], strings.Replace(seed, "D", `\u0044`, -1),
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := fdx.ParseDetails(text, nil)
		if err != nil {
			e, ok := errors.AsType[*oauth.Error](err)
			if !ok || e.Code() != oauth.InvalidAuthorizationDetails || !strings.HasPrefix(e.Description, "authorization_details") || d != nil {
				t.Fatalf("%q: %v, %v", text, d, err)
			}
			return
		}
		written := marshal(t, d)
		if got, want := generic(t, written), generic(t, text); !cmp.Equal(got, want) {
			t.Fatalf("%s became %s", text, written)
		}
		if again := parse(t, written); !cmp.Equal(d, again) || marshal(t, again) != written {
			t.Fatal(cmp.Diff(d, again))
		}
		if len(d) == 0 || len(d) != len(d.ConsentRequests()) {
			t.Fatalf("%s has %d elements", text, len(d))
		}
		for _, r := range d.ConsentRequests() {
			if !keepsRules(r) {
				t.Fatalf("%s breaks a rule", text)
			}
		}
	})
}

// generic is what a JSON text says.
func generic(t *testing.T, text string) (says any) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	decoder.UseNumber()
	if err := decoder.Decode(&says); err != nil {
		t.Fatal(err)
	}
	return says
}

// ofPerson are the data clusters that can be asked for below resourceType CUSTOMER.
var ofPerson = []string{"CUSTOMER_CONTACT", "CUSTOMER_PERSONAL", "NOTIFICATIONS", "REWARDS", "SOCIAL_SECURITY_NUMBER", "TAX"}

// keepsRules is requirements FDX-01 to FDX-03 again.
func keepsRules(r fdx.ConsentRequest) bool {
	bound := r.DurationType == "TIME_BOUND"
	if !bound && r.DurationType != "ONE_TIME" && r.DurationType != "PERSISTENT" || bound != (r.DurationPeriod >= 1) ||
		r.DurationPeriod > 365 || r.LookbackPeriod < 0 || r.LookbackPeriod > 36500 || len(r.Resources) == 0 {
		return false
	}
	return !slices.ContainsFunc(r.Resources, func(of fdx.Resource) bool {
		bad := func(cluster string) bool {
			_, known := fdx.ScopesOf(cluster)
			return !known || of.ResourceType == "CUSTOMER" && !slices.Contains(ofPerson, cluster)
		}
		once := slices.Compact(slices.Sorted(slices.Values(of.DataClusters)))
		return of.ResourceType != "ACCOUNT" && of.ResourceType != "CUSTOMER" && of.ResourceType != "DOCUMENT" ||
			len(of.ResourceID) > 4*256 || len(once) == 0 || len(once) != len(of.DataClusters) || slices.ContainsFunc(once, bad)
	})
}
