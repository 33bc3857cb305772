// Command regain lets people get back into their account without a helpdesk. Its commands are nouns with the verbs list,
// show, create, change and delete; regain help lists them.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/regain-id/regain/internal/app"
	"github.com/regain-id/regain/internal/egress"
)

func main() {
	egress.Close()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "regain:", err)
		os.Exit(1)
	}
}

// command runs one command line; what it would print as its last word comes back as the error.
func command(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
	root := &cobra.Command{
		Use:           "regain",
		Short:         "Self-service password reset for the directory and the identity provider you have",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.AddCommand(demoCommand(), serveCommand(environ), checkCommand(environ), migrateCommand(environ), connectorCommand(environ), appCommand(environ), receiverCommand(environ), policyCommand(environ),
		personCommand(environ), roleCommand(environ), consoleCommand(environ), keyCommand(environ), importCommand(environ), configCommand(environ), versionCommand())
	return root.ExecuteContext(ctx)
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Show the version of this program",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), app.Version())
			return err
		},
	}
}
