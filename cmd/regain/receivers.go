package main

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/regain-id/regain/internal/app"
	"github.com/regain-id/regain/internal/config"
)

func receiverCommand(environ []string) *cobra.Command {
	cmd := &cobra.Command{Use: "receiver", Short: "The systems that hear what happened, by security events or webhooks"}
	load := configured(cmd, environ)

	var key string
	var ssf bool
	var made app.ReceiverSettings
	create := &cobra.Command{Use: "create NAME", Short: "Register a receiver and show its secret once", Args: cobra.ExactArgs(1),
		RunE: admin(load, func(cmd *cobra.Command, a *app.Admin, args []string) error {
			cfg, err := load()
			if err != nil {
				return err
			}
			made.Name = args[0]
			r, secret, err := a.CreateReceiver(cmd.Context(), key, made, providers(cfg))
			if err != nil {
				return err
			}
			w, base := cmd.OutOrStdout(), strings.TrimSuffix(cfg.BaseURL, "/")
			fmt.Fprintf(w, "Key             %s\n", r.Key)
			if ssf {
				fmt.Fprintf(w, "Configuration   %s/.well-known/ssf-configuration\nToken endpoint  %s/oauth2/token\nClient id       %s\nClient secret   %s\nAudience        %s\n",
					base, base, r.Key, secret, r.Audience)
				if len(r.Hosts) == 0 {
					fmt.Fprintln(w, "It may fetch events. For events to be pushed to it, name its host: receiver change --push-host HOST.")
				}
			} else {
				fmt.Fprintf(w, "Address         %s\nSigning secret  %s\n", r.URL, secret)
			}
			fmt.Fprintln(w, "The secret is shown this once.")
			return nil
		})}
	create.Flags().StringVar(&key, "key", "", "what commands name it by: small letters, digits and dashes; default made of the name")
	create.Flags().BoolVar(&ssf, "ssf", false, "it makes its streams by itself (OpenID Shared Signals Framework)")
	create.Flags().StringVar(&made.Webhook, "webhook", "", "the `address` that signed webhooks are posted to")
	create.MarkFlagsOneRequired("ssf", "webhook")
	create.MarkFlagsMutuallyExclusive("ssf", "webhook")
	receiverFlags(create, &made)

	var pause, resume bool
	var set app.ReceiverSettings
	change := &cobra.Command{Use: "change KEY", Short: "Change what a receiver hears and how, pause or disable it", Args: cobra.ExactArgs(1),
		RunE: admin(load, func(cmd *cobra.Command, a *app.Admin, args []string) error {
			if reflect.ValueOf(set).IsZero() && !pause && !resume {
				return errors.New("nothing to change: see --help")
			}
			cfg, err := load()
			if err != nil {
				return err
			}
			if !reflect.ValueOf(set).IsZero() {
				if err := a.ChangeReceiver(cmd.Context(), args[0], set, providers(cfg)); err != nil {
					return err
				}
			}
			if pause || resume {
				n, err := a.PauseReceiver(cmd.Context(), args[0], pause)
				if err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%d streams changed\n", n)
			}
			return nil
		})}
	change.Flags().StringVar(&set.Name, "name", "", "what staff read")
	change.Flags().StringVar(&set.Webhook, "webhook", "", "another `address` that webhooks are posted to")
	change.Flags().BoolVar(&set.Disable, "disable", false, "tell it nothing any more; what happens meanwhile it never hears")
	change.Flags().BoolVar(&set.Enable, "enable", false, "tell it again")
	change.Flags().BoolVar(&pause, "pause", false, "keep what happens for its streams, for three days at most")
	change.Flags().BoolVar(&resume, "resume", false, "let its streams go on")
	change.MarkFlagsMutuallyExclusive("disable", "enable")
	change.MarkFlagsMutuallyExclusive("pause", "resume")
	receiverFlags(change, &set)

	var keep time.Duration
	rotate := &cobra.Command{Use: "rotate KEY", Short: "Give a receiver another secret and show it once", Args: cobra.ExactArgs(1),
		RunE: admin(load, func(cmd *cobra.Command, a *app.Admin, args []string) error {
			if keep < 0 || keep > 30*24*time.Hour {
				return fmt.Errorf("keep %s: want 0s to 720h", keep)
			}
			_, secret, err := a.RotateReceiver(cmd.Context(), args[0], keep)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "Secret  %s\nThe secret is shown this once. The one before ends in %s.\n", secret, keep)
			return nil
		})}
	rotate.Flags().DurationVar(&keep, "keep", 24*time.Hour, "how long the secret before goes on: webhooks are signed with both")

	cmd.AddCommand(create, change, rotate,
		&cobra.Command{Use: "list", Short: "Show all receivers", Args: cobra.NoArgs, RunE: admin(load, func(cmd *cobra.Command, a *app.Admin, _ []string) error {
			all, err := a.Store.Receivers(cmd.Context())
			for _, r := range all {
				fmt.Fprintf(cmd.OutOrStdout(), "%-24s %-8s %-8s %s\n", r.Key, r.Kind, used(r.Disabled), r.Name)
			}
			return err
		})},
		&cobra.Command{Use: "show KEY", Short: "Show a receiver, and how deliveries to it go", Args: cobra.ExactArgs(1), RunE: admin(load, func(cmd *cobra.Command, a *app.Admin, args []string) error {
			return showReceiver(cmd, a, args[0])
		})},
		&cobra.Command{Use: "test KEY", Short: "Have a receiver told something that means nothing", Args: cobra.ExactArgs(1), RunE: admin(load, func(cmd *cobra.Command, a *app.Admin, args []string) error {
			if err := a.TestReceiver(cmd.Context(), args[0]); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "The server sends it now. How it went: regain receiver show %s\n", args[0])
			return nil
		})},
		&cobra.Command{Use: "delete KEY", Short: "Remove a receiver, its streams and what waits for them", Args: cobra.ExactArgs(1), RunE: admin(load, func(cmd *cobra.Command, a *app.Admin, args []string) error {
			return a.DeleteReceiver(cmd.Context(), args[0])
		})})
	return cmd
}

