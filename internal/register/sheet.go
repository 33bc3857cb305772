package register

import "github.com/regain-id/regain/internal/method"

// Input is what a person types to begin.
type Input struct {
	Destination string
	Display     string
}

// Sheet is what a page shows of a way that is being added.
type Sheet struct {
	Kind    method.Kind
	Display string
	URI     string
	Secret  string
	QR      QR
	Options []byte
	Codes   []string
	Masked  string
	Address string
	Sent    bool
	Lost    bool
	Minutes int
	Again   bool
}

// QR is a picture of squares.
type QR struct {
	Path string
	Size int
}
