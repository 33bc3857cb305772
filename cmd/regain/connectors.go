package main

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/regain-id/regain/internal/app"
	"github.com/regain-id/regain/internal/config"
)

func connectorCommand(environ []string) *cobra.Command {
	cmd := &cobra.Command{Use: "connector", Short: "The identity providers that provision people by SCIM"}
	load := configured(cmd, environ)
	cmd.AddCommand(createConnector(load), changeConnector(load), rotateConnector(load), listConnectors(load), showConnector(load), expectLeavers(load), undoLeavers(load),
		&cobra.Command{Use: "delete NAME", Short: "Remove a connector that has no people, groups or ways left", Args: cobra.ExactArgs(1), RunE: admin(load, func(cmd *cobra.Command, a *app.Admin, args []string) error {
			return a.DeleteConnector(cmd.Context(), args[0])
		})})
	return cmd
}

// connectorFlags are the settings of a connector.
func connectorFlags(f *pflag.FlagSet, s *app.ConnectorSettings, trust, preset, no string) {
	f.StringVar(&s.Trust, "trust", trust, "how its contacts count: none, one (all together) or all (each by itself)")
	f.StringVar(&s.Preset, "preset", preset, "standard, entra or strict")
	f.StringVar(&s.Groups, "groups", no, "yes or no: may its groups select a rule that asks for less")
	f.StringVar(&s.Roles, "roles", no, "yes or no: may its groups make people staff")
	f.StringVar(&s.Use, "use", "", "what it may use: users, groups and methods with a comma between, or all")
	f.StringVar(&s.ReadOnly, "read-only", no, "yes or no: may it look and change nothing")
	f.StringVar(&s.Password, "set-password", no, "yes or no: are the passwords it brings handed to the directory")
	f.StringArrayVar(&s.Switches, "switch", nil, "one `rule` of how far it is bent to, as any-case-ops=on or =off, whatever the preset says; =preset gives it back; again for more (connector show --rules lists them)")
	f.StringVar(&s.JWKS, "jwks", "", "the `URL` where it publishes the keys it signs with, in place of a token; none takes that away")
	f.StringVar(&s.Rate, "rate", "", fmt.Sprintf("requests a second that one process takes of it, at most %d; 0 for the usual %d", app.MaxRate, app.DefaultRate))
}

const expiresHelp = "when the token ends: a day (2027-01-31), a time, or how long from now (180d, 12h); never"

func createConnector(load func() (config.Config, error)) *cobra.Command {
	var made app.ConnectorSettings
	var expires, keyFile string
	cmd := &cobra.Command{Use: "create NAME", Short: "Make a connector and show its token once", Args: cobra.ExactArgs(1),
		RunE: admin(load, func(cmd *cobra.Command, a *app.Admin, args []string) (err error) {
			if made.Expires, err = until(expires, time.Now()); err != nil {
				return err
			}
			if made.Key, err = publicKey("key", keyFile); err != nil {
				return err
			}
			token, err := a.CreateConnector(cmd.Context(), args[0], made)
			if err != nil {
				return err
			}
			cfg, err := load()
			if err != nil {
				return err
			}
			base := strings.TrimSuffix(cfg.BaseURL, "/")
			fmt.Fprintf(cmd.OutOrStdout(), "SCIM address  %s/scim/v2\n", base)
			if token != "" {
				showToken(cmd, token, made.Expires)
				return nil
			}
			return showAsserting(cmd, a, base, args[0])
		})}
	cmd.Flags().StringVar(&keyFile, "key", "", connectorKeyHelp)
	connectorFlags(cmd.Flags(), &made, "one", "standard", "no")
	cmd.Flags().StringVar(&expires, "expires", "never", expiresHelp)
	return cmd
}

const connectorKeyHelp = "a `file` with the public key it signs with, PEM or JWK, in place of a token"

