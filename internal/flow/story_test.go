package flow

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The signs by which each flow is offered, as they stand in a server's metadata.
var signs = map[string][]string{
	"cc":      {"grant_types_supported"},
	"code":    {"grant_types_supported", "authorization_endpoint", "pushed_authorization_request_endpoint"},
	"refresh": {"grant_types_supported"},
	"fdx":     {"authorization_details_types_supported"},
	"openid":  {"userinfo_endpoint", "id_token_signing_alg_values_supported"},
}

// A flow is left out only where nothing in the metadata speaks for it: with any one sign of it, it is played, and finds what
// else is missing.
func TestNoOfferedFlowIsLeftOut(t *testing.T) {
	server, registrant := start(t)
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
	if diff := cmp.Diff([]string{"cc", "code", "refresh", "fdx", "openid"}, all); diff != "" {
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
	for _, empty := range []map[string]any{{"userinfo_endpoint": ""}, {"id_token_signing_alg_values_supported": []string{}}} {
		if played, _ := offers("openid", empty); slices.Contains(played, "openid") {
			t.Errorf("openid is played with %v", empty)
		}
	}
}

// A story begins the flow of its name.
func TestStoriesBeginTheirFlows(t *testing.T) {
	for _, story := range Stories() {
		_, registrant := start(t)
		report, err := story.Begin(Authorization{Registrant: registrant, Person: alex}).Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if report.Flow != story.Name || story.Tells == "" || report.Passed == 0 {
			t.Errorf("%s begins %s", story.Name, report.Flow)
		}
	}
}
