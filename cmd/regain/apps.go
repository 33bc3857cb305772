package main

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/spf13/cobra"

	"github.com/regain-id/regain/internal/app"
)

func appCommand(environ []string) *cobra.Command {
	cmd := &cobra.Command{Use: "app", Short: "The apps that people come from and may go back to"}
	load := configured(cmd, environ)

	var key string
	var returns []string
	create := &cobra.Command{Use: "create NAME", Short: "Register an app by its name and the addresses people may go back to", Args: cobra.ExactArgs(1),
		RunE: admin(load, func(cmd *cobra.Command, a *app.Admin, args []string) error {
			made, err := a.CreateApp(cmd.Context(), args[0], key, returns)
			if err != nil {
				return err
			}
			cfg, err := load()
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "Key   %s\nLink  %s/setup?return_to=%s\n", made.Key, strings.TrimSuffix(cfg.BaseURL, "/"), made.Key)
			return nil
		})}
	create.Flags().StringVar(&key, "key", "", "what links name it by: small letters, digits and dashes; default made of the name")
	create.Flags().StringArrayVar(&returns, "return-to", nil, "an `address` people may go back to, again for more; the first is where they do")
	if err := create.MarkFlagRequired("return-to"); err != nil {
		panic(err) // there is no such flag: a bug
	}

	var set app.AppChange
	change := &cobra.Command{Use: "change KEY", Short: "Change an app's name or addresses, or disable it", Args: cobra.ExactArgs(1),
		RunE: admin(load, func(cmd *cobra.Command, a *app.Admin, args []string) error {
			if reflect.ValueOf(set).IsZero() {
				return errors.New("nothing to change: see --help")
			}
			return a.ChangeApp(cmd.Context(), args[0], set)
		})}
	change.Flags().StringVar(&set.Name, "name", "", "what people read")
	change.Flags().StringArrayVar(&set.Returns, "return-to", nil, "an `address` people may go back to, again for more: these take the place of all there are")
	change.Flags().BoolVar(&set.Disable, "disable", false, "send nobody back to it any more")
	change.Flags().BoolVar(&set.Enable, "enable", false, "send people back to it again")
	change.MarkFlagsMutuallyExclusive("disable", "enable")

	cmd.AddCommand(create, change,
		&cobra.Command{Use: "list", Short: "Show all apps", Args: cobra.NoArgs, RunE: admin(load, func(cmd *cobra.Command, a *app.Admin, _ []string) error {
			all, err := a.Store.Apps(cmd.Context())
			for _, v := range all {
				fmt.Fprintf(cmd.OutOrStdout(), "%-24s %-8s %-30s %s\n", v.Key, used(v.Disabled), v.Name, v.Returns[0])
			}
			return err
		})},
		&cobra.Command{Use: "show KEY", Short: "Show an app and its addresses", Args: cobra.ExactArgs(1), RunE: admin(load, func(cmd *cobra.Command, a *app.Admin, args []string) error {
			v, err := a.App(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			w := cmd.OutOrStdout()
			fmt.Fprintf(w, "%s  %s  %s\n", v.Key, v.Name, used(v.Disabled))
			for _, r := range v.Returns {
				fmt.Fprintf(w, "  return to  %s\n", r)
			}
			fmt.Fprintf(w, "  made %s, changed %s\n", minute(v.Created), minute(v.Updated))
			return nil
		})},
		&cobra.Command{Use: "delete KEY", Short: "Remove an app", Args: cobra.ExactArgs(1), RunE: admin(load, func(cmd *cobra.Command, a *app.Admin, args []string) error {
			return a.DeleteApp(cmd.Context(), args[0])
		})})
	return cmd
}

func used(disabled bool) string {
	if disabled {
		return "disabled"
	}
	return "enabled"
}
