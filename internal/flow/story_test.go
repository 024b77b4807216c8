package flow

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The signs by which each flow is offered, as they stand in a server's metadata.
var signs = map[string][]string{
	"cc":         {"grant_types_supported"},
	"code":       {"grant_types_supported", "authorization_endpoint", "pushed_authorization_request_endpoint"},
	"refresh":    {"grant_types_supported"},
	"fdx":        {"authorization_details_types_supported"},
	"openid":     {"userinfo_endpoint", "id_token_signing_alg_values_supported"},
	"mtls":       {"tls_client_certificate_bound_access_tokens", "token_endpoint_auth_methods_supported"},
	"jwt-bearer": {"grant_types_supported"},
}

// A flow is left out only where nothing in the metadata speaks for it: with any one sign of it, it is played, and finds what
// else is missing.
func TestNoOfferedFlowIsLeftOut(t *testing.T) {
	server, registrant := startMutual(t)
	offers := func(name string, document map[string]any) (played []string, why string) {
		server.bends = map[string]func(map[string]any){discovery: func(all map[string]any) {
			for _, member := range signs[name] {
				delete(all, member)
			}
			for member, value := range document {
				all[member] = value
			}
		}}
		registrant.Server.Metadata = Metadata{}
		if err := registrant.Server.Discover(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, story := range Stories() {
			not := story.NotOffered(registrant.Server.Metadata)
			if not == "" {
				played = append(played, story.Name)
			}
			if story.Name == name {
				why = not
			}
		}
		return played, why
	}
	all, _ := offers("", nil)
	if diff := cmp.Diff([]string{"cc", "code", "refresh", "fdx", "openid", "mtls", "jwt-bearer"}, all); diff != "" {
		t.Error(diff)
	}
	whole := server.metadata()
	for name, members := range signs {
		played, why := offers(name, nil)
		if slices.Contains(played, name) || !strings.HasPrefix(why, "the metadata has no ") {
			t.Errorf("%s is played without any of %s: %q", name, members, why)
		}
		for _, member := range members {
			if !strings.Contains(why, member) {
				t.Errorf("%s: %q does not name %s", name, why, member)
			}
			if played, why := offers(name, map[string]any{member: whole[member]}); !slices.Contains(played, name) || why != "" {
				t.Errorf("%s is not played with %s: %q", name, member, why)
			}
		}
	}
	for name, empties := range map[string][]map[string]any{
		"openid": {{"userinfo_endpoint": ""}, {"id_token_signing_alg_values_supported": []string{}}},
		"mtls": {{"tls_client_certificate_bound_access_tokens": false},
			{"token_endpoint_auth_methods_supported": []string{"private_key_jwt"}}},
	} {
		for _, empty := range empties {
			if played, _ := offers(name, empty); slices.Contains(played, name) {
				t.Errorf("%s is played with %v", name, empty)
			}
		}
	}
}

// A story begins the flow of its name.
func TestStoriesBeginTheirFlows(t *testing.T) {
	for _, story := range Stories() {
		_, registrant := startMutual(t)
		without := Authorization{Registrant: registrant}
		registrant.IssuerKey = issuerKey(t)
		with := Authorization{Registrant: registrant, Person: alex}
		if story.Lacks(with) != "" || (story.Lacks(without) != "") != (story.Name == "jwt-bearer") {
			t.Errorf("%s lacks %q, and without a key %q", story.Name, story.Lacks(with), story.Lacks(without))
		}
		report, err := story.Begin(with).Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if report.Flow != story.Name || story.Tells == "" || story.By == "" || report.Passed == 0 {
			t.Errorf("%s begins %s", story.Name, report.Flow)
		}
	}
}
