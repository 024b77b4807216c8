package person

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"authserver/internal/jose"
	"authserver/internal/oauth"
)

func TestUpstreamProves(t *testing.T) {
	o := newOP(t)
	got, err := o.trip(o.upstream(), Wish{}, func(url.Values) {
		maps.Copy(o.Claims, map[string]any{
			"auth_time": noon.Add(-time.Hour).Unix(), "acr": "urn:example:passkey", "amr": []string{"hwk", "pin"},
			"preferred_username": " kim\u202e\x07 ", "name": "Kim",
		})
	})
	want := Arrived{
		Identity: Identity{Issuer: o.URL, Subject: "kim"}, Name: "kim", At: time.Unix(noon.Add(-time.Hour).Unix(), 0),
		ACR: "urn:example:passkey", AMR: []string{"hwk", "pin"},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("arrived %+v, %v; want %+v", got, err, want)
	}
	for name, value := range map[string]string{
		"response_type": "code", "client_id": ourID, "redirect_uri": ourReturn, "scope": "openid", "state": state,
		"code_challenge_method": "S256",
	} {
		if got := o.Asked.Get(name); got != value {
			t.Errorf("%s is %q, want %q", name, got, value)
		}
	}
	for _, name := range []string{"prompt", "max_age", "acr_values", "login_hint", "ui_locales", "claims", "response_mode"} {
		if o.Asked.Has(name) {
			t.Errorf("%s was asked for: %q", name, o.Asked.Get(name))
		}
	}
}

// TestUpstreamSaysLittle: what is not in the ID token is not claimed.
func TestUpstreamSaysLittle(t *testing.T) {
	o := newOP(t)
	got, err := o.trip(o.upstream(), Wish{}, nil)
	want := Arrived{Identity: Identity{Issuer: o.URL, Subject: "kim"}, At: time.Unix(noon.Unix(), 0)}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("arrived %+v, %v; want %+v", got, err, want)
	}
}

// TestUpstreamAnswer: AZ-26: the authorization response, whose it is and what it says.
func TestUpstreamAnswer(t *testing.T) {
	says := func(code string) func(url.Values) {
		return func(back url.Values) { back.Del("code"); back.Set("error", code) }
	}
	for name, c := range map[string]struct {
		change func(back url.Values)
		want   oauth.Reason
	}{
		"AZ-26 another iss":                {func(back url.Values) { back.Set("iss", "https://op.example") }, oauth.UpstreamRefused},
		"AZ-26 another iss with an error":  {func(back url.Values) { says("access_denied")(back); back.Set("iss", "x") }, oauth.UpstreamRefused},
		"AZ-26 no iss, although announced": {func(back url.Values) { back.Del("iss") }, oauth.UpstreamRefused},
		"AZ-26 an empty iss":               {func(back url.Values) { back.Set("iss", "") }, oauth.UpstreamRefused},
		"another state":                    {func(back url.Values) { back.Set("state", "another") }, oauth.UpstreamRefused},
		"no state":                         {func(back url.Values) { back.Del("state") }, oauth.UpstreamRefused},
		"no code":                          {func(back url.Values) { back.Del("code") }, oauth.UpstreamRefused},
		"two codes":                        {func(back url.Values) { back.Add("code", "another") }, oauth.UpstreamRefused},
		"another code":                     {func(back url.Values) { back.Set("code", "another") }, oauth.UpstreamRefused},
		"a code and an error":              {func(back url.Values) { back.Set("error", "server_error") }, oauth.UpstreamRefused},
		"a code and an empty error":        {func(back url.Values) { back.Set("error", "") }, oauth.UpstreamRefused},
		"access_denied":                    {says("access_denied"), oauth.PersonDenied},
		"unmet requirements":               {says("unmet_authentication_requirements"), oauth.AuthenticationTooWeak},
		"login_required":                   {says("login_required"), oauth.UpstreamRefused},
		"an error of their own":            {says("<script>\n"), oauth.UpstreamRefused},
		"an empty error":                   {says(""), oauth.UpstreamRefused},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOP(t)
			_, err := o.trip(o.upstream(), Wish{}, c.change)
			if refusal := refused(t, err, c.want); refusal.Cause == nil || strings.Contains(refusal.Cause.Error(), "\n") {
				t.Errorf("the cause is %q", refusal.Cause)
			}
		})
	}
	t.Run("AZ-26 no iss, and none announced", func(t *testing.T) {
		o := newOP(t)
		delete(o.Metadata, "authorization_response_iss_parameter_supported")
		if _, err := o.trip(o.upstream(), Wish{}, func(back url.Values) { back.Del("iss") }); err != nil {
			t.Error(err)
		}
	})
}