// receiverFlags are those of create and change alike.
func receiverFlags(cmd *cobra.Command, s *app.ReceiverSettings) {
	cmd.Flags().StringSliceVar(&s.Events, "events", nil, "what it hears, such as `credential-change,session-revoked` or, by webhook, password.reset,method.added; all for all there is but for scim: people and groups as they are provisioned (RFC 9967)")
	cmd.Flags().StringSliceVar(&s.Follow, "connector", nil, "with events of scim: the `name` of the connector whose people it hears of, and whose requests it is told the answers to; again for more, all for all")
	cmd.Flags().StringVar(&s.Format, "format", "", "how it is told of whom: iss_sub (as the identity provider does), email (the address at work) or opaque (a name for it alone)")
	cmd.Flags().StringVar(&s.IDP, "idp", "", "with iss_sub: the `name` of the identity provider; not needed when there is one")
	cmd.Flags().StringArrayVar(&s.Hosts, "push-host", nil, "a `host` that events may be pushed to, with its port unless it is the usual one; again for more")
	cmd.Flags().StringVar(&s.Audience, "audience", "", "aud of what it is sent; default its key")
}

// providers are the names of the identity providers of a configuration.
func providers(c config.Config) []string {
	names := make([]string, len(c.IDPs))
	for i, p := range c.IDPs {
		names[i] = p.Name
	}
	return names
}

func showReceiver(cmd *cobra.Command, a *app.Admin, key string) error {
	r, err := a.Receiver(cmd.Context(), key)
	if err != nil {
		return err
	}
	ways, err := a.ReceiverHealth(cmd.Context(), r)
	if err != nil {
		return err
	}
	w := cmd.OutOrStdout()
	heard := "all there is"
	if len(r.Events) > 0 {
		heard = strings.Join(r.Events, " ")
	}
	fmt.Fprintf(w, "%s  %s  %s  %s\n  hears  %s\n  people by  %s %s\n", r.Key, r.Name, r.Kind, used(r.Disabled), heard, r.Format, r.IDP)
	if len(r.Connectors) > 0 {
		fmt.Fprintf(w, "  follows  %s\n", strings.Join(r.Connectors, " "))
	}
	if r.URL != "" {
		fmt.Fprintf(w, "  address  %s\n", r.URL)
	}
	if r.Audience != "" {
		fmt.Fprintf(w, "  audience  %s\n  pushed to  %s\n", r.Audience, strings.Join(r.Hosts, " "))
	}
	for _, s := range r.Secrets {
		showSecret(w, s.Created, s.Expires)
	}
	for _, s := range r.Sign {
		showSecret(w, s.Created, s.Expires)
	}
	for _, h := range ways {
		if h.Stream != nil {
			fmt.Fprintf(w, "  stream %s  %s  %s %s\n", h.Stream.ID, h.Stream.Status, h.Stream.Delivery, h.Stream.Endpoint)
		}
		fmt.Fprintf(w, "    arrived %s, failed %s %s, waiting %d, given up %d\n", never(h.Good), never(h.Bad), h.Class, h.Waiting, h.Dead)
	}
	fmt.Fprintf(w, "  made %s, changed %s\n", minute(r.Created), minute(r.Updated))
	return nil
}

func showSecret(w io.Writer, made, ends time.Time) {
	fmt.Fprintf(w, "  secret  made %s, ends %s\n", minute(made), never(ends))
}

func never(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return minute(t)
}
