package main

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/regain-id/regain/internal/app"
	"github.com/regain-id/regain/internal/config"
)

func appCommand(environ []string) *cobra.Command {
	cmd := &cobra.Command{Use: "app", Short: "The apps that send people here, or that people may go back to"}
	load := configured(cmd, environ)
	cmd.AddCommand(createApp(load), changeApp(load), rotateApp(load), listApps(load), showApp(load),
		&cobra.Command{Use: "delete KEY", Short: "Remove an app", Args: cobra.ExactArgs(1), RunE: admin(load, func(cmd *cobra.Command, a *app.Admin, args []string) error {
			return a.DeleteApp(cmd.Context(), args[0])
		})})
	return cmd
}

// appFlags are what create and change both take. said tells them, once the command line was read, what it says.
func appFlags(f *pflag.FlagSet, s *app.AppSettings, instead string) (said func()) {
	initiate, pushOnly := "", false
	f.StringArrayVar(&s.Returns, "return-to", nil, "an `address` people may go back to by a plain link, again for more; the first is where they do"+instead)
	f.StringArrayVar(&s.Redirects, "redirect", nil, "a redirect `URI`, compared to the letter, again for more: the app asks by OpenID Connect"+instead)
	f.StringSliceVar(&s.Actions, "action", nil, "what it may ask for: reset, change, unlock, register; default reset"+instead)
	f.StringVar(&s.Auth, "auth", "", "how it authenticates: client_secret (default) or private_key_jwt")
	f.StringVar(&s.Alg, "alg", "", "what its ID tokens are signed with: RS256 (default), ES256 or EdDSA")
	f.StringVar(&s.Subject, "subject", "", "what it gets to know people by: pairwise (default, a name of its own) or public (the id SCIM knows)")
	f.StringVar(&initiate, "initiate", "", "a `URL` of the app where somebody whose time was up may start again")
	f.BoolVar(&pushOnly, "push-only", false, "it must push its requests (RFC 9126)")
	return func() {
		if f.Changed("initiate") {
			s.Initiate = &initiate
		}
		if f.Changed("push-only") {
			s.PushOnly = &pushOnly
		}
	}
}

// publicKey reads the file of somebody's own key, which a flag names; nil when it names none.
func publicKey(flag, path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	text, err := app.ReadPublicKey(path)
	if err != nil {
		return nil, fmt.Errorf("--%s: %w", flag, err)
	}
	return text, nil
}

const publicKeyHelp = "a `file` with the public key of its own that it signs with, PEM or JWK; without one a key is made and shown once"

func createApp(load func() (config.Config, error)) *cobra.Command {
	var key, keyFile string
	var s app.AppSettings
	cmd := &cobra.Command{Use: "create NAME", Short: "Register an app by its name and where people may go back to, and show what it needs", Args: cobra.ExactArgs(1)}
	said := appFlags(cmd.Flags(), &s, "")
	cmd.Flags().StringVar(&key, "key", "", "what links name it by, and its client id: small letters, digits and dashes; default made of the name")
	cmd.Flags().StringVar(&keyFile, "public-key", "", publicKeyHelp)
	cmd.MarkFlagsOneRequired("return-to", "redirect")
	cmd.RunE = admin(load, func(cmd *cobra.Command, a *app.Admin, args []string) error {
		said()
		public, err := publicKey("public-key", keyFile)
		if err != nil {
			return err
		}
		made, c, err := a.CreateApp(cmd.Context(), args[0], key, s, public)
		if err != nil {
			return err
		}
		cfg, err := load()
		if err != nil {
			return err
		}
		w, base := cmd.OutOrStdout(), strings.TrimSuffix(cfg.BaseURL, "/")
		fmt.Fprintf(w, "Key   %s\n", made.Key)
		if len(made.Returns) > 0 {
			fmt.Fprintf(w, "Link  %s/setup?return_to=%s\n", base, made.Key)
		}
		if !made.Asks() {
			return nil
		}
		fmt.Fprintf(w, "\nIssuer         %s\nClient id      %s\n", base, made.Key)
		writeCredentials(w, c)
		text, err := c.Snippets(base, made)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "\n%s", text)
		return nil
	})
	return cmd
}

// writeCredentials shows what an app authenticates by, this once.
func writeCredentials(w io.Writer, c app.Credentials) {
	if c.Secret != "" {
		fmt.Fprintf(w, "Client secret  %s\nThe secret is shown this once.\n", c.Secret)
	}
	if c.KeyID != "" {
		fmt.Fprintf(w, "Key id         %s\n", c.KeyID)
	}
	if c.PrivateKey != "" {
		fmt.Fprintf(w, "%sThe private key is shown this once and kept nowhere here.\n", c.PrivateKey)
	}
}

