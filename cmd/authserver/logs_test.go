package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"authserver/internal/flow"
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

// A record tells what the request was about, and its id and reason are those of the answer.
func TestRecordTellsTheRequest(t *testing.T) {
	d := deploy(t, 1, nil)
	c := d.register(0)
	last := func() map[string]any {
		t.Helper()
		lines := strings.Split(strings.TrimSpace(d.logs.String()), "\n")
		var record map[string]any
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &record); err != nil {
			t.Fatal(err)
		}
		return record
	}
	e := do(t, c.Server, c.TokenRequest(url.Values{"scope": {"client.read"}}))
	access, _ := e.JSON()["access_token"].(string)
	says, err := flow.Decode(access)
	if err != nil {
		t.Fatal(err)
	}
	record := last()
	for field, want := range map[string]any{"client_id": c.ID, "grant_type": "client_credentials", "scope": "client.read", "token_jti": says.Claims["jti"], "method": "POST",
		"route": "/oauth2/token", "status": 200.0, "bytes": float64(len(e.ResponseBody)), "interaction_id": e.ResponseHeader.Get("X-Fapi-Interaction-Id")} {
		if record[field] != want {
			t.Errorf("%s is %v, want %v", field, record[field], want)
		}
	}
	stranger := *c
	stranger.Key = key(t, "ES256")
	e = do(t, c.Server, stranger.TokenRequest(nil))
	record = last()
	if record["reason"] != string(reasonOf(e)) || record["description"] != e.ErrorDescription() || record["client_id"] != nil || record["scope"] != nil ||
		!strings.Contains(fmt.Sprint(record["cause"]), c.ID) || strings.Contains(e.ResponseBody, fmt.Sprint(record["cause"])) {
		t.Errorf("%v", record)
	}
	if record["route"] != "/oauth2/token" || do(t, c.Server, c.ManageRequest(http.MethodGet, nil)).Status != 200 || last()["route"] != "/fdx/v6/register/{client_id}" {
		t.Errorf("%v", last())
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
