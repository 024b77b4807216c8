package main

import (
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"authserver/internal/client"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// scrape asks a management listener for its metrics, as Prometheus does.
func scrape(t *testing.T, management string) string {
	t.Helper()
	response, err := http.Get("http://" + management + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%v, %d\n%s", err, response.StatusCode, text)
	}
	return string(text)
}

// samples are the values of a scrape, by name and labels.
func samples(t *testing.T, text string) map[string]float64 {
	t.Helper()
	all := map[string]float64{}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "authserver_") {
			i := strings.LastIndexByte(line, ' ')
			value, err := strconv.ParseFloat(strings.TrimSpace(line[i:]), 64)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			all[line[:i]] = value
		}
	}
	return all
}

// The numbers are those of what was done.
func TestMetricsCount(t *testing.T) {
	d := deploy(t, 0, nil)
	r := d.runReplica()
	d.hosts = []string{r.public}
	c := d.register(0)
	p, host := d.publisher()
	answers := d.register(0, keysAt(newKeyHost(t, http.NotFound).URL+"/jwks"))
	gone := newKeyHost(t, http.NotFound)
	silent := d.register(0, keysAt(gone.URL+"/jwks"))
	gone.Close()

	access := tokenFor(t, c, nil) // its first proof lacks the nonce
	d.expect(c, c.TokenRequest(url.Values{"scope": {"nothing"}}), "400 invalid_scope")
	assertion := c.Assertion()
	again := func() string { return formOf(compact(t, assertion)) }
	signed := again()
	outcome(t, tokenForm(t, c, formMedia, signed), "200")
	outcome(t, tokenForm(t, c, formMedia, signed), "401 invalid_client")
	if _, updated, err := d.store.UpdateClient(t.Context(), c.ID, nil, recordOf(t, d, c.ID).Metadata, time.Now()); err != nil || !updated {
		t.Fatal(updated, err)
	}
	d.expect(c, c.IntrospectRequest(access), "200") // the client's record in memory is stale
	d.expect(c, c.IntrospectRequest("nothing"), "200")
	d.expect(c, c.RevokeRequest(access), "200")
	d.proven(p)
	d.unproven(answers)
	d.unproven(silent)
	d.expect(c, c.ManageRequest(http.MethodDelete, nil), "204")
	d.unproven(c)

	got := samples(t, scrape(t, r.management))
	for sample, want := range map[string]float64{
		`authserver_http_requests_total{method="POST",route="/oauth2/token",status="200"}`:                  3,
		`authserver_http_requests_total{method="POST",route="/oauth2/introspect",status="200"}`:             2,
		`authserver_http_requests_total{method="DELETE",route="/fdx/v6/register/{client_id}",status="204"}`: 1,
		`authserver_http_request_duration_seconds_count{route="/oauth2/revoke"}`:                            1,
		`authserver_http_requests_in_flight`:                                                                0,
		`authserver_refusals_total{reason="scope_not_registered"}`:                                          1,
		`authserver_refusals_total{reason="assertion_replayed"}`:                                            1,
		`authserver_tokens_issued_total{grant_type="client_credentials",token_type="DPoP"}`:                 3,
		`authserver_client_authentications_total{result="assertion_replayed"}`:                              1,
		`authserver_client_authentications_total{result="client_not_proven"}`:                               3,
		`authserver_introspection_answers_total{state="active"}`:                                            1,
		`authserver_introspection_answers_total{state="inactive"}`:                                          1,
		`authserver_spends_total{outcome="spent"}`:                                                          6, // 3 tokens, 2 introspections, 1 revocation
		`authserver_spends_total{outcome="replayed"}`:                                                       1,
		`authserver_spends_total{outcome="stale"}`:                                                          2, // changed by the operator, and deleted
		`authserver_spends_total{outcome="failed"}`:                                                         0,
		`authserver_spend_batch_requests_sum`:                                                               9,
		`authserver_spend_batch_requests_count`:                                                             9,
		`authserver_spend_flush_duration_seconds_count`:                                                     9,
		`authserver_key_set_fetch_duration_seconds_count{result="ok"}`:                                      1,
		`authserver_key_set_fetch_duration_seconds_count{result="unusable"}`:                                1,
		`authserver_key_set_fetch_duration_seconds_count{result="failed"}`:                                  1,
		`authserver_key_set_fetch_duration_seconds_count{result="refused"}`:                                 0,
		`authserver_key_sets_served_stale_total`:                                                            0,
		`authserver_audit_records_total{event="client.registered"}`:                                         4,
		`authserver_audit_records_total{event="token.issued"}`:                                              3,
		`authserver_audit_records_total{event="token.revoked"}`:                                             1,
		`authserver_audit_failures_total`:                                                                   0,
		`authserver_ready{check="draining"}`:                                                                1,
		`authserver_ready{check="database"}`:                                                                1,
		`authserver_database_connections_max`:                                                               16,
	} {
		if value, ok := got[sample]; !ok || value != want {
			t.Errorf("%s is %v (%v), want %v", sample, value, ok, want)
		}
	}
	since, until := got[`authserver_signing_key_since_timestamp_seconds{alg="ES256"}`], got[`authserver_signing_key_until_timestamp_seconds{alg="ES256"}`]
	if age := float64(time.Now().Unix()) - since; age < -1 || age > 60 || until-since != (720*time.Hour).Seconds() {
		t.Errorf("the key signs since %v until %v", since, until)
	}
	if offset := got[`authserver_clock_offset_seconds`]; offset < -1 || offset > 1 {
		t.Errorf("the clock is %v s apart", offset)
	}

	host.now(http.NotFound)
	d.clock.advance(6 * time.Minute)
	d.proven(p) // in two requests, since the nonce is too old
	if stale := samples(t, scrape(t, r.management))[`authserver_key_sets_served_stale_total`]; stale != 2 {
		t.Errorf("%v requests were judged by a stale set, want 2", stale)
	}
}

