package server_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"authserver/internal/audit"
	"authserver/internal/oauth"
	"authserver/internal/server"
)

// lockedBuffer is a log that a server writes to while a test reads it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// answering is a server whose one endpoint that does something, /demo/accounts, is h.
func answering(h oauth.Handler) (*server.Server, *lockedBuffer) {
	log := &lockedBuffer{}
	return &server.Server{
		Issuer: "https://as.example",
		Demo:   h,
		Now:    time.Now,
		Record: &server.Record{Log: slog.New(slog.NewJSONHandler(log, nil)), Metrics: server.NewMetrics("test"), Now: time.Now},
	}, log
}

// outage is an error of the store.
type outage struct{ error }

func (outage) Temporary() bool { return true }
func (o outage) Unwrap() error { return o.error }

// What went wrong and who ended it decide the record: a client that left is nobody's fault, a time limit of ours is.
func TestWhoGaveUp(t *testing.T) {
	refusal := oauth.Refuse(oauth.ClientNotProven, "no")
	for name, test := range map[string]struct {
		leaves bool // the client, before the handler returns
		err    error
		status float64
		level  string
		reason string
		counts bool
	}{
		"the client left a database that was slow":  {true, outage{fmt.Errorf("spend: %w", context.Canceled)}, 499, "INFO", "client_gone", false},
		"the client left, and nothing else":         {true, context.Canceled, 499, "INFO", "client_gone", false},
		"a refused client does not wait to be told": {true, refusal, 401, "INFO", "client_not_proven", true},
		"our time was up, and the client left":      {true, outage{context.DeadlineExceeded}, 503, "ERROR", "temporarily_unavailable", true},
		"our time was up":                           {false, outage{context.DeadlineExceeded}, 503, "ERROR", "temporarily_unavailable", true},
		"our time was up, plainly":                  {false, context.DeadlineExceeded, 503, "ERROR", "temporarily_unavailable", true},
		"the database is away":                      {false, outage{fmt.Errorf("dial: refused")}, 503, "ERROR", "temporarily_unavailable", true},
		"we gave up, and the client did not":        {false, context.Canceled, 500, "ERROR", "server_error", true},
	} {
		t.Run(name, func(t *testing.T) {
			entered := make(chan struct{})
			s, log := answering(func(_ http.ResponseWriter, r *http.Request) error {
				close(entered)
				if test.leaves {
					<-r.Context().Done()
				}
				return test.err
			})
			listener := httptest.NewServer(s.Handler())
			t.Cleanup(listener.Close)
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			if test.leaves {
				go func() { <-entered; leave() }()
			}
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, listener.URL+"/demo/accounts", nil)
			if err != nil {
				t.Fatal(err)
			}
			response, err := http.DefaultClient.Do(r)
			if (err != nil) != test.leaves {
				t.Fatal(err)
			}
			if err == nil {
				response.Body.Close()
			}
			record := only(t, log)
			if record["status"] != test.status || record["level"] != test.level || record["reason"] != test.reason || record["cause"] == "" {
				t.Errorf("%v", record)
			}
			metrics := metricsOf(s)
			counted := strings.Contains(metrics, fmt.Sprintf("authserver_refusals_total{reason=%q} 1", test.reason))
			if counted != test.counts || strings.Contains(metrics, "authserver_refusals_total") != test.counts {
				t.Errorf("counted as a refusal: %v", counted)
			}
			if want := fmt.Sprintf(`status="%.0f"} 1`, test.status); !strings.Contains(metrics, want) {
				t.Errorf("no %s in\n%s", want, metrics)
			}
		})
	}
}

// only waits for the one record of a log: it may follow the answer.
func only(t *testing.T, log *lockedBuffer) map[string]any {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !strings.HasSuffix(log.String(), "\n"); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no record was written")
		}
	}
	var record map[string]any
	if err := json.Unmarshal([]byte(log.String()), &record); err != nil {
		t.Fatalf("%v:\n%s", err, log)
	}
	return record
}

func metricsOf(s *server.Server) string {
	w := httptest.NewRecorder()
	server.Management(&server.Health{}, s.Record.Metrics, "test").ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return w.Body.String()
}

// What people did is theirs in the trail, and counted; the log of requests does not name them.
func TestPeopleInTheTrail(t *testing.T) {
	for _, test := range []struct {
		event   audit.Event
		outcome audit.Outcome
		actor   audit.Actor
		counted string
	}{
		{audit.PersonSignedIn, "", audit.Person, `authserver_sign_ins_total{outcome="success"} 1`},
		{audit.PersonSignedIn, audit.Denied, audit.Person, `authserver_sign_ins_total{outcome="denied"} 1`},
		{audit.PersonSignedOut, "", audit.Person, `authserver_audit_records_total{event="person.signed_out"} 1`},
		{audit.GrantApproved, "", audit.Person, `authserver_decisions_total{decision="approved"} 1`},
		{audit.GrantDenied, "", audit.Person, `authserver_decisions_total{decision="denied"} 1`},
		{audit.GrantRevoked, "", audit.Client, `authserver_audit_records_total{event="grant.revoked"} 1`},
	} {
		t.Run(string(test.event+" ")+string(test.outcome), func(t *testing.T) {
			s, log := answering(func(w http.ResponseWriter, _ *http.Request) error {
				oauth.Note(w, oauth.FieldEvent, test.event)
				oauth.Note(w, oauth.FieldOutcome, test.outcome)
				oauth.Note(w, oauth.FieldSubject, "_alex")
				oauth.Note(w, oauth.FieldGrantID, "g")
				return nil
			})
			var trail bytes.Buffer
			var err error
			if s.Record.Trail, err = audit.Open("stdout", &trail); err != nil {
				t.Fatal(err)
			}
			s.Handler().ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/demo/accounts", nil))
			var got audit.Record
			if err := json.Unmarshal(trail.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			want := audit.Record{Event: test.event, Outcome: cmp.Or(test.outcome, audit.Success), Actor: test.actor, Subject: "_alex", GrantID: "g",
				Time: got.Time, InteractionID: got.InteractionID, Peer: got.Peer}
			if got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
			if strings.Contains(log.String(), "_alex") {
				t.Errorf("the log has the person: %s", log)
			}
			if !strings.Contains(metricsOf(s), test.counted+"\n") {
				t.Errorf("not counted: %s", test.counted)
			}
		})
	}
}
