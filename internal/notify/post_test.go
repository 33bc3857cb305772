package notify

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/regain-id/regain/internal/message"
)

// quoting is a server that refuses and names whom.
type quoting struct {
	kind Kind
	text string
}

func (q quoting) Send(context.Context, Mail) error { return &Error{q.kind, errors.New(q.text)} }

func TestARefusedDeliveryNamesNobodyInTheLog(t *testing.T) {
	for _, text := range []string{
		"550 5.1.1 <ada.brandt@mail.example>: no such mailbox", "451 ada.brandt@mail.example over quota", `"ada.brandt"@mail.example? no: ada.brandt@mail.example`,
	} {
		for _, kind := range []Kind{Temporary, Permanent, Uncertain} {
			err := discreet(quoting{kind, text}.Send(t.Context(), Mail{}))
			if KindOf(err) != kind {
				t.Errorf("%q: kind %s, want %s", text, KindOf(err), kind)
			}
			if strings.Contains(err.Error(), "@mail.example") {
				t.Errorf("%q is told as %q", text, err)
			}
		}
	}
	if err := discreet(&Error{Permanent, errors.New("number +491713920001 (0171 3920001) is barred")}); strings.Contains(err.Error(), "3920001") {
		t.Errorf("a number is told: %q", err)
	}
	if err := discreet(&Error{Temporary, errors.New("421 4.3.2 try later")}); err.Error() != "temporary: 421 4.3.2 try later" {
		t.Errorf("what helps an operator is gone: %q", err)
	}
	if discreet(nil) != nil {
		t.Error("a delivery that worked has an error")
	}
}

func TestThePostTellsNoAddressOfARefusedLetter(t *testing.T) {
	catalogue, err := message.Load()
	if err != nil {
		t.Fatal(err)
	}
	printer, err := NewPrinter(catalogue.With("Organisation", "Alder Works"))
	if err != nil {
		t.Fatal(err)
	}
	p := &Post{Printer: printer, Mail: quoting{Permanent, "550 <ada@mail.example> unknown"}, Organisation: Organisation{Name: "Alder Works", Host: "localhost", From: "account@alder.example"}}
	err = p.sendMail(t.Context(), TestLetter(Envelope{ID: "x", Lang: "en", To: "ada@mail.example"}))
	if KindOf(err) != Permanent || !strings.Contains(err.Error(), "550") || strings.Contains(err.Error(), "ada@") {
		t.Errorf("got %v, want the refusal without the address", err)
	}
}
