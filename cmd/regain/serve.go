package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os/user"
	"strings"

	"github.com/spf13/cobra"

	"github.com/regain-id/regain/internal/app"
	"github.com/regain-id/regain/internal/config"
)

// configured adds the flag --config and returns what loads it.
func configured(cmd *cobra.Command, environ []string) func() (config.Config, error) {
	path := cmd.PersistentFlags().String("config", variable(environ, "REGAIN_CONFIG"), "the YAML `file`; REGAIN_CONFIG names it, too")
	return func() (config.Config, error) {
		c, err := config.Load(config.Source{File: *path, Environ: environ})
		if err != nil {
			err = faults(err)
		}
		return c, err
	}
}

func actor() string {
	if u, err := user.Current(); err == nil {
		return "cli:" + u.Username
	}
	return "cli:?"
}

// admin runs one command on the deployment's database.
func admin(load func() (config.Config, error), do func(*cobra.Command, *app.Admin, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, err := load()
		if err != nil {
			return err
		}
		a, err := app.OpenAdmin(cmd.Context(), c, actor(), false)
		if err != nil {
			return err
		}
		return errors.Join(do(cmd, a, args), a.Close())
	}
}

func serveCommand(environ []string) *cobra.Command {
	cmd := &cobra.Command{Use: "serve", Short: "Serve people, staff and identity providers until stopped", Args: cobra.NoArgs}
	load := configured(cmd, environ)
	migrate := cmd.Flags().Bool("migrate", false, "bring an older database up to date first; an empty one always is")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := load()
		if err != nil {
			return err
		}
		if err := c.CheckFiles(); err != nil {
			return faults(err)
		}
		log := app.NewLog(c.Log, cmd.ErrOrStderr())
		slog.SetDefault(log)
		return app.Run(cmd.Context(), c, log, *migrate, nil)
	}
	return cmd
}

func demoCommand() *cobra.Command {
	var o app.DemoOptions
	cmd := &cobra.Command{Use: "demo", Short: "Show everything on this computer, with nothing to install", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Version = app.Version()
			return app.Demo(cmd.Context(), o, cmd.OutOrStdout())
		}}
	f := cmd.Flags()
	f.StringVar(&o.Listen, "listen", "", "host and port; default localhost:8080 or the next free port, port 0 for any")
	f.StringVar(&o.Data, "data", "", "a `folder` that keeps the state; default a new one, removed at the end")
	f.BoolVar(&o.JSON, "json", false, "say one line of JSON when ready")
	f.BoolVar(&o.Expose, "expose-demo", false, "listen on other addresses than localhost, where strangers can read every code")
	f.StringVar(&o.Fault, "fault", "", "let the directory fail: directory=timeout-after-write and others")
	return cmd
}

func migrateCommand(environ []string) *cobra.Command {
	cmd := &cobra.Command{Use: "migrate", Short: "Bring the database up to date", Args: cobra.NoArgs}
	load := configured(cmd, environ)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := load()
		if err != nil {
			return err
		}
		a, err := app.OpenAdmin(cmd.Context(), c, actor(), true)
		if err != nil {
			return err
		}
		fmt.Fprintln(cmd.OutOrStdout(), "the database is up to date")
		return a.Close()
	}
	return cmd
}

func checkCommand(environ []string) *cobra.Command {
	cmd := &cobra.Command{Use: "check", Short: "Look at everything a deployment needs, and say how to fix what is missing", Args: cobra.NoArgs}
	path := cmd.Flags().String("config", variable(environ, "REGAIN_CONFIG"), "the YAML `file`; REGAIN_CONFIG names it, too")
	asJSON := cmd.Flags().Bool("json", false, "say it in JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		found := app.Check(cmd.Context(), config.Source{File: *path, Environ: environ})
		bad := 0
		for _, f := range found {
			if f.Verdict == app.Must {
				bad++
			}
		}
		if *asJSON {
			if err := json.NewEncoder(cmd.OutOrStdout()).Encode(found); err != nil {
				return err
			}
		} else {
			for _, f := range found {
				fmt.Fprintf(cmd.OutOrStdout(), "%-7s %-16s %s\n", f.Verdict, f.Area, f.Text)
				if f.Fix != "" {
					fmt.Fprintf(cmd.OutOrStdout(), "%24s fix: %s\n", "", strings.ReplaceAll(f.Fix, "\n", fmt.Sprintf("\n%29s", "")))
				}
			}
		}
		if bad > 0 {
			return fmt.Errorf("%d of %d things must be fixed", bad, len(found))
		}
		return nil
	}
	return cmd
}

func keyCommand(environ []string) *cobra.Command {
	cmd := &cobra.Command{Use: "key", Short: "Make, show and rotate the keys that seal people's data, and those that statements are signed with"}
	load := configured(cmd, environ)
	cmd.AddCommand(&cobra.Command{Use: "create FILE", Short: "Make a new key file, readable by you alone", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := app.CreateKeys(args[0]); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s made. Back it up apart from the database: without it sealed data cannot be read again.\n", args[0])
			return nil
		}}, &cobra.Command{Use: "list", Short: "Show the keys without their secrets", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := load()
			if err != nil {
				return err
			}
			return app.ListKeys(c, cmd.OutOrStdout())
		}}, &cobra.Command{Use: "change", Short: "Rotate: a new primary key, and every person's key wrapped by it", Args: cobra.NoArgs,
		RunE: admin(load, func(cmd *cobra.Command, a *app.Admin, _ []string) error {
			id, n, err := a.RotateKey(cmd.Context())
			if err == nil {
				fmt.Fprintf(cmd.OutOrStdout(), "primary key %s; %d people's keys wrapped anew\n", id, n)
			}
			return err
		})}, signingCommand(load))
	return cmd
}
