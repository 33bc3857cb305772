package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"image"
	_ "image/jpeg" // logos
	_ "image/png"  // logos
	"io"
	"net/http"
	"os"
	"path"
	"regexp"
	"strconv"
	"strings"

	"github.com/gorilla/mux"
	"github.com/regain-id/regain/internal/message"

	"github.com/regain-id/regain/internal/method"
)

//go:embed assets/site.css assets/site.js assets/icons.svg assets/inter.woff2
var embedded embed.FS

// maxLogoBytes bounds the logo file: it is held in memory and sent with every first visit.
const maxLogoBytes = 512 << 10

// assets are the files pages load. Each is served under a name that holds a hash of its content and may be kept for
// ever; a changed file has another name.
type assets struct {
	Style, Theme, Script, Icon, Logo string // paths; Logo is "" without one
	sprite                           string
	icons                            map[string]bool
	files                            map[string]asset // by the last element of their path
}

type asset struct {
	contentType string
	body        []byte
}

func (a *assets) add(name, contentType string, body []byte) string {
	sum := sha256.Sum256(body)
	ext := path.Ext(name)
	hashed := strings.TrimSuffix(name, ext) + "." + hex.EncodeToString(sum[:8]) + ext
	a.files[hashed] = asset{contentType, body}
	return "/assets/" + hashed
}

var symbol = regexp.MustCompile(`<symbol id="([^"]+)"`)

func loadAssets(o Organisation) (*assets, error) {
	a := &assets{files: map[string]asset{}, icons: map[string]bool{}}
	read := func(name string) []byte {
		b, err := embedded.ReadFile("assets/" + name)
		if err != nil {
			panic(err) // embedded: it is there or the program does not compile
		}
		return b
	}
	font := a.add("inter.woff2", "font/woff2", read("inter.woff2"))
	// A style sheet may name the font only by its hashed name.
	css := bytes.ReplaceAll(read("site.css"), []byte(`url("inter.woff2")`), []byte(`url("`+path.Base(font)+`")`))
	a.Style = a.add("site.css", "text/css; charset=utf-8", css)
	a.Script = a.add("site.js", "text/javascript; charset=utf-8", read("site.js"))
	sprite := read("icons.svg")
	a.sprite = a.add("icons.svg", "image/svg+xml", sprite)
	for _, m := range symbol.FindAllSubmatch(sprite, -1) {
		a.icons[string(m[1])] = true
	}
	colour := DefaultColour
	if o.Colour != nil {
		colour = *o.Colour
	}
	a.Theme = a.add("theme.css", "text/css; charset=utf-8", theme(colour))
	a.Icon = a.add("icon.svg", "image/svg+xml", favicon(colour))
	if o.Logo != "" {
		body, contentType, ext, err := readLogo(o.Logo)
		if err != nil {
			return nil, fmt.Errorf("organisation.logo: %w", err)
		}
		a.Logo = a.add("logo"+ext, contentType, body)
	}
	return a, nil
}

// theme is the operator's look as a file of its own, so that no page needs an inline style. It holds numbers only.
func theme(c Colour) []byte {
	return fmt.Appendf(nil, ":root {\n  --brand-h: %s;\n  --brand-c: %s;\n  --radius: %srem;\n}\n", number(c.Hue), number(c.Chroma), number(c.Radius))
}

// favicon is a dot in the brand's colour with the glyph of the top bar.
func favicon(c Colour) []byte {
	return fmt.Appendf(nil, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="9" fill="oklch(.5 %s %s)"/>`+
		`<g transform="translate(6 6) scale(.835)" fill="none" stroke="#fff" stroke-width="2.2" stroke-linecap="round" stroke-linejoin="round">`+
		`<path d="M2.586 17.414A2 2 0 0 0 2 18.828V21a1 1 0 0 0 1 1h3a1 1 0 0 0 1-1v-1a1 1 0 0 1 1-1h1a1 1 0 0 0 1-1v-1a1 1 0 0 1 1-1h.172a2 2 0 0 0 1.414-.586l.814-.814a6.5 6.5 0 1 0-4-4z"/>`+
		`<circle cx="16.5" cy="7.5" r=".5" fill="#fff"/></g></svg>`, number(c.Chroma), number(c.Hue))
}

func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// readLogo reads a picture and believes its bytes, not its name. SVG is refused: it can hold scripts and links.
func readLogo(file string) (body []byte, contentType, ext string, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, "", "", err
	}
	defer f.Close()
	body, err = io.ReadAll(io.LimitReader(f, maxLogoBytes+1))
	if err != nil {
		return nil, "", "", err
	}
	if len(body) > maxLogoBytes {
		return nil, "", "", fmt.Errorf("%s is larger than %d KiB", file, maxLogoBytes>>10)
	}
	contentType = http.DetectContentType(body)
	switch contentType {
	case "image/png", "image/jpeg":
		if _, _, err := image.DecodeConfig(bytes.NewReader(body)); err != nil {
			return nil, "", "", fmt.Errorf("%s: %w", file, err)
		}
	case "image/webp":
	default:
		return nil, "", "", fmt.Errorf("%s: want a PNG, JPEG or WebP picture, have %s", file, contentType)
	}
	return body, contentType, "." + strings.TrimPrefix(contentType, "image/"), nil
}

// icon draws a picture that says nothing the text beside it does not.
func (a *assets) icon(name string) (template.HTML, error) {
	if !a.icons[name] {
		return "", fmt.Errorf("no icon %q", name)
	}
	return template.HTML(`<svg class="icon" aria-hidden="true" focusable="false"><use href="` + a.sprite + `#` + name + `"></use></svg>`), nil
}

func (s *Site) serveAsset(w http.ResponseWriter, r *http.Request) {
	rec := w.(*recorder)
	rec.route = "/assets/{name}"
	f, ok := s.assets.files[mux.Vars(r)["name"]]
	if !ok {
		s.fail(rec, r, refuse(http.StatusNotFound, message.Key("error.not_found")))
		return
	}
	h := rec.Header()
	h.Set("Content-Type", f.contentType)
	h.Set("Content-Length", strconv.Itoa(len(f.body)))
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	if r.Method == http.MethodHead {
		return
	}
	rec.Write(f.body) //nolint:errcheck // the reader is gone; there is nobody to tell
}

// KindIcon is the picture of a kind of way, the same on every page.
func KindIcon(k method.Kind) string {
	switch k {
	case method.Email:
		return "mail"
	case method.SMS:
		return "message-square"
	case method.Voice:
		return "phone"
	case method.TOTP, method.HOTP:
		return "smartphone"
	case method.RecoveryCode:
		return "file-key"
	case method.Passkey:
		return "fingerprint"
	case method.IDP:
		return "log-in"
	}
	return "user"
}
