package register

import (
	"context"
	"encoding/base32"
	"errors"
	"fmt"
	"image/color"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/boombuler/barcode/qr"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/passkey"
	"github.com/regain-id/regain/internal/reset"
	"github.com/regain-id/regain/internal/session"
)

// Sheet is what a page shows of a way that is being added. It holds secrets: it is shown once, to nobody else, and kept
// nowhere.
type Sheet struct {
	Kind    method.Kind
	Display string

	// Of an authenticator app.
	URI    string // otpauth://totp/…
	Secret string // the same seed, in base32, in groups of four
	QR     QR

	// Of a passkey: options for PublicKeyCredential.parseCreationOptionsFromJSON.
	Options []byte

	// Of a list of recovery codes.
	Codes []string

	// Of an address.
	Masked  string
	Address string // in full: they typed it a minute ago
	Sent    bool   // a code was handed over; until then it is on its way
	Lost    bool   // it could not be handed over
	Minutes int    // how long the code still works
	Again   bool   // another may be sent
}

// QR is a picture of squares: Path fills the dark ones of a square of Size by Size, a quiet zone of four around it included.
type QR struct {
	Path string
	Size int
}

// Sheet returns what to show of an open enrolment of the session; fault.Over for any other.
func (s *Service) Sheet(ctx context.Context, sess *session.Session, e *Enrolment) (*Sheet, error) {
	now := s.Now()
	if err := s.mine(sess, e, now); err != nil {
		return nil, err
	}
	out := &Sheet{Kind: e.Kind, Display: e.Display}
	switch e.Kind {
	case method.Email, method.SMS:
		out.Masked, out.Address = method.Mask(e.Kind, e.Destination), e.Destination
		out.Sent, out.Lost = e.Send == reset.Sent, e.Send == reset.SendLost || e.Send == reset.NotSent
		out.Minutes, out.Again = int(e.Expires.Sub(now).Minutes())+1, e.Sends < MaxSends
		return out, nil
	case method.RecoveryCode:
		out.Codes = slices.Clone(e.Codes)
		return out, nil
	}
	p, err := s.Store.Person(ctx, sess.Person)
	if err != nil {
		return nil, err
	}
	if p == nil {
		return nil, over("session")
	}
	switch e.Kind {
	case method.TOTP:
		out.URI, out.Secret = s.uri(p, e.Secret), groups(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(e.Secret))
		out.QR, err = picture(out.URI)
	case method.Passkey:
		out.Options, err = s.creation(ctx, p, e)
	}
	return out, err
}

// uri returns the address by which authenticator apps take a seed. Label and issuer hold no colon of their own.
func (s *Service) uri(p *account.Person, seed []byte) string {
	plain := func(text string) string {
		return url.PathEscape(strings.TrimSpace(strings.NewReplacer(":", " ", "/", " ").Replace(text)))
	}
	issuer := plain(s.Organisation)
	query := strings.NewReplacer("&", "%26", "+", "%2B", "=", "%3D", ";", "%3B").Replace
	return fmt.Sprintf("otpauth://totp/%s:%s?secret=%s&issuer=%s&algorithm=SHA1&digits=6&period=30",
		issuer, plain(p.UserName), base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(seed), query(issuer))
}

// groups sets a space after every fourth letter, so that people can copy by hand.
func groups(text string) string {
	var b strings.Builder
	for i, r := range text {
		if i > 0 && i%4 == 0 {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// quiet is the blank border of a QR code, in squares (ISO/IEC 18004 §5.3.8).
const quiet = 4

// picture draws a text as a QR code, row by row.
func picture(text string) (QR, error) {
	code, err := qr.Encode(text, qr.M, qr.Unicode)
	if err != nil {
		return QR{}, errors.New("too long for a QR code") // the library's own words may quote the seed
	}
	size := code.Bounds().Dx()
	dark := func(x, y int) bool {
		return x < size && color.GrayModel.Convert(code.At(x, y)).(color.Gray).Y < 128
	}
	var b strings.Builder
	for y := range size {
		for x := 0; x < size; x++ {
			run := 0
			for dark(x+run, y) {
				run++
			}
			if run > 0 {
				fmt.Fprintf(&b, "M%d %dh%dv1h-%dz", x+quiet, y+quiet, run, run)
			}
			x += run
		}
	}
	return QR{Path: b.String(), Size: size + 2*quiet}, nil
}

// challenge returns what a new passkey must sign: derived from the enrolment, so that it is good for this one only.
func (s *Service) challenge(e *Enrolment) []byte { return s.Keys.Hash("passkey/create", e.ID) }

// creation returns the options of making a passkey that the person does not have yet.
func (s *Service) creation(ctx context.Context, p *account.Person, e *Enrolment) ([]byte, error) {
	if s.Passkeys == nil {
		return nil, over("enrolment")
	}
	methods, err := s.Store.Methods(ctx, p.ID)
	if err != nil {
		return nil, err
	}
	return s.Passkeys.Create(s.challenge(e), reset.Handle(p.ID), p.UserName, p.Name(), credentials(methods, s.Now()))
}

// credentials returns the passkeys among somebody's ways.
func credentials(methods []method.Method, now time.Time) []passkey.Credential {
	var out []passkey.Credential
	for i := range methods {
		m := &methods[i]
		if m.Kind != method.Passkey || m.Gone(now) {
			continue
		}
		if c, err := passkey.Parse(m.Secret); err == nil {
			out = append(out, c)
		}
	}
	return out
}
