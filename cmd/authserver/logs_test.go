package main

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"authserver/internal/flow"
	"authserver/internal/oauth"
	"authserver/internal/server"
)

// logFields are all that a request's record may hold, beside time, level and msg.
var logFields = []string{"interaction_id", "method", "route", "status", "bytes", "ms", "peer",
	"client_id", "grant_type", "scope", "token_jti", "lacks", "reason", "description", "cause"}

// checkRecords holds every record to the allow-list.
func checkRecords(t *testing.T, logs string) {
	t.Helper()
	for line := range strings.Lines(logs) {
		var record map[string]any
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		for field := range record {
			if !slices.Contains(append([]string{"time", "level", "msg"}, logFields...), field) {
				t.Errorf("%s stands in a record: %s", field, line)
			}
		}
		for _, field := range logFields[:7] {
			if _, ok := record[field]; !ok {
				t.Errorf("%s is missing: %s", field, line)
			}
		}
		status, _ := record["status"].(float64)
		_, hasReason := record["reason"]
		wrong := hasReason != (status >= 400) && status != http.StatusSeeOther // by which a client may be told of a refusal
		if id, _ := record["interaction_id"].(string); record["msg"] != "request" || wrong || !anyUUID.MatchString(id) ||
			record["level"] != "INFO" || record["peer"] != "127.0.0.1" {
			t.Errorf("%s", line)
		}
	}
}

// metrics is what a replica's management listener says at /metrics.
func (d *deployment) metrics(replica int) string {
	a := d.replicas[replica]
	w := httptest.NewRecorder()
	server.Management(a.health, a.metrics, version).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return w.Body.String()
}

// lastRecord is the last line of the log.
func (d *deployment) lastRecord() (record map[string]any) {
	d.t.Helper()
	lines := strings.Split(strings.TrimSpace(d.logs.String()), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &record); err != nil {
		d.t.Fatal(err)
	}
	return record
}

// A record tells what the request was about, and its id and reason are those of the answer.
func TestRecordTellsTheRequest(t *testing.T) {
	d := deploy(t, 1, nil)
	c := d.register(0)
	e := do(t, c.Server, c.TokenRequest(url.Values{"scope": {"client.read"}}))
	access, _ := e.JSON()["access_token"].(string)
	says, err := flow.Decode(access)
	if err != nil {
		t.Fatal(err)
	}
	record := d.lastRecord()
	for field, want := range map[string]any{"client_id": c.ID, "grant_type": "client_credentials", "scope": "client.read", "token_jti": says.Claims["jti"], "method": "POST",
		"route": "/oauth2/token", "status": 200.0, "bytes": float64(len(e.ResponseBody)), "interaction_id": e.ResponseHeader.Get("X-Fapi-Interaction-Id")} {
		if record[field] != want {
			t.Errorf("%s is %v, want %v", field, record[field], want)
		}
	}
	stranger := *c
	stranger.Key = key(t, "ES256")
	e = do(t, c.Server, stranger.TokenRequest(nil))
	record = d.lastRecord()
	if record["reason"] != string(reasonOf(e)) || record["description"] != e.ErrorDescription() || record["client_id"] != nil || record["scope"] != nil ||
		!strings.Contains(fmt.Sprint(record["cause"]), c.ID) || strings.Contains(e.ResponseBody, fmt.Sprint(record["cause"])) {
		t.Errorf("%v", record)
	}
	if record["route"] != "/oauth2/token" || do(t, c.Server, c.ManageRequest(http.MethodGet, nil)).Status != 200 || d.lastRecord()["route"] != "/fdx/v6/register/{client_id}" {
		t.Errorf("%v", d.lastRecord())
	}
}

// G8: the labels of the metrics are ours, whatever a stranger sends.
func TestMetricLabelsAreBounded(t *testing.T) {
	d := deploy(t, 1, nil)
	c := d.register(0)
	for _, method := range []string{"GET", "BREW", "PROPFIND", "TRACE", "LONGMETHODOFASTRANGER"} {
		for _, path := range []string{"/oauth2/token", "/a-path-of-a-stranger", "/fdx/v6/register/a-client", "/errors/a-reason", "/oauth2/jwks"} {
			_ = raw(t, c.Server, method, d.issuer+path, nil, "")
		}
	}
	refused := do(t, c.Server, c.TokenRequest(url.Values{"scope": {"nothing"}}))
	outcome(t, refused, "400 invalid_scope")
	metrics := d.metrics(0)
	d.checkLabels(t, metrics)
	if !strings.Contains(metrics, `authserver_refusals_total{reason="scope_not_registered"} 1`) {
		t.Error(metrics)
	}
}

// Whoever lacks a certificate that the connection has is refused as if there were none. Only the log tells of it: the trusted
// proxies are the operator's.
func TestRecordTellsOfACertificateThatIsNotCounted(t *testing.T) {
	t.Parallel()
	d := deployCertified(t, 1, func(s *settings) { s.TrustedProxies = certifiedProxy + "/32" })
	shown := d.vouched("passed through")
	c, bound, either := d.certified(0, shown), d.enrolled(0, shown, boundToCertificate), d.enrolled(0, shown)
	bound.CertificateBound = true // and proves itself by an assertion, as the third does
	access := certifiedBy(t, d.expect(c, c.TokenRequest(nil), "200"), shown)
	for s, want := range map[*flow.Server]any{
		d.passedThrough(0):              "the connection's certificate is not counted: it comes from an address in trusted-proxies",
		d.showing(0, tls.Certificate{}): nil,
	} {
		at := func(c *flow.Client) *flow.Client {
			moved := *c
			moved.Server = s
			return &moved
		}
		unproven := at(either).TokenRequest(nil)
		unproven.Proof = nil
		for reason, r := range map[oauth.Reason]*flow.Request{
			oauth.ClientAuthMissing: at(c).TokenRequest(nil), oauth.CertificateMissing: at(bound).TokenRequest(nil),
			oauth.ProofMissing: unproven, oauth.TokenKey: at(c).Present(accounts(c), access),
		} {
			e := do(t, s, r)
			if record := d.lastRecord(); reasonOf(e) != reason || record["cause"] != want || strings.Contains(e.ResponseBody, "counted") {
				t.Errorf("%s, want %s: %v", reasonOf(e), reason, record)
			}
		}
	}
}
