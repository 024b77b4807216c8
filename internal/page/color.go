package page

import (
	"fmt"
	"math"
	"strconv"
)

// minContrast is what text needs (WCAG 2.2, 1.4.3); darkContrast is more, so that a grey does not look switched off.
const (
	minContrast  = 4.5
	darkContrast = 6.5
)

var (
	white = color{0xff, 0xff, 0xff}
	// darkest and darkSurface are the ground of the page and of its cards in the dark scheme, as in style.css.
	darkest     = color{0x10, 0x14, 0x1b}
	darkSurface = color{0x1a, 0x20, 0x2a}
)

// color is red, green and blue.
type color [3]uint8

// CheckColor tells whether white text can be read on a brand's color (#rrggbb): 4.5:1 at least.
func CheckColor(hex string) error {
	c, err := parseColor(hex)
	if err != nil {
		return err
	}
	if got := contrast(c, white); got < minContrast {
		shown := math.Floor(got*100) / 100 // never rounded up to what it lacks
		return fmt.Errorf("white text on %s has a contrast of %.2f:1, and needs 4.5:1: take a darker color", hex, shown)
	}
	return nil
}

func parseColor(hex string) (color, error) {
	n, err := strconv.ParseUint(hex[min(1, len(hex)):], 16, 24)
	if err != nil || len(hex) != len("#rrggbb") || hex[0] != '#' {
		return color{}, fmt.Errorf("color %q is not of the form #rrggbb", hex)
	}
	return color{uint8(n >> 16), uint8(n >> 8), uint8(n)}, nil
}

func (c color) String() string { return fmt.Sprintf("#%02x%02x%02x", c[0], c[1], c[2]) }

// luminance is WCAG's relative luminance.
func (c color) luminance() float64 {
	linear := func(channel uint8) float64 {
		s := float64(channel) / 255
		if s <= 0.04045 {
			return s / 12.92
		}
		return math.Pow((s+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(c[0]) + 0.7152*linear(c[1]) + 0.0722*linear(c[2])
}

// contrast is WCAG's ratio of two colors, from 1 to 21.
func contrast(a, b color) float64 {
	light, dark := max(a.luminance(), b.luminance()), min(a.luminance(), b.luminance())
	return (light + 0.05) / (dark + 0.05)
}

// lightened is the color for the dark scheme: light enough that links on a dark card can be read.
func (c color) lightened() color {
	for step := 0.0; step < 2; step += 0.01 {
		if lighter := c.lighter(step); contrast(lighter, darkSurface) >= darkContrast {
			return lighter
		}
	}
	return white
}

// lighter goes from the color itself, at 0, over the brightest of its hue, at 1, to white, at 2.
func (c color) lighter(step float64) color {
	brightest := 255 / float64(max(c[0], c[1], c[2], 1))
	brighter, whiter := 1+(brightest-1)*min(step, 1), max(step-1, 0)
	for i, channel := range c {
		bright := float64(channel) * brighter
		c[i] = uint8(math.Round(bright + (255-bright)*whiter))
	}
	return c
}

// stylesheet is brand.css: the variables that style.css paints with.
func (c color) stylesheet() []byte {
	return fmt.Appendf(nil, `:root { --brand: %s; --on-brand: %s; }
@media (prefers-color-scheme: dark) {
  :root { --brand: %s; --on-brand: %s; }
}
`, c, white, c.lightened(), darkest)
}
