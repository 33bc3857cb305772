package notify

import (
	"fmt"
	"math"
)

// Mail programs know no OKLCH, so the brand colour of the pages is worked out here. The lightness is chosen so that
// white on brand, and brandOnDark on a dark card, keep a contrast of 4.5:1 for every hue (WCAG 2.2 §1.4.3).

// brand returns a dark tone of a hue as #rrggbb, for white text on it and for links on white.
func brand(hue int) string { return oklch(0.48, 0.19, float64(hue)) }

// brandOnDark returns a light tone of a hue, for links on a dark card.
func brandOnDark(hue int) string { return oklch(0.78, 0.12, float64(hue)) }

// oklch converts to sRGB (https://www.w3.org/TR/css-color-4/#ok-lab), with less chroma where a screen cannot show it.
func oklch(l, c, hue float64) string {
	for {
		h := hue * math.Pi / 180
		r, g, b := oklab(l, c*math.Cos(h), c*math.Sin(h))
		if c <= 0 || (shown(r) && shown(g) && shown(b)) {
			return fmt.Sprintf("#%02x%02x%02x", gamma(r), gamma(g), gamma(b))
		}
		c -= 0.005
	}
}

func shown(v float64) bool { return v >= -1e-4 && v <= 1+1e-4 }

// oklab returns linear light.
func oklab(l, a, b float64) (red, green, blue float64) {
	cube := func(x float64) float64 { return x * x * x }
	l1 := cube(l + 0.3963377774*a + 0.2158037573*b)
	m1 := cube(l - 0.1055613458*a - 0.0638541728*b)
	s1 := cube(l - 0.0894841775*a - 1.2914855480*b)
	return 4.0767416621*l1 - 3.3077115913*m1 + 0.2309699292*s1,
		-1.2684380046*l1 + 2.6097574011*m1 - 0.3413193965*s1,
		-0.0041960863*l1 - 0.7034186147*m1 + 1.7076147010*s1
}

func gamma(v float64) int {
	v = min(max(v, 0), 1)
	if v <= 0.0031308 {
		v *= 12.92
	} else {
		v = 1.055*math.Pow(v, 1/2.4) - 0.055
	}
	return int(math.Round(v * 255))
}