// TestUpstreamRecent: AZ-17: a wish for a recent authentication is asked for and held against auth_time.
func TestUpstreamRecent(t *testing.T) {
	arrived := noon.Add(-2 * time.Minute) // the browser, here
	fresh, recent := Wish{Fresh: true, Since: arrived}, Wish{MaxAge: seconds(300), Since: arrived}
	for name, c := range map[string]struct {
		wish   Wish
		at     time.Duration // from the browser's arrival; 0: no auth_time
		want   time.Duration // likewise, and from 0 a refusal
		prompt string
		maxAge string
	}{
		"AZ-17 fresh":                        {fresh, time.Minute, time.Minute, "login", "0"},
		"AZ-17 stale":                        {fresh, -11 * time.Second, 0, "login", "0"},
		"AZ-17 fresh, no auth_time":          {fresh, 0, 0, "login", "0"},
		"fresh by a clock that is behind":    {fresh, -9 * time.Second, 1, "login", "0"},
		"AZ-17 max_age":                      {recent, -299 * time.Second, -299 * time.Second, "", "300"},
		"AZ-17 max_age exceeded":             {recent, -311 * time.Second, 0, "", "300"},
		"AZ-17 max_age, no auth_time":        {recent, 0, 0, "", "300"},
		"max_age by a clock that is behind":  {recent, -309 * time.Second, -300 * time.Second, "", "300"},
		"by a clock that is ahead":           {recent, 129 * time.Second, 2 * time.Minute, "", "300"},
		"AZ-17 max_age=0 exceeded":           {Wish{MaxAge: seconds(0), Since: arrived}, -11 * time.Second, 0, "", "0"},
		"AZ-17 fresh beats max_age":          {Wish{Fresh: true, MaxAge: seconds(300), Since: arrived}, -11 * time.Second, 0, "login", "300"},
		"fresh, with a prompt of the client": {Wish{Fresh: true, Prompt: []string{"consent", "login"}, Since: arrived}, time.Minute, time.Minute, "consent login", "0"},
		"fresh, when an account is chosen":   {Wish{Fresh: true, Prompt: []string{"select_account"}, Since: arrived}, time.Minute, time.Minute, "login", "0"},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOP(t)
			got, err := o.trip(o.upstream(), c.wish, func(url.Values) {
				if c.at != 0 {
					o.Claims["auth_time"] = arrived.Add(c.at).Unix()
				}
			})
			if o.Asked.Get("prompt") != c.prompt || o.Asked.Get("max_age") != c.maxAge {
				t.Errorf("asked for prompt %q and max_age %q", o.Asked.Get("prompt"), o.Asked.Get("max_age"))
			}
			if c.want == 0 {
				refused(t, err, oauth.UpstreamRefused)
				return
			}
			if want := arrived.Add(c.want).Truncate(time.Second); err != nil || !got.At.Equal(want) {
				t.Errorf("authenticated at %s, %v; want %s", got.At, err, want)
			}
		})
	}
	t.Run("by a clock here that is behind", func(t *testing.T) {
		for name, w := range map[string]Wish{"fresh": {Fresh: true}, "max_age": {MaxAge: seconds(0)}} {
			o := newOP(t)
			w.Since = noon.Add(3 * time.Second) // as the replica knows it where the browser arrived
			got, err := o.trip(o.upstream(), w, func(url.Values) { o.Claims["auth_time"] = noon.Add(5 * time.Second).Unix() })
			if err != nil || got.At.Before(w.Since) {
				t.Errorf("%s: authenticated at %s, %v; it was after %s", name, got.At, err, w.Since)
			}
		}
	})
	t.Run("since nobody knows when", func(t *testing.T) {
		u := newOP(t).upstream()
		for _, w := range []Wish{{Fresh: true}, {MaxAge: seconds(1)}} {
			_, err1 := u.Depart(t.Context(), w, state, noon)
			_, err2 := u.Arrive(t.Context(), state, Answer{Code: "c"}, w, noon)
			for _, err := range []error{err1, err2} {
				// The caller's fault is no refusal.
				if _, is := errors.AsType[*oauth.Error](err); is || err == nil {
					t.Errorf("%+v: %v", w, err)
				}
			}
		}
	})
}

