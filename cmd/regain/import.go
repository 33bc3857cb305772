package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/regain-id/regain/internal/app"
)

func importCommand(environ []string) *cobra.Command {
	cmd := &cobra.Command{Use: "import", Short: "Bring in what others made"}
	cmd.AddCommand(importBreached(), importPeople(environ))
	return cmd
}

func importBreached() *cobra.Command {
	var plain bool
	var to string
	breached := &cobra.Command{Use: "breached FILE", Short: "Build the filter of breached passwords from a list of SHA-1 hashes, one a line", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			in, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, in.Close()) }()
			n, err := app.ImportBreached(cmd.Context(), in, to, plain)
			if err == nil {
				fmt.Fprintf(cmd.OutOrStdout(), "%d passwords in %s; name it in password.breached_file\n", n, to)
			}
			return err
		}}
	breached.Flags().StringVar(&to, "to", "breached.filter", "the `file` to write")
	breached.Flags().BoolVar(&plain, "plain", false, "the list holds passwords, not hashes")
	return breached
}

// shownRefusals is how many refused lines are shown; all are counted.
const shownRefusals = 20

func importPeople(environ []string) *cobra.Command {
	var connector, format string
	cmd := &cobra.Command{
		Use: "people FILE", Short: "Bring people in from a file, as a connector would by SCIM", Args: cobra.ExactArgs(1),
		Long: `Bring people in from a file, as a connector would by SCIM: under the same rules, and into what is that connector's.

The file holds one SCIM user a line as JSON, or is a CSV file whose first line names the attributes: userName, externalId,
active, displayName, name.givenName, name.familyName, emails.work, phoneNumbers.mobile, department, recoveryEmail and so on.
- reads it from the standard input.

Who is there already, by externalId or else by userName, becomes what the line says of them; what it does not say stays. Nobody
is disabled or deleted for not being in the file. A run that was broken off is started again and goes on.`,
	}
	load := configured(cmd, environ)
	cmd.Flags().StringVar(&connector, "connector", "", "the `name` of the connector whose people they are")
	cmd.Flags().StringVar(&format, "format", "", "json or csv; by the name of the file when it is left out")
	cmd.MarkFlagRequired("connector")
	cmd.RunE = admin(load, func(cmd *cobra.Command, a *app.Admin, args []string) (err error) {
		cfg, err := load()
		if err != nil {
			return err
		}
		var in io.Reader = cmd.InOrStdin()
		if args[0] != "-" {
			f, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer f.Close() // it was only read
			in = f
		}
		if format == "" {
			if format = "json"; strings.EqualFold(filepath.Ext(args[0]), ".csv") {
				format = "csv"
			}
		}
		w, began, shown := cmd.OutOrStdout(), time.Now(), 0
		t, err := a.ImportPeople(cmd.Context(), cfg, connector, format, in, func(line int, why string) {
			if shown++; shown <= shownRefusals {
				fmt.Fprintf(w, "line %d is refused: %s\n", line, why)
			}
		})
		if shown > shownRefusals {
			fmt.Fprintf(w, "and %d more lines are refused\n", shown-shownRefusals)
		}
		fmt.Fprintf(w, "%d people are new, %d were changed, %d were as the file says, in %s\n", t.Created, t.Changed, t.Same, time.Since(began).Round(100*time.Millisecond))
		if err == nil && t.Refused > 0 {
			err = fmt.Errorf("%d of %d lines were refused; the others are in", t.Refused, t.Lines())
		}
		return err
	})
	return cmd
}
