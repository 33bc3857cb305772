package web

import (
	"errors"
	"fmt"
	"math"
	"net/url"
	"strings"

	"github.com/regain-id/regain/internal/message"
)

// Organisation is who the pages speak for.
type Organisation struct {
	Name   string
	Logo   string // path of a PNG, JPEG or WebP file of at most 512 KiB; "" shows a glyph
	Colour *Colour
	SignIn string // where people sign in: an https URL, or http on localhost; "" when there is none to name
}

// Colour is the look an operator may choose. Only numbers reach the style sheet.
type Colour struct {
	Hue    float64 // degrees in OKLCH, 0 to 360
	Chroma float64 // 0 (grey) to 0.25
	Radius float64 // of corners, in rem, 0 to 1.5
}

// DefaultColour is the look without a choice: a calm blue.
var DefaultColour = Colour{Hue: 262, Chroma: 0.19, Radius: 0.75}

// Localised is an operator's own text by language tag. A text under "" serves every language without its own.
type Localised map[string]string

// In returns the text in a language, else the one for every language, else the one in the fallback language.
func (l Localised) In(language, fallback string) string {
	for _, lang := range []string{language, "", fallback} {
		if s := l[lang]; s != "" {
			return s
		}
	}
	return ""
}

// Help is what the help page shows beside our own words. Everything may be empty.
type Help struct {
	Text  Localised
	Phone string
	Hours Localised
	URL   Localised
}

// Dial is the phone number as a telephone dials it: digits and a leading plus.
func (h Help) Dial() string {
	return strings.Map(func(r rune) rune {
		if (r >= '0' && r <= '9') || r == '+' {
			return r
		}
		return -1
	}, h.Phone)
}

// Links are pages of the organisation named at the foot of every page, when set.
type Links struct {
	Privacy       Localised
	Accessibility Localised
}

// Demo is the foot of every page of a demonstration.
type Demo struct {
	Text  message.Message
	Links []DemoLink
}

// DemoLink leads to a page of the demonstration.
type DemoLink struct {
	Text message.Message
	URL  string
}

func (o Organisation) check() error {
	var bad []error
	if o.Name == "" {
		bad = append(bad, errors.New("organisation.name: missing"))
	}
	if o.SignIn != "" {
		bad = append(bad, checkURL("organisation.sign_in", o.SignIn))
	}
	if c := o.Colour; c != nil {
		for _, v := range []struct {
			key       string
			have, max float64
		}{{"hue", c.Hue, 360}, {"chroma", c.Chroma, 0.25}, {"radius", c.Radius, 1.5}} {
			if math.IsNaN(v.have) || v.have < 0 || v.have > v.max {
				bad = append(bad, fmt.Errorf("organisation.%s: want 0 to %v, have %v", v.key, v.max, v.have))
			}
		}
	}
	return errors.Join(bad...)
}

func (h Help) check() error {
	var bad []error
	for lang, u := range h.URL {
		bad = append(bad, checkURL("help.url "+lang, u))
	}
	return errors.Join(bad...)
}

func (l Links) check() error {
	var bad []error
	for lang, u := range l.Privacy {
		bad = append(bad, checkURL("links.privacy "+lang, u))
	}
	for lang, u := range l.Accessibility {
		bad = append(bad, checkURL("links.accessibility "+lang, u))
	}
	return errors.Join(bad...)
}

func checkURL(key, value string) error {
	u, err := url.Parse(value)
	if err == nil && u.Host != "" && u.User == nil && (u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname())) {
		return nil
	}
	return fmt.Errorf("%s: want an https URL, have %q", key, value)
}
