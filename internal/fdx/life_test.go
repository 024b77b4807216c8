package fdx_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"authserver/internal/fdx"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

func TestLife(t *testing.T) {
	life := fdx.Life{Longest: 365 * day, Once: 6 * time.Minute}
	short := fdx.Life{Longest: 30 * day, Once: 6 * time.Minute}
	persistent, thirty := of(`"durationType":"PERSISTENT"`), of(`"durationType":"TIME_BOUND","durationPeriod":30`)
	for name, test := range map[string]struct {
		details   string // "": none
		life      fdx.Life
		want      time.Duration
		refreshes bool
	}{
		"RT-13 ONE_TIME":                    {seed, life, 6 * time.Minute, false},
		"RT-13 ONE_TIME, of two":            {strings.TrimSuffix(seed, "]") + "," + seed[1:], life, 6 * time.Minute, false},
		"ONE_TIME, longer than the longest": {seed, fdx.Life{Longest: time.Minute, Once: time.Hour}, time.Minute, false},
		"PERSISTENT":                        {persistent, life, 365 * day, true},
		"PERSISTENT, by the setting":        {persistent, short, 30 * day, true},
		"PERSISTENT, of a wrong setting":    {persistent, fdx.Life{Longest: math.MaxInt64}, 365 * day, true},
		"PERSISTENT, by the registration":   {persistent, life.For(fdx.Ceilings{DurationPeriod: 7}), 7 * day, true},
		"PERSISTENT, registered for longer": {persistent, short.For(fdx.Ceilings{DurationPeriod: 90}), 30 * day, true},
		"PERSISTENT, registered for none":   {persistent, life.For(fdx.Ceilings{}), 365 * day, true},
		"TIME_BOUND":                        {thirty, life, 30 * day, true},
		"TIME_BOUND, a year":                {of(`"durationType":"TIME_BOUND","durationPeriod":365`), life, 365 * day, true},
		"TIME_BOUND, by the setting":        {of(`"durationType":"TIME_BOUND","durationPeriod":31`), short, 30 * day, true},
		"no details":                        {"", life, 365 * day, true},
		"no details, by the setting":        {"", short, 30 * day, true},
		"no setting":                        {persistent, fdx.Life{}, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			var d fdx.Details
			if test.details != "" {
				d = parse(t, test.details)
			}
			if end := test.life.End(d, noon); !end.Equal(noon.Add(test.want)) || d.Refreshes() != test.refreshes {
				t.Errorf("it ends after %s and refreshes: %v", end.Sub(noon), d.Refreshes())
			}
		})
	}
	for period, want := range map[int]time.Duration{
		366: 365 * day, 100_000: 365 * day, 106_752: 365 * day, 200_000: 365 * day, math.MaxInt: 365 * day, 0: 0, -1: 0, math.MinInt: 0,
	} { // PR-43: what no reader lets in, and what would overflow
		d := fdx.Details{fdx.ConsentRequest{DurationType: "TIME_BOUND", DurationPeriod: period}}
		if end := life.End(d, noon); !end.Equal(noon.Add(want)) {
			t.Errorf("a period of %d days ends after %s", period, end.Sub(noon))
		}
	}
}

// PR-43: whatever stands in the record, the settings and the registration, a grant ends within a year, and not before it
// begins.
func TestNothingLastsLongerThanAYear(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var d fdx.Details
		for range rapid.IntRange(0, 3).Draw(t, "details") {
			d = append(d, fdx.ConsentRequest{DurationType: rapid.SampledFrom([]string{"ONE_TIME", "PERSISTENT", "TIME_BOUND"}).Draw(t, "durationType"),
				DurationPeriod: rapid.Int().Draw(t, "durationPeriod")})
		}
		life := fdx.Life{Longest: time.Duration(rapid.Int64().Draw(t, "longest")), Once: time.Duration(rapid.Int64().Draw(t, "once"))}
		now := time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "now"), 0).UTC()
		ceilings := fdx.Ceilings{DurationPeriod: rapid.Int().Draw(t, "duration_period")}
		end := life.For(ceilings).End(d, now)
		if end.Before(now) || end.After(now.AddDate(0, 0, 365)) || end.After(life.End(d, now)) {
			t.Fatalf("it ends at %v, given at %v; by the settings alone at %v", end, now, life.End(d, now))
		}
		if n := ceilings.DurationPeriod; n > 0 && n <= 365 && end.After(now.AddDate(0, 0, n)) {
			t.Fatalf("it ends at %v, given at %v", end, now)
		}
	})
}
