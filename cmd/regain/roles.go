package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/regain-id/regain/internal/app"
	"github.com/regain-id/regain/internal/config"
)

func roleCommand(environ []string) *cobra.Command {
	cmd := &cobra.Command{Use: "role", Short: "What makes people staff: a claim of their sign-in, or a group"}
	load := configured(cmd, environ)

	var role string
	var from app.RoleSource
	create := &cobra.Command{Use: "create", Short: "Make staff of whoever has a claim or is in a group", Args: cobra.NoArgs,
		RunE: admin(load, func(cmd *cobra.Command, a *app.Admin, _ []string) error {
			made, note, err := a.CreateRole(cmd.Context(), role, from)
			if err != nil {
				return err
			}
			cfg, err := load()
			if err != nil {
				return err
			}
			if made.IDP != "" && !slices.ContainsFunc(cfg.IDPs, func(p config.IDP) bool { return p.Name == made.IDP }) {
				note = made.IDP + " is no identity provider of the configuration"
			}
			fmt.Fprintln(cmd.OutOrStdout(), made.ID)
			if note != "" {
				fmt.Fprintln(cmd.ErrOrStderr(), "note: "+note)
			}
			return nil
		})}
	create.Flags().StringVar(&role, "role", "", "helpdesk or administrator")
	create.Flags().StringVar(&from.Claim, "claim", "", "a claim of a sign-in, as `IDP:CLAIM=VALUE`: provider, name and value to the letter")
	create.Flags().StringVar(&from.Group, "group", "", "the display `name` of a group, of a connector that has --roles yes")
	if err := create.MarkFlagRequired("role"); err != nil {
		panic(err) // there is no such flag: a bug
	}

	cmd.AddCommand(create,
		&cobra.Command{Use: "list", Short: "Show what makes people staff", Args: cobra.NoArgs, RunE: admin(load, func(cmd *cobra.Command, a *app.Admin, _ []string) error {
			all, err := a.Store.RoleRules(cmd.Context())
			for _, r := range all {
				what := "group " + r.Value
				if r.Claim != "" {
					what = "claim " + r.IDP + ":" + r.Claim + "=" + r.Value
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s  %-13s %-40s %s  %s\n", r.ID, r.Role, what, minute(r.Made), r.By)
			}
			return err
		})},
		&cobra.Command{Use: "delete ID", Short: "Take a rule back", Args: cobra.ExactArgs(1), RunE: admin(load, func(cmd *cobra.Command, a *app.Admin, args []string) error {
			return a.DeleteRole(cmd.Context(), args[0])
		})})
	return cmd
}

func consoleCommand(environ []string) *cobra.Command {
	cmd := &cobra.Command{Use: "console", Short: "Make a link by which the first administrator enters the console", Args: cobra.NoArgs}
	load := configured(cmd, environ)
	role := cmd.Flags().String("role", "administrator", "helpdesk or administrator")
	cmd.RunE = admin(load, func(cmd *cobra.Command, a *app.Admin, _ []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		link, err := a.Invite(cmd.Context(), cfg.BaseURL, *role)
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s\nOpen it and sign in within one hour. It works once, for whoever has it: send it to nobody else.\n", link)
		return nil
	})
	return cmd
}
