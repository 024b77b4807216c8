package flow

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func playMutual(t *testing.T, bend func(*careless, *MutualTLS), edits ...func(*tls.Config)) *Report {
	t.Helper()
	server, registrant := startMutual(t, edits...)
	run := &MutualTLS{Authorization: Authorization{Registrant: registrant, Person: alex}}
	if bend != nil {
		bend(server, run)
	}
	report, err := run.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// What a careless server does not refuse.
var (
	badBinding = []string{"12 no certificate to bind to", "12 a DPoP proof in its place", "12 a certificate, and no assertion"}
	badRefresh = []string{"12 a refresh without it"}
	badNames   = []string{
		"12 no certificate for tls_client_auth", "12 a certificate without client_id", "12 the same names, self-signed",
		"12 the client_id of another name", "12 another client's assertion beside it",
	}
	badPlace   = []string{"12 where no certificate is asked for"}
	badHeaders = []string{"12 a stranger's Client-Cert", "12 a stranger's X-Forwarded-Client-Cert", "12 a stranger's X-SSL-Client-Cert"}
	badAlone   = []string{"12 no certificate for x5c", "12 another certificate of the same key", "12 an authority's certificate for x5c"}
	badUse     = []string{
		"13 the token without the certificate", "13 the token with another one", "13 the token with scheme DPoP",
		"13 the token with a proof", "13 a stranger's Client-Cert", "13 a stranger's X-Forwarded-Client-Cert",
		"13 a stranger's X-SSL-Client-Cert",
	}
	badPersons       = []string{"13 a person's token without it"}
	badIntrospection = []string{"13 introspection without it"}
	badEnd           = []string{"14 introspection says nothing but inactive", "14 the resource refuses the token"}
	badDeletion      = []string{"14 a token for the deleted client", "14 the deleted registration"}
)

// What a careless server does well passes, and each of its omissions is found.
func TestACarelessServerIsFoundOutWithCertificates(t *testing.T) {
	report := playMutual(t, nil)
	t.Run("redacted", func(t *testing.T) { checkRedacted(t, report, 60) })
	want := slices.Concat([]string{"3 the same name for another client"}, badBinding, badRefresh, badNames, badPlace, badHeaders,
		badAlone, badUse, badPersons, badIntrospection, badEnd, badDeletion)
	if diff := cmp.Diff(want, failed(report)); diff != "" {
		t.Error(diff)
	}
	if report.Flow != "mtls" || report.Passed < 100 || len(report.Steps) != 14 {
		t.Errorf("flow %s: %d passed, %d steps", report.Flow, report.Passed, len(report.Steps))
	}
}

// without has the metadata lack members.
func without(s *careless, members ...string) {
	s.bends = map[string]func(map[string]any){discovery: func(document map[string]any) {
		for _, member := range members {
			delete(document, member)
		}
	}}
}

// onlyAuthorities has no client prove itself by a certificate that nobody vouches for.
func onlyAuthorities(s *careless) {
	s.bends = map[string]func(map[string]any){discovery: func(document map[string]any) {
		document["token_endpoint_auth_methods_supported"] = []string{byAuthority}
	}}
}

// What a server or the player lacks is left out, and the rest is played all the same.
func TestCertificatesWhereSomethingIsMissing(t *testing.T) {
	tests := map[string]struct {
		bend    func(*careless, *MutualTLS)
		want    []string
		skipped []int
	}{
		"no authority": {func(_ *careless, run *MutualTLS) { run.Certificate = nil },
			slices.Concat(badBinding, badRefresh, badAlone, badHeaders, badUse, badPersons, badEnd), nil},
		"no name in the certificate": {func(_ *careless, run *MutualTLS) {
			run.Certificate = vouchedFor(t, func(c *x509.Certificate) { *c = x509.Certificate{} })
		}, slices.Concat(badBinding, badRefresh, badAlone, badHeaders, badUse, badPersons, badEnd), nil},
		"nobody to ask": {func(s *careless, _ *MutualTLS) { without(s, "authorization_endpoint") },
			slices.Concat([]string{"3 the same name for another client"}, badBinding, badNames, badPlace, badHeaders, badAlone, badUse,
				badIntrospection, badEnd, badDeletion), []int{8, 9, 10, 11}},
		"no aliases": {func(s *careless, run *MutualTLS) {
			s.issuer, run.Server.Issuer = s.alias, s.alias
			without(s, "mtls_endpoint_aliases")
		}, slices.Concat([]string{"3 the same name for another client"}, badBinding, badRefresh, badNames, badHeaders, badAlone, badUse,
			badPersons, badIntrospection, badEnd, badDeletion), nil},
		"no demo accounts": {func(s *careless, _ *MutualTLS) { s.withoutDemo = true },
			slices.Concat([]string{"3 the same name for another client", "6 refused without a token", "6 WWW-Authenticate names the scheme"},
				badBinding, badRefresh, badNames, badPlace, badHeaders, badAlone, badUse, badPersons, badIntrospection, badEnd, badDeletion), nil},
		"every call needs a certificate": {func(s *careless, _ *MutualTLS) {
			s.demands = true
			onlyAuthorities(s)
		}, slices.Concat([]string{"3 the same name for another client"}, badBinding[2:], []string{badNames[1]}, badNames[3:],
			badUse[2:4], badEnd, badDeletion), nil},
		"only authorities": {func(s *careless, _ *MutualTLS) { onlyAuthorities(s) }, slices.Concat([]string{"3 the same name for another client"}, badBinding, badRefresh, badNames, badPlace, badHeaders, badUse,
			badPersons, badIntrospection, badEnd, badDeletion), nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			report := playMutual(t, test.bend)
			if diff := cmp.Diff(test.want, failed(report)); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(test.skipped, slices.Sorted(maps.Keys(skipped(report)))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Every check of certificates fails when only that is wrong.
func TestEveryMistakeWithCertificatesIsFound(t *testing.T) {
	set := func(route, name string, value any) func(*careless) {
		return func(s *careless) {
			s.bends = map[string]func(map[string]any){route: func(answer map[string]any) { answer[name] = value }}
		}
	}
	alias := func(name, prefix, path string) func(*careless) {
		return func(s *careless) {
			s.bends = map[string]func(map[string]any){discovery: func(document map[string]any) {
				document["mtls_endpoint_aliases"].(map[string]any)[name] = strings.Replace(s.alias, "https", prefix, 1) + path
			}}
		}
	}
	bound, other := "tls_client_certificate_bound_access_tokens", map[string]string{"x5t#S256": "x"}
	const programs, thumbprint = "1 aliases are https, of programs' endpoints alone", " cnf.x5t#S256 is the thumbprint of the certificate"
	tests := map[string]struct {
		bend func(*careless)
		want string
	}{
		"no way to be a certificate":     {set(discovery, "token_endpoint_auth_methods_supported", []string{"private_key_jwt"}), "1 clients may be their certificates"},
		"tokens are not bound":           {set(discovery, bound, false), "1 tokens may be bound to certificates"},
		"a page among the aliases":       {alias("authorization_endpoint", "https", "/authorize"), programs},
		"another page":                   {alias("end_session_endpoint", "https", "/logout"), programs},
		"an alias of nothing":            {alias("device_authorization_endpoint", "https", "/device"), programs},
		"an alias without TLS":           {alias("userinfo_endpoint", "http", "/userinfo"), programs},
		"another registration":           {set("POST /register", bound, false), "3 its tokens will be bound to the certificate"},
		"no interaction id":              {func(s *careless) { s.silent = true }, "4 x-fapi-interaction-id comes back"},
		"a refresh token for nobody":     {set("POST /token", "refresh_token", "r"), "4 no refresh token comes with it"},
		"another type":                   {set("POST /token", "token_type", "DPoP"), "4 token_type is Bearer"},
		"a token of another certificate": {set("", "cnf", other), "4" + thumbprint},
		"an unbound token":               {set("", "cnf", nil), "4" + thumbprint},
		"another type, by certificate":   {set("POST /token", "token_type", "DPoP"), "5 token_type is Bearer"},
		"another client":                 {set("", "client_id", "c2"), "5 client_id is that client"},
		"another certificate":            {set("", "cnf", other), "5" + thumbprint},
		"proofs mean nothing":            {func(s *careless) { s.unproven = true }, "5 cnf.jkt is the thumbprint of the proof's key"},
		"proofs mean nothing, by type":   {func(s *careless) { s.unproven = true }, "5 token_type is DPoP"},
		"introspection of another":       {set("POST /introspect", "cnf", other), "7" + thumbprint},
		"introspection of another type":  {set("POST /introspect", "token_type", "DPoP"), "7 token_type is Bearer"},
		"a person's unbound token":       {set("", "cnf", nil), "10" + thumbprint},
		"an unbound token for more":      {set("", "cnf", nil), "11" + thumbprint},
		"a page for an answer":           {func(s *careless) { s.plain = true }, "12 each refusal says why in JSON"},
		"a page for an answer to tokens": {func(s *careless) { s.plain = true }, "13 each refusal says why in JSON"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			report := playMutual(t, func(s *careless, _ *MutualTLS) { test.bend(s) })
			if !slices.Contains(failed(report), test.want) {
				t.Errorf("want %q among\n%s", test.want, strings.Join(failed(report), "\n"))
			}
		})
	}
}

// A server that ends handshakes without a certificate gives no answers, which is a finding and not the end.
func TestAHandshakeThatFailsIsFound(t *testing.T) {
	report := playMutual(t, nil, func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert })
	for _, number := range []int{12, 13} {
		check := report.Steps[number-1].Checks[0]
		if check.OK || !strings.HasPrefix(check.Got, "no answer: ") || check.Exchange != 0 {
			t.Errorf("%d: %+v", number, check)
		}
	}
	if len(report.Steps) != 14 {
		t.Errorf("%d steps", len(report.Steps))
	}
}

// A client is registered by the first name of the certificate that is nobody's yet.
func TestANameThatIsTaken(t *testing.T) {
	taken := map[string]bool{}
	for _, member := range []string{"subject_dn", "san_dns", "san_uri", "san_ip", "san_email"} {
		report := playMutual(t, func(s *careless, _ *MutualTLS) { s.taken = maps.Clone(taken) })
		registered := slices.ContainsFunc(report.Steps[2].Checks, func(c Check) bool {
			return c.OK && c.Name == "by tls_client_auth_"+member
		})
		if !registered {
			t.Errorf("%s: %+v", member, report.Steps[2].Checks)
		}
		taken["tls_client_auth_"+member] = true
	}
	report := playMutual(t, func(s *careless, _ *MutualTLS) { s.taken = taken })
	if len(report.Steps) != 3 || !slices.Contains(failed(report), "3 the answer that the flow needs") {
		t.Errorf("%d steps: %q", len(report.Steps), failed(report))
	}
}

// Where no answer comes to the second registration of a name, that is what ends the flow.
func TestNoAnswerToANameThatIsTaken(t *testing.T) {
	server, registrant := startMutual(t)
	server.names = map[string]bool{}
	run := &MutualTLS{Authorization: Authorization{Registrant: registrant, Person: alex}}
	report, err := run.Run(t.Context())
	if _, ok := errors.AsType[*Unreachable](err); !ok {
		t.Errorf("%v after %d steps", err, len(report.Steps))
	}
}
