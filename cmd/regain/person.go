package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/regain-id/regain/internal/app"
)

func personCommand(environ []string) *cobra.Command {
	cmd := &cobra.Command{Use: "person", Short: "People, their ways and what happened to them"}
	load := configured(cmd, environ)
	cmd.AddCommand(&cobra.Command{Use: "show LOGIN", Short: "Show a person's masked ways and latest events", Args: cobra.ExactArgs(1), RunE: admin(load, func(cmd *cobra.Command, a *app.Admin, args []string) error {
		p, err := a.Person(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		w, now := cmd.OutOrStdout(), time.Now()
		sessions, err := a.Store.SessionsOf(cmd.Context(), p.ID, now)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%s  %s  active %v  sessions %d\n", p.UserName, p.Name(), p.Active, len(sessions))
		if p.Dispute != nil {
			fmt.Fprintf(w, "  disputed since %s: some ways do not count (regain person change %s --end-dispute)\n", minute(p.Dispute.At), p.UserName)
		}
		for _, x := range p.AlertsAt(now) {
			until := "until " + minute(x.Until)
			if !x.Confirmed.IsZero() {
				until = "confirmed by " + x.By
			}
			fmt.Fprintf(w, "  %s says: %s, since %s, %s (regain person change %s --confirm-alerts, --lift-alerts)\n", x.IDP, x.Kind, minute(x.Since), until, p.UserName)
		}
		methods, err := a.Store.Methods(cmd.Context(), p.ID)
		if err != nil {
			return err
		}
		sources, err := a.Store.ConnectorNames(cmd.Context())
		if err != nil {
			return err
		}
		for _, m := range methods {
			fmt.Fprintf(w, "  %-14s %-20s %-9s %s\n", m.Kind, m.Mask(), m.Status, app.Standing(m, sources, now))
		}
		events, err := a.Store.EventsOf(cmd.Context(), p.ID, "", 20)
		for _, e := range events {
			fmt.Fprintf(w, "  %s  %-22s %s\n", e.At.Local().Format("2006-01-02 15:04:05"), e.Type, e.Outcome)
		}
		return err
	})})
	var end, confirm, lift bool
	change := &cobra.Command{Use: "change LOGIN", Short: "Change what staff may change of a person", Args: cobra.ExactArgs(1), RunE: admin(load, func(cmd *cobra.Command, a *app.Admin, args []string) error {
		switch {
		case confirm && lift:
			return errors.New("--confirm-alerts and --lift-alerts: want one of them")
		case !end && !confirm && !lift:
			return errors.New("nothing to change: see --help")
		}
		if end {
			if err := a.EndDispute(cmd.Context(), args[0]); err != nil {
				return err
			}
		}
		if confirm || lift {
			return a.JudgeAlerts(cmd.Context(), args[0], confirm)
		}
		return nil
	})}
	change.Flags().BoolVar(&end, "end-dispute", false, "let the ways that a dispute took out count again")
	change.Flags().BoolVar(&confirm, "confirm-alerts", false, "keep what identity providers said of the person until it is lifted")
	change.Flags().BoolVar(&lift, "lift-alerts", false, "end what identity providers said of the person")
	cmd.AddCommand(change)
	return cmd
}

// minute is a time as the command line shows it.
func minute(t time.Time) string { return t.Local().Format("2006-01-02 15:04") }
