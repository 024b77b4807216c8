package prometheus

import (
	"fmt"
	"log/slog"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
)

func alerts(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../prometheus/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// parse reads rules as Prometheus does when it starts.
func parse(text string) (*rulefmt.RuleGroups, []error) {
	return rulefmt.Parse([]byte(text), false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
}

func TestRulesAreRead(t *testing.T) {
	text := alerts(t)
	if _, problems := parse(text); len(problems) > 0 {
		t.Errorf("%v", problems)
	}
	for name, broken := range map[string][2]string{
		"an expression that ends early": {"absent(authserver_build_info)", "absent(authserver_build_info"},
		"a function that there is not":  {"absent(", "gone("},
		"a rate of no range":            {"[5m]", ""},
		"a template":                    {"{{ $labels.instance }}", "{{ $labels.instance }"},
		"an unknown field":              {"annotations:", "notes:"},
		"a duration":                    {"for: 2m", "for: soon"},
	} {
		if !strings.Contains(text, broken[0]) {
			t.Errorf("%s: there is no %s", name, broken[0])
		}
		if _, problems := parse(strings.Replace(text, broken[0], broken[1], 1)); len(problems) == 0 {
			t.Errorf("%s is not found", name)
		}
	}
}

// minutes is how long the series of these tests last; they begin at 0 in Unix time, with a sample every minute.
const minutes = 60

func constant(value int) string   { return fmt.Sprintf("%dx%d", value, minutes) }
func perMinute(value int) string  { return fmt.Sprintf("0+%dx%d", value, minutes) }
func inThePast(minute int) string { return constant((minutes - minute) * 60) }

// well is a replica that nobody needs to look at.
var well = map[string]string{
	`authserver_build_info`:              constant(1),
	`authserver_ready{check="database"}`: constant(1),
	`authserver_ready{check="draining"}`: constant(0), // it is about to end
	`authserver_http_requests_total{route="/oauth2/token",method="POST",status="200"}`: perMinute(6000),
	`authserver_http_requests_total{route="/oauth2/token",method="POST",status="503"}`: perMinute(6),
	`authserver_http_request_duration_seconds_bucket{route="/oauth2/token",le="0.1"}`:  perMinute(6000),
	`authserver_http_request_duration_seconds_bucket{route="/oauth2/token",le="5"}`:    perMinute(6006),
	`authserver_http_request_duration_seconds_bucket{route="/oauth2/token",le="+Inf"}`: perMinute(6006),
	`authserver_database_connection_wait_seconds_total`:                                perMinute(6),
	`authserver_spends_total{outcome="failed"}`:                                        constant(3),
	`authserver_spends_total{outcome="replayed"}`:                                      perMinute(1),
	`authserver_sweep_last_success_timestamp_seconds{instance="a"}`:                    inThePast(1),
	`authserver_sweep_last_success_timestamp_seconds{instance="b"}`:                    inThePast(50),
	`authserver_sweep_slots_waiting`:                                                   constant(1),
	`authserver_clock_offset_seconds`:                                                  constant(-1),
	`authserver_signing_key_until_timestamp_seconds{alg="ES256"}`:                      inThePast(-600),
	`authserver_key_set_fetch_duration_seconds_count{result="ok"}`:                     perMinute(10),
	`authserver_key_set_fetch_duration_seconds_count{result="failed"}`:                 perMinute(1),
	`authserver_key_sets_served_stale_total`:                                           constant(7),
	`authserver_refusals_total{reason="nonce_missing"}`:                                perMinute(3000),
	`authserver_refusals_total{reason="proof_htu"}`:                                    perMinute(60),
	`authserver_audit_failures_total`:                                                  constant(1),
	`authserver_certificate_expiry_timestamp_seconds`:                                  inThePast(-30 * 24 * 60),
}

// ills are what each alert is for, as what is different from well.
var ills = map[string]map[string]string{
	"":                                {},
	"AuthserverGone":                  {`authserver_build_info`: "_x60"},
	"AuthserverNotReady":              {`authserver_ready{check="database"}`: constant(0)},
	"AuthserverErrors":                {`authserver_http_requests_total{route="/oauth2/token",method="POST",status="503"}`: perMinute(100)},
	"AuthserverSlow":                  {`authserver_http_request_duration_seconds_bucket{route="/oauth2/token",le="0.1"}`: perMinute(5900)},
	"AuthserverDatabasePoolExhausted": {`authserver_database_connection_wait_seconds_total`: perMinute(90)},
	"AuthserverSpendsFail":            {`authserver_spends_total{outcome="failed"}`: perMinute(1)},
	"AuthserverSweepLate":             {`authserver_sweep_last_success_timestamp_seconds{instance="a"}`: inThePast(20)},
	"AuthserverClockOffset":           {`authserver_clock_offset_seconds`: constant(-3)},
	"AuthserverKeyRotationOverdue":    {`authserver_signing_key_until_timestamp_seconds{alg="ES256"}`: inThePast(70)},
	"AuthserverKeySetFetchesFail":     {`authserver_key_set_fetch_duration_seconds_count{result="failed"}`: perMinute(11)},
	"AuthserverKeySetsStale":          {`authserver_key_sets_served_stale_total`: perMinute(1)},
	"AuthserverRefusals":              {`authserver_refusals_total{reason="proof_htu"}`: perMinute(1000)},
	"AuthserverAuditFails":            {`authserver_audit_failures_total`: perMinute(1)},
	"AuthserverCertificateExpires":    {`authserver_certificate_expiry_timestamp_seconds`: inThePast(-13 * 24 * 60)},
}

// TestRulesFire: each alert fires for what it is for, and alone; when all is well none does.
func TestRulesFire(t *testing.T) {
	if got := firing(t, well); len(got) > 0 {
		t.Errorf("%q fire when all is well", got)
	}
	for _, alert := range regexp.MustCompile(`alert: (\w+)`).FindAllStringSubmatch(alerts(t), -1) {
		series := maps.Clone(well)
		maps.Copy(series, ills[alert[1]])
		if got := firing(t, series); !slices.Equal(got, alert[1:]) {
			t.Errorf("%q fire, not %s, for %v", got, alert[1], ills[alert[1]])
		}
	}
	if got := firing(t, map[string]string{`authserver_sweep_slots_waiting`: constant(2), `authserver_build_info`: constant(1)}); !slices.Equal(got, []string{"AuthserverSweepLate"}) {
		t.Errorf("two slots that wait make %q fire", got)
	}
}

// firing are the alerts whose expression finds something at the end of the series.
func firing(t *testing.T, series map[string]string) []string {
	t.Helper()
	input := "load 1m\n"
	for name, values := range series {
		input += "  " + name + " " + values + "\n"
	}
	storage := promqltest.LoadedStorage(t, input)
	engine := promqltest.NewTestEngine(t, false, 0, 1e6)
	groups, problems := parse(alerts(t))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	var all []string
	for _, group := range groups.Groups {
		for _, rule := range group.Rules {
			query, err := engine.NewInstantQuery(t.Context(), storage, nil, rule.Expr, time.Unix(minutes*60, 0))
			if err != nil {
				t.Fatal(err)
			}
			found, err := query.Exec(t.Context()).Vector()
			if err != nil {
				t.Fatal(err)
			}
			if len(found) > 0 {
				all = append(all, rule.Alert)
			}
		}
	}
	return all
}
