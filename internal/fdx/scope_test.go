package fdx_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"authserver/internal/fdx"
)

// TestScopesOf holds the mapping of FDX Consent API 6.3, and the later names of 6.4.
func TestScopesOf(t *testing.T) {
	want := map[string][]string{
		"ACCOUNT_BASIC":          {"fdx:accountbasic:read"},
		"ACCOUNT_DETAILED":       {"fdx:accountdetailed:read"},
		"ACCOUNT_PAYMENTS":       {"fdx:accountpayments:read"},
		"BILLS":                  {"fdx:bills:read"},
		"CUSTOMER_CONTACT":       {"fdx:customercontact:read"},
		"CUSTOMER_PERSONAL":      {"fdx:customerpersonal:read"},
		"IMAGES":                 {"fdx:images:read"},
		"INVESTMENTS":            {"fdx:investments:read"},
		"PAYMENT_SUPPORT":        {"fdx:paymentsupport:read"},
		"REWARDS":                {"fdx:rewards:read"},
		"STATEMENTS":             {"fdx:statements:read"},
		"TAX":                    {"fdx:tax:read"},
		"TRANSACTIONS":           {"fdx:transactions:read"},
		"BALANCES":               {"fdx:balances:read"},
		"SCHEDULED_PAYMENTS":     {"fdx:scheduledpayments:read"},
		"SOCIAL_SECURITY_NUMBER": {"fdx:socialsecurity:read"},
		"TERMS_AND_CONDITIONS":   {"fdx:termsconditions:read"},
		"TRANSFERS":              {"fdx:transfers:read", "fdx:transfers:write"},
		"NOTIFICATIONS":          {"fdx:notifications:subscribe", "fdx:notifications:publish"},
	}
	var all []string
	for name, scopes := range want {
		got, ok := fdx.ScopesOf(name)
		if diff := cmp.Diff(scopes, got); !ok || diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		all = append(all, scopes...)
	}
	got := fdx.Scopes()
	slices.Sort(all)
	slices.Sort(got)
	if diff := cmp.Diff(all, got); diff != "" {
		t.Error(diff)
	}
	for _, name := range []string{"", "ROOT", "transactions", "fdx:tax:read"} {
		if got, ok := fdx.ScopesOf(name); ok || got != nil {
			t.Errorf("%q is a cluster: %v", name, got)
		}
	}
}

// Whoever changes what Scopes returned changes only that.
func TestScopesAreACopy(t *testing.T) {
	fdx.Scopes()[0] = "changed"
	if fdx.Scopes()[0] == "changed" {
		t.Error("the table can be changed from outside")
	}
}