func TestUpstreamACR(t *testing.T) {
	wish := Wish{ACRValues: []string{"urn:example:passkey", "urn:example:password"}}
	for acr, good := range map[string]bool{"urn:example:passkey": true, "urn:example:password": true, "urn:example:pass": false, "": false} {
		o := newOP(t)
		got, err := o.trip(o.upstream(), wish, func(url.Values) {
			if acr != "" {
				o.Claims["acr"] = acr
			}
		})
		if o.Asked.Get("acr_values") != "urn:example:passkey urn:example:password" {
			t.Errorf("asked for %q", o.Asked.Get("acr_values"))
		}
		if !good {
			refused(t, err, oauth.AuthenticationTooWeak)
		} else if err != nil || got.ACR != acr {
			t.Errorf("%q: arrived with %q, %v", acr, got.ACR, err)
		}
	}
}

// TestUpstreamWishes: the rest of the wish goes upstream; claims only where the upstream takes it.
func TestUpstreamWishes(t *testing.T) {
	o := newOP(t)
	o.Metadata["claims_parameter_supported"] = true
	if _, err := o.trip(o.upstream(), Wish{LoginHint: "kim&prompt=none", UILocales: []string{"es", "fr"}, Prompt: []string{"consent"}}, nil); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"login_hint": "kim&prompt=none", "ui_locales": "es fr", "prompt": "consent", "claims": `{"id_token":{"auth_time":{"essential":true},"amr":null,"preferred_username":null,"name":null}}`,
	} {
		if got := o.Asked.Get(name); got != value {
			t.Errorf("%s is %q, want %q", name, got, value)
		}
	}
}

// TestUpstreamPrompts: choosing an account is asked for where it is known; a fresh login is in any case.
func TestUpstreamPrompts(t *testing.T) {
	for known, want := range map[string]string{"": "login", "none login consent": "login", "login select_account": "login select_account"} {
		o := newOP(t)
		o.Metadata["prompt_values_supported"] = strings.Fields(known)
		w := Wish{Prompt: []string{"select_account"}, Fresh: true, Since: noon}
		_, err := o.trip(o.upstream(), w, func(url.Values) { o.Claims["auth_time"] = noon.Unix() })
		if err != nil || o.Asked.Get("prompt") != want || w.Prompt[0] != "select_account" {
			t.Errorf("of %q asked for %q, %v", known, o.Asked.Get("prompt"), err)
		}
	}
}