// showAsserting shows what a connector needs that signs with a key.
func showAsserting(cmd *cobra.Command, a *app.Admin, base, name string) error {
	c, err := a.Connector(cmd.Context(), name)
	if err != nil {
		return err
	}
	w := cmd.OutOrStdout()
	fmt.Fprintf(w, "Token address  %s/oauth2/token\nClient id      %s\nAudience       %s\nScope          %s\n", base, c.Name, base, app.ScopeSCIM)
	for _, k := range c.Keys {
		fmt.Fprintf(w, "Key id         %s\n", k.ID)
	}
	if c.JWKS != "" {
		fmt.Fprintf(w, "Keys from      %s\n", c.JWKS)
	}
	return nil
}

// showToken shows a new token, this once.
func showToken(cmd *cobra.Command, token string, expires time.Time) {
	fmt.Fprintf(cmd.OutOrStdout(), "Secret token  %s\nThe token is shown this once; it %s.\n", token, works(expires))
}

func changeConnector(load func() (config.Config, error)) *cobra.Command {
	var newToken, dropKeys bool
	var expires string
	var set app.ConnectorSettings
	cmd := &cobra.Command{Use: "change NAME", Short: "Change a connector's trust, preset, what it may do, or its token", Args: cobra.ExactArgs(1),
		RunE: admin(load, func(cmd *cobra.Command, a *app.Admin, args []string) error {
			end, err := until(expires, time.Now())
			if err != nil {
				return err
			}
			if dropKeys {
				if err := a.DropConnectorKeys(cmd.Context(), args[0]); err != nil {
					return err
				}
			}
			if !reflect.ValueOf(set).IsZero() {
				if err := a.ChangeConnector(cmd.Context(), args[0], set); err != nil {
					return err
				}
			}
			switch {
			case newToken:
				token, err := a.RotateToken(cmd.Context(), args[0], end, time.Time{})
				if err != nil {
					return err
				}
				showToken(cmd, token, end)
				fmt.Fprintln(cmd.OutOrStdout(), "The token before it works until the next one is made.")
			case expires != "":
				return a.ExpireTokens(cmd.Context(), args[0], end)
			}
			return nil
		})}
	cmd.Flags().BoolVar(&newToken, "token", false, "make a new token and show it once")
	cmd.Flags().BoolVar(&dropKeys, "drop-keys", false, "take the keys it signs with away; --token gives it a token")
	cmd.Flags().StringVar(&expires, "expires", "", expiresHelp+"; without --token of those there are")
	connectorFlags(cmd.Flags(), &set, "", "", "")
	return cmd
}

func rotateConnector(load func() (config.Config, error)) *cobra.Command {
	var expires, keyFile string
	var keep time.Duration
	cmd := &cobra.Command{Use: "rotate NAME", Short: "Give a connector another token or key, and let the one before work a while beside it", Args: cobra.ExactArgs(1),
		RunE: admin(load, func(cmd *cobra.Command, a *app.Admin, args []string) error {
			now := time.Now()
			end, err := until(expires, now)
			if err != nil {
				return err
			}
			if keyFile != "" {
				text, err := publicKey("key", keyFile)
				if err != nil {
					return err
				}
				id, err := a.RotateConnectorKey(cmd.Context(), args[0], text, now.Add(keep))
				if err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "Key id  %s\n", id)
			} else {
				c, err := a.Connector(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				if c.Asserts() && len(c.Live(now)) == 0 {
					return fmt.Errorf("%s signs with a key: give the next one with --key, or make a token with regain connector change --token %s", c.Name, c.Name)
				}
				token, err := a.RotateToken(cmd.Context(), args[0], end, now.Add(keep))
				if err != nil {
					return err
				}
				showToken(cmd, token, end)
			}
			if keep == 0 {
				fmt.Fprintln(cmd.OutOrStdout(), "What it had works no more.")
			} else {
				fmt.Fprintf(cmd.OutOrStdout(), "What it had works until %s.\n", minute(now.Add(keep)))
			}
			return nil
		})}
	cmd.Flags().StringVar(&expires, "expires", "never", expiresHelp)
	cmd.Flags().DurationVar(&keep, "keep", 24*time.Hour, "how long what it has goes on working; 0 ends it at once")
	cmd.Flags().StringVar(&keyFile, "key", "", connectorKeyHelp)
	return cmd
}

