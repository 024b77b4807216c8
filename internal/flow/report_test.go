package flow

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func verdicts(step *Step) map[string]bool {
	found := map[string]bool{}
	for _, check := range step.Checks {
		found[check.Name] = check.OK
	}
	return found
}

func TestNonceChallenge(t *testing.T) {
	const body = `{"error":"use_dpop_nonce"}`
	good := &Exchange{Status: 400, ResponseBody: body, ResponseHeader: http.Header{"Dpop-Nonce": {"n"}}}
	bad := &Exchange{Status: 400, ResponseBody: body, ResponseHeader: http.Header{"Dpop-Nonce": {"n", "m"}, "Www-Authenticate": {"DPoP"}}}
	const plain, nonce, assertion = "the challenge is a 400 without WWW-Authenticate", "the challenge brings one DPoP-Nonce", "the same assertion is good with the nonce"
	tests := map[string]struct {
		exchanges []*Exchange
		want      map[string]bool
	}{
		"not asked for":     {[]*Exchange{{Status: 200}}, map[string]bool{}},
		"as it should be":   {[]*Exchange{good, {Status: 200}}, map[string]bool{plain: true, nonce: true, assertion: true}},
		"a bad challenge":   {[]*Exchange{bad, {Status: 200}}, map[string]bool{plain: false, nonce: false, assertion: true}},
		"a burnt assertion": {[]*Exchange{good, {Status: 401}}, map[string]bool{plain: true, nonce: true, assertion: false}},
	}
	for name, test := range tests {
		step := &Step{Exchanges: test.exchanges}
		step.nonceChallenge(http.StatusOK)
		if diff := cmp.Diff(test.want, verdicts(step)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if good.Note == "" {
		t.Error("an expected error is not explained")
	}
}

func TestTidy(t *testing.T) {
	const cached, empty = "the answer must not be cached", "no member is null or empty"
	tidy, untidy := &Step{}, &Step{}
	tidy.tidy(&Exchange{ResponseHeader: http.Header{"Cache-Control": {"no-store"}}, ResponseBody: `{"a":[],"b":false}`})
	untidy.tidy(&Exchange{ResponseBody: `{"a":null,"b":""}`})
	if diff := cmp.Diff(map[string]bool{cached: true, empty: true}, verdicts(tidy)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]bool{cached: false, empty: false}, verdicts(untidy)); diff != "" || untidy.Checks[1].Got != "a b" {
		t.Errorf("got %q, %s", untidy.Checks[1].Got, diff)
	}
}

func TestReasonOfAResource(t *testing.T) {
	exchange := &Exchange{Status: 401, ResponseHeader: http.Header{"Www-Authenticate": {
		`DPoP algs="ES256", error_description="the token, or its key, is not good", error="invalid_token"`}}}
	if exchange.Outcome() != "401 invalid_token" || exchange.ErrorDescription() != "the token, or its key, is not good" {
		t.Errorf("got %s, %s", exchange.Outcome(), exchange.ErrorDescription())
	}
}

// FDX-11: a resource of FDX says in other members why it refuses; a challenge still says it as the RFCs do.
func TestReasonOfFDX(t *testing.T) {
	e := &Exchange{Status: 404, ResponseHeader: http.Header{}, ResponseBody: `{"code":"consent_unknown","message":"There is none.","debugMessage":"no consent"}`}
	if e.Outcome() != "404 consent_unknown" || e.ErrorDescription() != "no consent" {
		t.Errorf("%s: %s", e.Outcome(), e.ErrorDescription())
	}
	e.Status = 401
	e.ResponseHeader.Set("WWW-Authenticate", `DPoP error="invalid_token", error_description="expired"`)
	if e.Outcome() != "401 invalid_token" || e.ErrorDescription() != "expired" {
		t.Errorf("%s: %s", e.Outcome(), e.ErrorDescription())
	}
	if e := (&Exchange{Status: 200, ResponseBody: `{"code":"of something else"}`}); e.Outcome() != "200" {
		t.Error(e.Outcome())
	}
}

func TestScopeOrderMeansNothing(t *testing.T) {
	step := &Step{}
	step.scope("a b", "b a")
	step.scope("a b", "a")
	if !step.Checks[0].OK || step.Checks[1].OK {
		t.Errorf("got %v", step.Checks)
	}
}
