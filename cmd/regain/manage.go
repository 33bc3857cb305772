package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/regain-id/regain/internal/app"
)

func connectorCommand(environ []string) *cobra.Command {
	cmd := &cobra.Command{Use: "connector", Short: "The identity providers that provision people by SCIM"}
	load := configured(cmd, environ)

	var made app.ConnectorSettings
	create := &cobra.Command{Use: "create NAME", Short: "Make a connector and show its token once", Args: cobra.ExactArgs(1),
		RunE: admin(load, func(cmd *cobra.Command, a *app.Admin, args []string) error {
			token, err := a.CreateConnector(cmd.Context(), args[0], made)
			if err != nil {
				return err
			}
			cfg, err := load()
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "SCIM address  %s/scim/v2\nSecret token  %s\nThe token is shown this once.\n", strings.TrimSuffix(cfg.BaseURL, "/"), token)
			return nil
		})}
	create.Flags().StringVar(&made.Trust, "trust", "one", "how its contacts count: none, one (all together) or all (each by itself)")
	create.Flags().StringVar(&made.Preset, "preset", "standard", "standard, entra or strict")
	create.Flags().StringVar(&made.Groups, "groups", "no", "yes or no: may its groups select a rule that asks for less")
	create.Flags().StringVar(&made.Roles, "roles", "no", "yes or no: may its groups make people staff")

	var newToken bool
	var set app.ConnectorSettings
	change := &cobra.Command{Use: "change NAME", Short: "Change a connector's trust, preset or token", Args: cobra.ExactArgs(1),
		RunE: admin(load, func(cmd *cobra.Command, a *app.Admin, args []string) error {
			if set != (app.ConnectorSettings{}) {
				if err := a.ChangeConnector(cmd.Context(), args[0], set); err != nil {
					return err
				}
			}
			if newToken {
				token, err := a.RotateToken(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "Secret token  %s\nThe token before it works until the next one is made.\n", token)
			}
			return nil
		})}
	change.Flags().BoolVar(&newToken, "token", false, "make a new token and show it once")
	change.Flags().StringVar(&set.Trust, "trust", "", "none, one or all")
	change.Flags().StringVar(&set.Preset, "preset", "", "standard, entra or strict")
	change.Flags().StringVar(&set.Groups, "groups", "", "yes or no: may its groups select a rule that asks for less")
	change.Flags().StringVar(&set.Roles, "roles", "", "yes or no: may its groups make people staff")

	cmd.AddCommand(create, change,
		&cobra.Command{Use: "list", Short: "Show all connectors", Args: cobra.NoArgs, RunE: admin(load, func(cmd *cobra.Command, a *app.Admin, _ []string) error {
			all, err := a.Store.Connectors(cmd.Context())
			for _, c := range all {
				last := "never"
				if !c.Last.IsZero() {
					last = c.Last.Local().Format("2006-01-02 15:04")
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%-24s trust %-5s preset %-9s groups %-5v roles %-5v tokens %d  last request %s\n", c.Name, c.Trust, c.Preset, c.Groups, c.Roles, len(c.Tokens), last)
			}
			return err
		})},
		&cobra.Command{Use: "delete NAME", Short: "Remove a connector that has no people, groups or ways left", Args: cobra.ExactArgs(1), RunE: admin(load, func(cmd *cobra.Command, a *app.Admin, args []string) error {
			return a.DeleteConnector(cmd.Context(), args[0])
		})})
	return cmd
}

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

func importCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "import", Short: "Bring in what others made"}
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
	cmd.AddCommand(breached)
	return cmd
}
