package par

import (
	"errors"
	"slices"
	"testing"

	"authserver/internal/client"
	"authserver/internal/grant"
	"authserver/internal/oauth"
)

// TestModes: AUTHZ-09, JARM-04. A mode is one that this server has, and one of those that the client registered, if it did.
func TestModes(t *testing.T) {
	const unsupported, refused = oauth.ResponseModeUnsupported, oauth.ResponseModeRefused
	for _, test := range []struct {
		asked      string
		registered []string
		want       string
		refusal    oauth.Reason
	}{
		{asked: ""}, {asked: "query"}, {asked: "jwt", want: grant.QueryJWT}, {asked: "query.jwt", want: grant.QueryJWT},
		{asked: "form_post.jwt", want: grant.FormPostJWT},
		{asked: "form_post", refusal: unsupported}, {asked: "fragment", refusal: unsupported},
		{asked: "fragment.jwt", refusal: unsupported}, {asked: "JWT", refusal: unsupported},
		{asked: "jwt query", refusal: unsupported}, {asked: " jwt", refusal: unsupported},
		{asked: "form_post", registered: []string{"form_post"}, refusal: unsupported},

		{asked: "", registered: []string{"query"}}, {asked: "query", registered: []string{"jwt", "query"}},
		{asked: "jwt", registered: []string{"query.jwt"}, want: grant.QueryJWT},
		{asked: "query.jwt", registered: []string{"jwt"}, want: grant.QueryJWT},
		{asked: "form_post.jwt", registered: []string{"jwt", "form_post.jwt"}, want: grant.FormPostJWT},
		{asked: "", registered: []string{"jwt"}, refusal: refused},
		{asked: "query", registered: []string{"jwt", "query.jwt", "form_post.jwt"}, refusal: refused},
		{asked: "", registered: []string{"form_post"}, refusal: refused},
		{asked: "jwt", registered: []string{"query"}, refusal: refused},
		{asked: "jwt", registered: []string{"form_post.jwt"}, refusal: refused},
		{asked: "form_post.jwt", registered: []string{"jwt", "form_post"}, refusal: refused},
	} {
		c := recipient(func(c *client.Client) { c.Metadata.ResponseModes = test.registered })
		p, err := (&Endpoint{}).judge(c, request(t, "response_mode", test.asked))
		if refusal, _ := errors.AsType[*oauth.Error](err); test.refusal != "" {
			if refusal == nil || refusal.Reason != test.refusal {
				t.Errorf("%q of %q: %v, want %s", test.asked, test.registered, err, test.refusal)
			}
		} else if err != nil || p.ResponseMode != test.want {
			t.Errorf("%q of %q: %q %v, want %q", test.asked, test.registered, p.ResponseMode, err, test.want)
		}
	}
}

// What the metadata lists is what is taken.
func TestModesListed(t *testing.T) {
	listed := ResponseModes()
	for name := range modes {
		if name != "" && !slices.Contains(listed, name) {
			t.Errorf("%s is taken and not listed", name)
		}
	}
	if len(listed) != len(modes)-1 {
		t.Errorf("%q are listed, %v are taken", listed, modes)
	}
}
