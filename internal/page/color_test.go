package page_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"authserver/internal/page"

	"pgregory.net/rapid"
)

// TestCheckColor knows the contrasts of published examples: #767676 is the lightest grey that white can stand on.
func TestCheckColor(t *testing.T) {
	for _, hex := range []string{"#000000", "#767676", "#0000ff", "#FF0000", "#1B4D7A"} {
		if err := page.CheckColor(hex); (err == nil) != (hex != "#FF0000") {
			t.Errorf("%s: %v", hex, err)
		}
	}
	tests := map[string]string{
		"#777777": "4.47:1", "#ffffff": "1.00:1", "#FF0000": "3.99:1", "#00ff00": "1.37:1",
	}
	for _, hex := range []string{"", "#", "red", "#fff", "1b4d7a", "#1b4d7a;", "#+b4d7a", "#-b4d7a", "#1b_d7a", "x1b4d7a", "#1b4d7g"} {
		tests[hex] = "#rrggbb"
	}
	for hex, want := range tests {
		if err := page.CheckColor(hex); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", hex, err)
		}
	}
}

// TestBrandColors: whatever color is taken, its text can be read on it, and it can be read on the cards, by day and by
// night. The grounds are those of style.css.
func TestBrandColors(t *testing.T) {
	_, style, _ := newPages(t, exampleBank, "").Asset("style.css")
	for _, ground := range []string{"--surface: #ffffff", "--surface: #1a202a", "--ground: #10141b"} {
		if !strings.Contains(string(style), ground) {
			t.Errorf("style.css has no %s", ground)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		hex := fmt.Sprintf("#%06x", rapid.IntRange(0, 0xffffff).Draw(t, "color"))
		pages, err := page.New(page.Brand{Name: "Bank", Color: hex}, "")
		if err != nil {
			return
		}
		_, css, _ := pages.Asset("brand.css")
		const form = ":root { --brand: #%06x; --on-brand: #%06x; } " +
			"@media (prefers-color-scheme: dark) { :root { --brand: #%06x; --on-brand: #%06x; } }"
		var day, onDay, night, onNight int
		if _, err := fmt.Sscanf(strings.Join(strings.Fields(string(css)), " "), form, &day, &onDay, &night, &onNight); err != nil {
			t.Fatalf("%s: %v", css, err)
		}
		for _, pair := range [][2]int{{day, onDay}, {day, 0xffffff}, {night, onNight}, {night, 0x1a202a}} {
			if got := contrast(pair[0], pair[1]); got < 4.5 {
				t.Errorf("%s: #%06x on #%06x is %.2f:1", hex, pair[0], pair[1], got)
			}
		}
	})
}

// contrast is WCAG 2.2's, worked out here once more.
func contrast(a, b int) float64 {
	luminance := func(c int) (sum float64) {
		for shift, weight := range map[int]float64{16: 0.2126, 8: 0.7152, 0: 0.0722} {
			v := float64(c>>shift&0xff) / 255
			if v <= 0.04045 {
				sum += weight * v / 12.92
			} else {
				sum += weight * math.Pow((v+0.055)/1.055, 2.4)
			}
		}
		return sum
	}
	return (max(luminance(a), luminance(b)) + 0.05) / (min(luminance(a), luminance(b)) + 0.05)
}