// recordOf is a client as it is stored.
func recordOf(t *testing.T, d *deployment, id string) client.Client {
	t.Helper()
	c, found, err := d.store.FindClient(t.Context(), id)
	if err != nil || !found {
		t.Fatal(found, err)
	}
	return c
}

// documented is one line of the table in docs/metrics.md.
type documented struct{ Name, Type, Labels, Meaning string }

// metricsTable reads docs/metrics.md.
func metricsTable(t *testing.T) map[string]documented {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	table := map[string]documented{}
	for _, found := range regexp.MustCompile("(?m)^\\| `(authserver_\\w+)` \\| (\\w+) \\| (.*?) \\| (.*) \\|$").FindAllStringSubmatch(string(text), -1) {
		table[found[1]] = documented{found[1], found[2], found[3], found[4]}
	}
	if len(table) < 20 {
		t.Fatalf("only %d metrics are documented", len(table))
	}
	return table
}

// docs/metrics.md lists what there is: no metric less, none more, with its type, its labels and its meaning.
func TestMetricsAreDocumented(t *testing.T) {
	d := deploy(t, 0, nil)
	dir := t.TempDir()
	d.config.certFile, d.config.keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writePair(t, newAuthority(t).issue(t, "ECDSA", "localhost"), d.config.certFile, d.config.keyFile)
	d.start()
	c := d.register(0)
	_ = tokenFor(t, c, nil) // begins with a refusal for want of a nonce

	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(d.metrics(0)))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]documented{}
	for name, family := range families {
		if strings.HasPrefix(name, "authserver_") {
			found[name] = documented{name, strings.ToLower(family.GetType().String()), labelsOf(family), family.GetHelp()}
		}
	}
	if diff := cmp.Diff(metricsTable(t), found); diff != "" {
		t.Errorf("docs/metrics.md (-) and /metrics (+):\n%s", diff)
	}
}

// labelsOf are the names of a metric's labels, as the table has them.
func labelsOf(family *dto.MetricFamily) string {
	var names []string
	for _, label := range family.GetMetric()[0].GetLabel() {
		names = append(names, "`"+label.GetName()+"`")
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