func listConnectors(load func() (config.Config, error)) *cobra.Command {
	return &cobra.Command{Use: "list", Short: "Show all connectors", Args: cobra.NoArgs, RunE: admin(load, func(cmd *cobra.Command, a *app.Admin, _ []string) error {
		all, err := a.Store.Connectors(cmd.Context())
		now := time.Now()
		for _, c := range all {
			fmt.Fprintf(cmd.OutOrStdout(), "%-24s trust %-5s preset %-9s groups %-5v roles %-5v uses %-20s read-only %-5v tokens %d %-24s last request %s\n",
				c.Name, c.Trust, c.Preset, c.Groups, c.Roles, c.UsesText(), c.ReadOnly, len(c.Live(now)), nextEnd(c.NextEnd(now)), lastRequest(c.Last))
		}
		return err
	})}
}

// nextEnd says when the next token of a connector ends.
func nextEnd(end time.Time) string {
	if end.IsZero() {
		return ""
	}
	return "(one until " + minute(end) + ")"
}

func lastRequest(last time.Time) string {
	if last.IsZero() {
		return "never"
	}
	return minute(last)
}

func showConnector(load func() (config.Config, error)) *cobra.Command {
	var rules bool
	cmd := &cobra.Command{Use: "show NAME", Short: "Show a connector, and until when its tokens and keys work", Args: cobra.ExactArgs(1)}
	cmd.Flags().BoolVar(&rules, "rules", false, "also every rule of how far it is bent to, and whether it is on")
	cmd.RunE = admin(load, func(cmd *cobra.Command, a *app.Admin, args []string) error {
		c, err := a.Connector(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		w, now := cmd.OutOrStdout(), time.Now()
		fmt.Fprintf(w, "%s  preset %s\n  contacts   trust %s\n  groups     may select a rule that asks for less: %v; may make people staff: %v\n", c.Name, c.Preset, c.Trust, c.Groups, c.Roles)
		does := "may use"
		if c.ReadOnly {
			does = "may read"
		}
		if c.SetPassword {
			fmt.Fprintln(w, "  passwords  are handed to the directory")
		}
		if len(c.Switches) > 0 {
			fmt.Fprintf(w, "  switches   %s\n", c.SwitchesText())
		}
		fmt.Fprintf(w, "  %-10s %s, %d requests a second\n", does, strings.ReplaceAll(c.UsesText(), ",", ", "), c.PerSecond())
		for _, k := range c.Live(now) {
			fmt.Fprintf(w, "  token      made %s, %s\n", minute(k.Created), works(k.Expires))
		}
		for _, k := range c.LiveKeys(now) {
			fmt.Fprintf(w, "  key        %s, made %s, %s\n", k.ID, minute(k.Created), works(k.Expires))
		}
		if c.JWKS != "" {
			fmt.Fprintf(w, "  keys       from %s\n", c.JWKS)
		}
		if len(c.Live(now))+len(c.LiveKeys(now)) == 0 && c.JWKS == "" {
			fmt.Fprintf(w, "  token      none: run regain connector rotate %s\n", c.Name)
		}
		b, held, err := a.Waves(cmd.Context(), c.ID)
		if err != nil {
			return err
		}
		if e := b.Expected; e != nil && e.Left > 0 && e.Until.After(now) {
			fmt.Fprintf(w, "  expected   %d people may leave until %s\n", e.Left, minute(e.Until))
		}
		for _, v := range b.Waves {
			if n := held[v.ID]; n > 0 {
				fmt.Fprintf(w, "  wave       %s  %s to %s, %d people: run regain connector undo %s\n", v.ID, minute(v.Began), minute(v.Last), n, c.Name)
			}
		}
		h, err := a.Store.Heard(cmd.Context(), c.ID)
		if err != nil {
			return err
		}
		if !h.BadAt.IsZero() {
			fmt.Fprintf(w, "  failed     %s answered with %d, %s\n", h.BadWhat, h.BadStatus, minute(h.BadAt))
		}
		fmt.Fprintf(w, "  made %s, changed %s, last request %s\n", minute(c.Created), minute(c.Updated), lastRequest(c.Last))
		if rules {
			for _, r := range app.Rules(c) {
				on, by := "off", "by the preset"
				if r.On {
					on = "on"
				}
				if r.Own {
					by = "by its switch"
				}
				fmt.Fprintf(w, "  %-20s %-3s %-13s  %s\n", r.Name, on, by, r.About)
			}
		}
		return nil
	})
	return cmd
}

func expectLeavers(load func() (config.Config, error)) *cobra.Command {
	var disable int
	var end string
	cmd := &cobra.Command{Use: "expect NAME", Short: "Say that a connector will take many people away, so that the brake lets one such wave pass", Args: cobra.ExactArgs(1),
		RunE: admin(load, func(cmd *cobra.Command, a *app.Admin, args []string) error {
			t, err := until(end, time.Now())
			if err != nil {
				return err
			}
			if err := a.Expect(cmd.Context(), args[0], disable, t); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s may disable or delete %d people until %s.\n", args[0], disable, minute(t))
			return nil
		})}
	cmd.Flags().IntVar(&disable, "disable", 0, "how many people at most may be disabled or deleted")
	cmd.Flags().StringVar(&end, "until", "", "until when: a time of today (18:00), a day and time (2027-01-31 18:00), or how long from now (3h); at most 7 days")
	cmd.MarkFlagRequired("disable")
	cmd.MarkFlagRequired("until")
	return cmd
}

func undoLeavers(load func() (config.Config, error)) *cobra.Command {
	var wave string
	cmd := &cobra.Command{Use: "undo NAME", Short: "Bring back the people whom a connector disabled or deleted in its latest wave", Args: cobra.ExactArgs(1),
		RunE: admin(load, func(cmd *cobra.Command, a *app.Admin, args []string) error {
			u, err := a.Undo(cmd.Context(), args[0], wave)
			if err != nil {
				return err
			}
			w := cmd.OutOrStdout()
			fmt.Fprintf(w, "%d people who were disabled are enabled again.\n%d people who were deleted are back with what they had.\n", u.Enabled, u.Restored)
			if u.Taken > 0 {
				fmt.Fprintf(w, "note: %d could not come back, for somebody else has their name now; once it is free, undo again\n", u.Taken)
			}
			return nil
		})}
	cmd.Flags().StringVar(&wave, "wave", "", "another wave than the latest, as show names it")
	return cmd
}

// until reads when something ends: a day, of which the end is meant; a time of today, of a day, or with its zone; how long
// from now; never, or nothing, for no end. Days and times are local.
func until(text string, now time.Time) (time.Time, error) {
	text = strings.TrimSpace(text)
	if text == "" || text == "never" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return now.Add(d), nil
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n > 0 && n <= 36_500 {
			return now.AddDate(0, 0, n), nil
		}
	}
	local := now.Local()
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	if t, err := time.ParseInLocation("2006-01-02 15:04", text, time.Local); err == nil {
		return t, nil
	}
	if t, err := time.ParseInLocation("2006-01-02", text, time.Local); err == nil {
		return t.AddDate(0, 0, 1), nil
	}
	if t, err := time.Parse("15:04", text); err == nil {
		return time.Date(local.Year(), local.Month(), local.Day(), t.Hour(), t.Minute(), 0, 0, time.Local), nil
	}
	return time.Time{}, fmt.Errorf("%q: want a time (18:00, 2027-01-31 18:00), a day (2027-01-31) or how long from now (90d, 12h)", text)
}