func changeApp(load func() (config.Config, error)) *cobra.Command {
	var set app.AppChange
	cmd := &cobra.Command{Use: "change KEY", Short: "Change what an app is called, where people may go back to and what it may ask for, or disable it", Args: cobra.ExactArgs(1)}
	said := appFlags(cmd.Flags(), &set.AppSettings, "; takes the place of all there are")
	cmd.Flags().StringVar(&set.Name, "name", "", "what people read")
	cmd.Flags().BoolVar(&set.Disable, "disable", false, "it may ask for nothing any more, and nobody is sent back to it")
	cmd.Flags().BoolVar(&set.Enable, "enable", false, "take that back")
	cmd.MarkFlagsMutuallyExclusive("disable", "enable")
	cmd.RunE = admin(load, func(cmd *cobra.Command, a *app.Admin, args []string) error {
		said()
		if reflect.ValueOf(set).IsZero() {
			return errors.New("nothing to change: see --help")
		}
		before, err := a.App(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		if err := a.ChangeApp(cmd.Context(), args[0], set); err != nil {
			return err
		}
		after, err := a.App(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		w := cmd.OutOrStdout()
		if before.Asks() && (before.Subject != after.Subject || before.Sector != after.Sector) {
			fmt.Fprintln(w, "note: the app knows everybody by another name (sub) from now on")
		}
		if after.Asks() && len(after.Secrets)+len(after.Keys) == 0 {
			fmt.Fprintf(w, "note: it has nothing to authenticate by: run regain app rotate %s\n", after.Key)
		}
		return nil
	})
	return cmd
}

func rotateApp(load func() (config.Config, error)) *cobra.Command {
	var keyFile string
	var keep time.Duration
	cmd := &cobra.Command{Use: "rotate KEY", Short: "Give an app another secret or key, and let the one before work a while beside it", Args: cobra.ExactArgs(1)}
	cmd.Flags().DurationVar(&keep, "keep", 24*time.Hour, "how long what it has goes on working; 0 ends it at once")
	cmd.Flags().StringVar(&keyFile, "public-key", "", publicKeyHelp)
	cmd.RunE = admin(load, func(cmd *cobra.Command, a *app.Admin, args []string) error {
		public, err := publicKey("public-key", keyFile)
		if err != nil {
			return err
		}
		v, c, err := a.RotateApp(cmd.Context(), args[0], public, keep)
		if err != nil {
			return err
		}
		w := cmd.OutOrStdout()
		writeCredentials(w, c)
		switch {
		case keep == 0:
			fmt.Fprintln(w, "What it had works no more.")
		case len(v.Secrets)+len(v.Keys) > 1:
			fmt.Fprintf(w, "What it had works until %s.\n", minute(time.Now().Add(keep)))
		}
		if c.Ended {
			fmt.Fprintln(w, "note: the older of the two it had ended at once: more than two do not live at a time")
		}
		return nil
	})
	return cmd
}

func listApps(load func() (config.Config, error)) *cobra.Command {
	return &cobra.Command{Use: "list", Short: "Show all apps", Args: cobra.NoArgs, RunE: admin(load, func(cmd *cobra.Command, a *app.Admin, _ []string) error {
		all, err := a.Store.Apps(cmd.Context())
		for _, v := range all {
			asks := "link only"
			if v.Asks() {
				asks = "asks for " + joined(v.Actions)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%-24s %-8s %-30s %-20s %s\n", v.Key, used(v.Disabled), v.Name, asks, append(v.Redirects, v.Returns...)[0])
		}
		return err
	})}
}

func showApp(load func() (config.Config, error)) *cobra.Command {
	return &cobra.Command{Use: "show KEY", Short: "Show an app, and until when its secrets or keys work", Args: cobra.ExactArgs(1), RunE: admin(load, func(cmd *cobra.Command, a *app.Admin, args []string) error {
		v, err := a.App(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		w, now := cmd.OutOrStdout(), time.Now()
		fmt.Fprintf(w, "%s  %s  %s\n", v.Key, v.Name, used(v.Disabled))
		for _, r := range v.Returns {
			fmt.Fprintf(w, "  return to  %s\n", r)
		}
		for _, r := range v.Redirects {
			fmt.Fprintf(w, "  redirect   %s\n", r)
		}
		if v.Asks() {
			fmt.Fprintf(w, "  asks for   %s\n  ID tokens  signed with %s, people by a name that is %s", joined(v.Actions), v.Alg, v.Subject)
			if v.Sector != "" {
				fmt.Fprintf(w, " to %s", v.Sector)
			}
			fmt.Fprintln(w)
			if v.Initiate != "" {
				fmt.Fprintf(w, "  starts at  %s\n", v.Initiate)
			}
			if v.PushOnly {
				fmt.Fprintln(w, "  requests   pushed only")
			}
			for _, k := range v.LiveSecrets(now) {
				fmt.Fprintf(w, "  secret     made %s, %s\n", minute(k.Created), works(k.Expires))
			}
			for _, k := range v.LiveKeys(now) {
				fmt.Fprintf(w, "  key        %s, made %s, %s\n", k.ID, minute(k.Created), works(k.Expires))
			}
			if len(v.LiveSecrets(now))+len(v.LiveKeys(now)) == 0 {
				fmt.Fprintf(w, "  %s  none: run regain app rotate %s\n", v.Auth, v.Key)
			}
		}
		fmt.Fprintf(w, "  made %s, changed %s\n", minute(v.Created), minute(v.Updated))
		return nil
	})}
}

func joined[T ~string](all []T) string {
	text := make([]string, len(all))
	for i, v := range all {
		text[i] = string(v)
	}
	return strings.Join(text, ", ")
}

// works says until when something works.
func works(expires time.Time) string {
	if expires.IsZero() {
		return "works without end"
	}
	return "works until " + minute(expires)
}

func used(disabled bool) string {
	if disabled {
		return "disabled"
	}
	return "enabled"
}
