package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"github.com/regain-id/regain/internal/config"
	"github.com/regain-id/regain/internal/provision"
)

// ImportTally counts what became of the lines of a file.
type ImportTally = provision.Tally

// ImportPeople brings the people of a file as the connector of that name would, under the rules of c. The format is json (one
// SCIM user a line) or csv. Lines that are refused are told with their number and why.
func (a *Admin) ImportPeople(ctx context.Context, c config.Config, connector, format string, in io.Reader, refused func(line int, why string)) (ImportTally, error) {
	by, err := a.Connector(ctx, connector)
	if err != nil {
		return ImportTally{}, err
	}
	lines := provision.JSONLines(in)
	switch format {
	case "json":
	case "csv":
		lines = provision.CSV(in)
	default:
		return ImportTally{}, fmt.Errorf("format %q: want json or csv", format)
	}
	corporate, _ := c.Organisation.Domains()
	conf := provision.Config{
		Policies: a.Store, Base: c.BaseURL, Corporate: corporate, Region: c.SMS.DefaultRegion, Now: a.now, Log: slog.New(slog.DiscardHandler), Hash: a.Store.DestinationHash,
	}
	return provision.Import(ctx, conf, a.Store, by, lines, refused)
}
