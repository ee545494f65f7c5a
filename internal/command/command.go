// Package command is `caddy sse-push …`: what an operator asks of a running Caddy, through its admin endpoint, and of the streams
// that it serves. It knows the answers' types alone, neither a hub nor the pool.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "sse-push",
		Usage: "<command>",
		Short: "Looks into the hubs of a running Caddy, and asks and steers them",
		Long: `
Looks into the hubs of a running Caddy, and asks and steers them.

Commands that ask a hub do so by Caddy's admin endpoint. They find it as 'caddy stop' does: --address, or the admin
address in --config, or the environment variable CADDY_ADMIN, or localhost:2019. Where Caddy has one hub, --hub need not
be given.

With --json, each row or event is one line of JSON, as it is. Without, what comes from outside is shown with its control
characters escaped.

They exit with 0 when done, with 1 when refused or told wrongly, with 2 where nobody answers, and with 130 when a signal
came before the end.
`,
		CobraFunc: func(cmd *cobra.Command) {
			for _, sub := range subcommands {
				cmd.AddCommand(sub())
			}
		},
	})
}

// subcommands make the commands below `caddy sse-push`.
var subcommands = []func() *cobra.Command{
	publishCommand, subscribeCommand, hubsCommand, connectionsCommand, usersCommand, topicsCommand, kickCommand, tailCommand,
	ticketCommand, explainCommand, doctorCommand,
}

// Exit codes.
const (
	exitRefused = 1
	exitAway    = 2
	exitSignal  = 130 // as shells have it
)

// awayError says that nobody answers.
type awayError struct{ error }

func (e awayError) Unwrap() error { return e.error }

// task is what a command does.
type task func(ctx context.Context, cmd *cobra.Command, args []string) error

// runs makes a function what a command runs. A signal ends its context; a second one the process.
func runs(f task) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		context.AfterFunc(ctx, stop)
		err := f(ctx, cmd, args)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fails(cmd, exitSignal, nil)
		case errors.As(err, new(awayError)):
			return fails(cmd, exitAway, err)
		}
		return fails(cmd, exitRefused, err)
	}
}

// untilSignal is for a command that goes on until it is stopped: then that is no failure.
func untilSignal(f task) task {
	return func(ctx context.Context, cmd *cobra.Command, args []string) error {
		err := f(ctx, cmd, args)
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
}

// fails says what went wrong, and makes the process exit with a code other than 0.
func fails(cmd *cobra.Command, code int, err error) error {
	cmd.SilenceErrors = true
	if err != nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "Error: %s\n", printable(err.Error()))
	}
	if code > 1 { // Caddy's own type, which cannot be made otherwise
		return caddycmd.WrapCommandFuncForCobra(func(caddycmd.Flags) (int, error) { return code, nil })(cmd, nil)
	}
	return errors.Join(err, errRefused)
}

var errRefused = errors.New("refused")

// examples are shown in a command's help, each on a line of its own.
func examples(lines ...string) string { return "  $ " + strings.Join(lines, "\n  $ ") }

// longText is a command's description, without the newlines around it.
func longText(text string) string { return strings.TrimSpace(text) }

// maxInput is how much a command reads from standard input.
const maxInput = 64 << 20

// commandInput is an argument, or what standard input has where it is missing or "-".
func commandInput(ctx context.Context, cmd *cobra.Command, args []string) (string, error) {
	if len(args) > 0 && args[0] != "-" {
		return args[0], nil
	}
	var b []byte
	var err error
	read := make(chan struct{})
	go func() { // a signal does not interrupt it
		defer close(read)
		b, err = io.ReadAll(io.LimitReader(cmd.InOrStdin(), maxInput+1))
	}()
	select {
	case <-read:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	switch {
	case err != nil:
		return "", fmt.Errorf("reading standard input: %w", err)
	case len(b) > maxInput:
		return "", fmt.Errorf("standard input is longer than %d bytes", maxInput)
	}
	return string(b), nil
}
