package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/regain-id/regain/internal/config"
)

// configCommand judges and shows configuration; it opens neither the database nor any connection.
func configCommand(environ []string) *cobra.Command {
	var path string
	cmd := &cobra.Command{Use: "config", Short: "Judge or show the configuration"}
	cmd.PersistentFlags().StringVar(&path, "config", variable(environ, "REGAIN_CONFIG"), "the YAML `file`; REGAIN_CONFIG names it, too")

	cmd.AddCommand(&cobra.Command{
		Use:   "check",
		Short: "Tell every fault of the configuration at once, with its line",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := config.Load(config.Source{File: path, Environ: environ})
			if err = errors.Join(err, c.CheckFiles()); err != nil {
				return faults(err)
			}
			for _, hint := range c.Hints() {
				fmt.Fprintln(cmd.OutOrStdout(), "note:", hint)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), "the configuration has no faults")
			return err
		},
	})

	var defaults, reveal bool
	show := &cobra.Command{
		Use:   "show",
		Short: "Show every key with its meaning and the value that holds",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c := config.Defaults()
			if !defaults {
				var err error
				if c, err = config.Load(config.Source{File: path, Environ: environ}); err != nil {
					return faults(err)
				}
			}
			_, err := cmd.OutOrStdout().Write(config.Render(c, !reveal))
			return err
		},
	}
	show.Flags().BoolVar(&defaults, "defaults", false, "what holds when nothing is set")
	show.Flags().BoolVar(&reveal, "reveal-secrets", false, "show secrets, so that the output can be loaded again")
	cmd.AddCommand(show)
	return cmd
}

// faults puts each fault on a line of its own under a sentence that says what happens.
func faults(err error) error {
	return fmt.Errorf("the configuration cannot be used:\n  %s", strings.ReplaceAll(err.Error(), "\n", "\n  "))
}

// variable returns the value of one environment variable, or "".
func variable(environ []string, name string) string {
	for _, e := range environ {
		if value, ok := strings.CutPrefix(e, name+"="); ok {
			return value
		}
	}
	return ""
}