// TestUpstreamDerives: nonce and verifier belong to one state and one key, and neither shows in what the browser carries.
func TestUpstreamDerives(t *testing.T) {
	o := newOP(t)
	other := func(s *UpstreamSettings) { s.Key = []byte(strings.Repeat("k", 32)) }
	seen := map[string]string{}
	for name, u := range map[string]*Upstream{"one": o.upstream(), "other": o.upstream(other)} {
		for _, state := range []string{"a", "b"} {
			departure, err := u.Depart(t.Context(), Wish{}, state, noon)
			if err != nil {
				t.Fatal(err)
			}
			back := o.Authorize(departure)
			for _, p := range []string{"nonce", "code_challenge"} {
				at := name + " " + state + " " + p
				if twin, ok := seen[o.Asked.Get(p)]; ok {
					t.Errorf("%s is that of %s", at, twin)
				}
				seen[o.Asked.Get(p)] = at
			}
			if verifier := derive(u.verifiers, state); verifier == o.Asked.Get("nonce") || strings.Contains(departure, verifier) || len(verifier) != 43 {
				t.Errorf("%s %s: the verifier %q shows", name, state, verifier)
			}
			// The answer to one departure is none to another, even where the upstream would give out the token.
			_, err = o.upstream().comeBack(t.Context(), "c", url.Values{"code": back["code"], "state": {"c"}, "iss": back["iss"]}, Wish{}, noon)
			refused(t, err, oauth.UpstreamRefused)
		}
	}
}

// TestUpstreamAuthenticates: the way in which we prove ourselves, and that a code is tried once.
func TestUpstreamAuthenticates(t *testing.T) {
	key := newSigner(t, jose.PS256, "ours")
	for name, c := range map[string]struct {
		methods []string
		key     *jose.Signer
		want    string
	}{
		"unsaid":                      {nil, nil, "basic"},
		"basic and post":              {[]string{"client_secret_post", "client_secret_basic"}, nil, "basic"},
		"post alone":                  {[]string{"client_secret_post"}, nil, "post"},
		"key":                         {[]string{"private_key_jwt"}, key, "key"},
		"key, of an upstream unasked": {[]string{"client_secret_basic"}, key, "key"},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOP(t)
			o.Metadata["token_endpoint_auth_methods_supported"] = c.methods
			var got string
			o.Answer = func(w http.ResponseWriter, r *http.Request) {
				got = wayOf(t, r, key, o.URL)
				w.WriteHeader(http.StatusUnauthorized)
				_, _ = fmt.Fprintf(w, `{"error":"invalid_client","error_description":"who?"}`)
			}
			u := o.upstream(func(s *UpstreamSettings) {
				if c.key != nil {
					s.ClientKey, s.ClientSecret = c.key, ""
				}
			})
			_, err := o.trip(u, Wish{}, nil)
			refusal := refused(t, err, oauth.UpstreamRefused)
			if got != c.want || o.Requests["/token"] != 1 {
				t.Errorf("authenticated by %q in %d requests, want %q in one", got, o.Requests["/token"], c.want)
			}
			if cause := refusal.Cause.Error(); !strings.Contains(cause, "who?") || strings.Contains(cause, ourSecret) {
				t.Errorf("the cause is %s", cause)
			}
		})
	}
}

// wayOf tells how a token request is authenticated.
func wayOf(t *testing.T, r *http.Request, key *jose.Signer, issuer string) string {
	t.Helper()
	id, secret, basic := r.BasicAuth()
	posted, assertion := r.PostFormValue("client_secret"), r.PostFormValue("client_assertion")
	switch {
	case basic && id == url.QueryEscape(ourID) && secret == url.QueryEscape(ourSecret) && posted+assertion == "":
		return "basic"
	case !basic && posted == ourSecret && r.PostFormValue("client_id") == ourID && assertion == "":
		return "post"
	case basic || posted != "" || assertion == "":
		return "none or several"
	}
	j, err := jose.Door{MaxBytes: 4096, Types: []string{"JWT"}}.Parse(assertion)
	if err != nil {
		t.Fatal(err)
	}
	claims, err := j.Verify(key.Key())
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Iss, Sub, Aud, JTI string
		IAT, Exp           int64
	}
	raw, _ := base64.RawURLEncoding.DecodeString(strings.Split(assertion, ".")[1])
	if err := json.Unmarshal(raw, &got); err != nil || !claims.Has("jti") {
		t.Fatal(err)
	}
	if got.Iss != ourID || got.Sub != ourID || got.Aud != issuer || len(got.JTI) != 43 || got.IAT != noon.Unix() || got.Exp != noon.Unix()+60 {
		t.Errorf("the assertion says %+v", got)
	}
	return "key"
}
