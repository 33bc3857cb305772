package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/regain-id/regain/internal/app"
)

func policyCommand(environ []string) *cobra.Command {
	cmd := &cobra.Command{Use: "policy", Short: "Who may reset, and by how many proofs of which kinds"}
	load := configured(cmd, environ)
	cmd.AddCommand(
		&cobra.Command{Use: "apply FILE", Short: "Put the rules of a YAML file in force", Args: cobra.ExactArgs(1), RunE: admin(load, func(cmd *cobra.Command, a *app.Admin, args []string) error {
			version, err := a.ApplyPolicy(cmd.Context(), args[0])
			if err == nil {
				fmt.Fprintf(cmd.OutOrStdout(), "policy version %d is in force\n", version)
			}
			return err
		})},
		&cobra.Command{Use: "list", Short: "Show the latest versions, newest first", Args: cobra.NoArgs, RunE: admin(load, func(cmd *cobra.Command, a *app.Admin, _ []string) error {
			all, err := a.Store.PolicyVersions(cmd.Context())
			for _, p := range all {
				fmt.Fprintf(cmd.OutOrStdout(), "%4d  %s  %-24s %d rules\n", p.Version, p.Applied.Local().Format("2006-01-02 15:04"), p.By, len(p.Rules))
			}
			return err
		})},
		&cobra.Command{Use: "show", Short: "Show the rules in force as JSON", Args: cobra.NoArgs, RunE: admin(load, func(cmd *cobra.Command, a *app.Admin, _ []string) error {
			p, err := a.Store.Policy(cmd.Context())
			if err != nil {
				return err
			}
			e := json.NewEncoder(cmd.OutOrStdout())
			e.SetIndent("", "  ")
			return e.Encode(p)
		})})
	return cmd
}
