package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/regain-id/regain/internal/app"
	"github.com/regain-id/regain/internal/config"
)

// signingCommand is below key: those keys lie in the database, sealed by the ones of the key file.
func signingCommand(load func() (config.Config, error)) *cobra.Command {
	cmd := &cobra.Command{Use: "signing", Short: "The keys that answers to apps and events for receivers are signed with"}
	var purpose, alg string
	rotate := &cobra.Command{Use: "rotate", Short: "Let the next key sign; the one before stays published for 30 days. It happens by itself every 90 days", Args: cobra.NoArgs,
		RunE: admin(load, func(cmd *cobra.Command, a *app.Admin, _ []string) error {
			all, err := a.RotateSigning(cmd.Context(), purpose, alg)
			if err != nil {
				return err
			}
			return writeSigning(cmd.OutOrStdout(), all)
		})}
	rotate.Flags().StringVar(&purpose, "purpose", "", "id-token (for apps) or event (for receivers); default both")
	rotate.Flags().StringVar(&alg, "alg", "", "RS256, ES256 or EdDSA; default all there are")
	withdraw := &cobra.Command{Use: "withdraw KID", Short: "Stop publishing a key that is in wrong hands, and sign with the next one", Args: cobra.ExactArgs(1),
		RunE: admin(load, func(cmd *cobra.Command, a *app.Admin, args []string) error {
			all, err := a.WithdrawSigning(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return writeSigning(cmd.OutOrStdout(), all)
		})}
	cmd.AddCommand(rotate, withdraw, &cobra.Command{Use: "list", Short: "Show the keys without their secrets", Args: cobra.NoArgs,
		RunE: admin(load, func(cmd *cobra.Command, a *app.Admin, _ []string) error {
			all, err := a.Store.SigningInfos(cmd.Context())
			if err != nil {
				return err
			}
			return writeSigning(cmd.OutOrStdout(), all)
		})})
	return cmd
}

func writeSigning(w io.Writer, all []app.SigningInfo) error {
	for _, k := range all {
		if _, err := fmt.Fprintf(w, "%-8s %-5s %-7s %s  since %s\n", k.Purpose, k.Alg, k.State, k.ID, minute(k.Moved)); err != nil {
			return err
		}
	}
	return nil
}
