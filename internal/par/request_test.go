package par

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"authserver/internal/client"
	"authserver/internal/fdx"
	"authserver/internal/grant"
	"authserver/internal/oauth"

	"github.com/google/go-cmp/cmp"
)

const (
	challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM" // RFC 7636, appendix B
	callback  = "https://c1.example/cb"
	api       = "https://api.example"
)

// recipient is a client that may ask people.
func recipient(edits ...func(*client.Client)) client.Client {
	c := client.Client{ID: "c1"}
	c.Metadata.GrantTypes = []string{"authorization_code"}
	c.Metadata.RedirectURIs = []string{callback, "https://c1.example/cb?dummy1=lorem"}
	c.Metadata.Scope = "fdx:accountbasic:read fdx:transactions:read openid client.read"
	for _, edit := range edits {
		edit(&c)
	}
	return c
}

// request is a good one, with some parameters set to other values; "" leaves one out.
func request(t *testing.T, pairs ...string) oauth.Form {
	t.Helper()
	values := url.Values{
		"response_type": {"code"}, "redirect_uri": {callback}, "scope": {"fdx:accountbasic:read"}, "state": {"s"},
		"code_challenge": {challenge}, "code_challenge_method": {"S256"},
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		values[pairs[i]] = strings.Split(pairs[i+1], "\n")
	}
	r := httptest.NewRequest(http.MethodPost, "/oauth2/par", io.NopCloser(strings.NewReader(values.Encode())))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	form, err := oauth.ReadForm(r, oauth.FormOnly)
	if err != nil {
		t.Fatal(err)
	}
	return form
}

// once is what scopes of FDX alone ask for.
func once(clusters ...string) fdx.Details {
	return fdx.Details{fdx.ConsentRequest{DurationType: fdx.OneTime,
		Resources: []fdx.Resource{{ResourceType: fdx.Account, DataClusters: clusters}}}}
}

func seconds(n int) *int { return &n }

func TestJudgeAccepts(t *testing.T) {
	good := grant.Pushed{ClientID: "c1", RedirectURI: callback, State: "s", Scope: "fdx:accountbasic:read",
		Details: once("ACCOUNT_BASIC"), CodeChallenge: challenge}
	with := func(edit func(*grant.Pushed)) grant.Pushed { p := good; edit(&p); return p }
	native := func(c *client.Client) {
		c.Metadata.ApplicationType, c.Metadata.RedirectURIs = "native", []string{"http://127.0.0.1/cb", "http://[::1]:8080/cb"}
	}
	for name, test := range map[string]struct {
		client  client.Client
		request []string
		want    grant.Pushed
	}{
		"what FAPI asks for":       {recipient(), nil, good},
		"PR-02 a stray grant_type": {recipient(), []string{"grant_type", "client_credentials"}, good},
		"a registered query":       {recipient(), []string{"redirect_uri", callback + "?dummy1=lorem"}, with(func(p *grant.Pushed) { p.RedirectURI += "?dummy1=lorem" })},
		"no scope: all that a person can grant": {recipient(), []string{"scope", ""}, with(func(p *grant.Pushed) {
			p.Scope, p.Details = "fdx:accountbasic:read fdx:transactions:read openid", once("ACCOUNT_BASIC", "TRANSACTIONS")
		})},
		"what no person grants is left out":        {recipient(), []string{"scope", "client.read fdx:accountbasic:read"}, good},
		"openid stays":                             {recipient(), []string{"scope", "openid fdx:accountbasic:read"}, with(func(p *grant.Pushed) { p.Scope = "openid fdx:accountbasic:read" })},
		"openid alone":                             {recipient(), []string{"scope", "openid"}, with(func(p *grant.Pushed) { p.Scope, p.Details = "openid", nil })},
		"a state of 2 KiB":                         {recipient(), []string{"state", strings.Repeat("s", 2048)}, with(func(p *grant.Pushed) { p.State = strings.Repeat("s", 2048) })},
		"resources, each once":                     {recipient(), []string{"resource", api + "\n" + api}, with(func(p *grant.Pushed) { p.Resources = []string{api} })},
		"prompts":                                  {recipient(), []string{"prompt", "login consent"}, with(func(p *grant.Pushed) { p.Prompt = []string{"login", "consent"} })},
		"a max_age of 10 years":                    {recipient(), []string{"max_age", "315360000"}, with(func(p *grant.Pushed) { p.MaxAge = seconds(315_360_000) })},
		"max_age=0":                                {recipient(), []string{"max_age", "0"}, with(func(p *grant.Pushed) { p.MaxAge = seconds(0) })},
		"the registered max_age":                   {recipient(func(c *client.Client) { c.Metadata.DefaultMaxAge = seconds(60) }), nil, with(func(p *grant.Pushed) { p.MaxAge = seconds(60) })},
		"claims with members that nobody knows":    {recipient(), []string{"claims", `{"sharing_duration":31536000}`}, good},
		"PR-41 another port of a native app":       {recipient(native), []string{"redirect_uri", "http://127.0.0.1:49152/cb"}, with(func(p *grant.Pushed) { p.RedirectURI = "http://127.0.0.1:49152/cb" })},
		"PR-41 another port of a native app, IPv6": {recipient(native), []string{"redirect_uri", "http://[::1]:1/cb"}, with(func(p *grant.Pushed) { p.RedirectURI = "http://[::1]:1/cb" })},
	} {
		got, err := (&Endpoint{Resources: []string{api}}).judge(test.client, request(t, test.request...))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestJudgeRefuses(t *testing.T) {
	native := func(c *client.Client) {
		c.Metadata.ApplicationType, c.Metadata.RedirectURIs = "native", []string{"http://127.0.0.1/cb", "https://c1.example/cb"}
	}
	for name, test := range map[string]struct {
		client  client.Client
		request []string
		want    oauth.Reason
	}{
		"authorization_details":              {recipient(), []string{"authorization_details", "[]"}, oauth.DetailsMalformed},
		"PR-07 no redirect_uri":              {recipient(), []string{"redirect_uri", ""}, oauth.ParameterMissing},
		"PR-08 a longer path":                {recipient(), []string{"redirect_uri", callback + "/extra"}, oauth.RedirectURIUnknown},
		"PR-08 a prefix of another host":     {recipient(), []string{"redirect_uri", "https://c1.example.evil.com/cb"}, oauth.RedirectURIUnknown},
		"PR-09 dots":                         {recipient(), []string{"redirect_uri", "https://c1.example/x/../cb"}, oauth.RedirectURIUnknown},
		"PR-09 escaped slashes":              {recipient(), []string{"redirect_uri", "https://c1.example/x%2f..%2fcb"}, oauth.RedirectURIUnknown},
		"PR-10 a user name":                  {recipient(), []string{"redirect_uri", "https://user:pw@c1.example/cb"}, oauth.RedirectURIUnknown},
		"PR-11 another case":                 {recipient(), []string{"redirect_uri", "https://c1.example/CB"}, oauth.RedirectURIUnknown},
		"PR-12 an added query":               {recipient(), []string{"redirect_uri", callback + "?x=1"}, oauth.RedirectURIUnknown},
		"PR-13 token":                        {recipient(), []string{"response_type", "token"}, oauth.ResponseTypeUnsupported},
		"PR-13 code id_token":                {recipient(), []string{"response_type", "code id_token"}, oauth.ResponseTypeUnsupported},
		"PR-13 none":                         {recipient(), []string{"response_type", ""}, oauth.ParameterMissing},
		"PR-14 no challenge":                 {recipient(), []string{"code_challenge", ""}, oauth.ParameterMissing},
		"PR-15 plain":                        {recipient(), []string{"code_challenge_method", "plain"}, oauth.ChallengeRefused},
		"PR-16 no method":                    {recipient(), []string{"code_challenge_method", ""}, oauth.ChallengeRefused},
		"PR-17 42 characters":                {recipient(), []string{"code_challenge", challenge[1:]}, oauth.ChallengeRefused},
		"PR-17 padding":                      {recipient(), []string{"code_challenge", challenge + "="}, oauth.ChallengeRefused},
		"PR-17 plain base64":                 {recipient(), []string{"code_challenge", strings.Replace(challenge, "-", "+", 1)}, oauth.ChallengeRefused},
		"a second spelling":                  {recipient(), []string{"code_challenge", challenge[:42] + "N"}, oauth.ChallengeRefused},
		"PR-23 a scope beyond":               {recipient(), []string{"scope", "fdx:tax:read"}, oauth.ScopeNotRegistered},
		"openid, which is not registered":    {recipient(func(c *client.Client) { c.Metadata.Scope = "fdx:accountbasic:read" }), []string{"scope", "openid fdx:accountbasic:read"}, oauth.ScopeNotRegistered},
		"a scope that no person grants":      {recipient(), []string{"scope", "client.read"}, oauth.ScopeEmpty},
		"only such scopes":                   {recipient(func(c *client.Client) { c.Metadata.Scope = "client.read" }), []string{"scope", ""}, oauth.ScopeEmpty},
		"another grant":                      {recipient(func(c *client.Client) { c.Metadata.GrantTypes = []string{"client_credentials"} }), nil, oauth.GrantTypeNotRegistered},
		"another mode":                       {recipient(), []string{"response_mode", "fragment"}, oauth.ResponseModeUnsupported},
		"another resource":                   {recipient(), []string{"resource", "https://evil.example"}, oauth.ResourceRefused},
		"AZ-12 a state beyond 2 KiB":         {recipient(), []string{"state", strings.Repeat("s", 2049)}, oauth.ParameterTooLong},
		"a long acr value":                   {recipient(), []string{"acr_values", strings.Repeat("a", 2049)}, oauth.ParameterTooLong},
		"many locales":                       {recipient(), []string{"ui_locales", strings.Repeat("en ", 21)}, oauth.ParameterTooLong},
		"a prompt over and over":             {recipient(), []string{"prompt", strings.Repeat("login ", 21)}, oauth.ParameterTooLong},
		"AZ-16 none beside login":            {recipient(), []string{"prompt", "none login"}, oauth.PromptRefused},
		"prompts with another space between": {recipient(), []string{"prompt", "login\tconsent"}, oauth.PromptRefused},
		"an unknown prompt":                  {recipient(), []string{"prompt", "create"}, oauth.PromptRefused},
		"a negative max_age":                 {recipient(), []string{"max_age", "-1"}, oauth.MaxAgeRefused},
		"a max_age of more than 10 years":    {recipient(), []string{"max_age", "2147483648"}, oauth.MaxAgeRefused},
		"a max_age with a sign":              {recipient(), []string{"max_age", "+1"}, oauth.MaxAgeRefused},
		"PR-41 localhost for 127.0.0.1":      {recipient(native), []string{"redirect_uri", "http://localhost:49152/cb"}, oauth.RedirectURIUnknown},
		"PR-41 a query":                      {recipient(native), []string{"redirect_uri", "http://127.0.0.1:49152/cb?x"}, oauth.RedirectURIUnknown},
		"PR-41 another address":              {recipient(native), []string{"redirect_uri", "http://[::1]:1/cb"}, oauth.RedirectURIUnknown},
		"a port of no loopback":              {recipient(native), []string{"redirect_uri", "https://c1.example:8443/cb"}, oauth.RedirectURIUnknown},
		"another port of a web app":          {recipient(func(c *client.Client) { native(c); c.Metadata.ApplicationType = "web" }), []string{"redirect_uri", "http://127.0.0.1:1/cb"}, oauth.RedirectURIUnknown},
	} {
		_, err := (&Endpoint{Resources: []string{api}}).judge(test.client, request(t, test.request...))
		if refusal, ok := errors.AsType[*oauth.Error](err); !ok || refusal.Reason != test.want {
			t.Errorf("%s: %v, want %s", name, err, test.want)
		}
	}
}
