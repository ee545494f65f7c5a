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
		Short: "Shows and controls the hubs of a running Caddy",
		Long: `
Shows and controls the hubs of a running Caddy.

Commands that talk to a hub use Caddy's admin endpoint. They find it as 'caddy stop' does: by --address, or the admin
address in --config, or the environment variable CADDY_ADMIN, or localhost:2019. If Caddy has only one hub, --hub can be
left out.

With --json, each row or event is one line of JSON, unchanged. Without it, control characters in names and data are
escaped.

A command exits with 0 when it is done, with 1 if it is refused or its arguments are wrong, with 2 if nothing answers, and
with 130 if a signal interrupts it.
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
	exitSignal  = 130 // as in shells: 128 + SIGINT
)

// awayError says that no server answers.
type awayError struct{ error }

func (e awayError) Unwrap() error { return e.error }

// task is what a command does.
type task func(ctx context.Context, cmd *cobra.Command, args []string) error

// runs adapts a task to cobra. A signal cancels the task's context, and a second one ends the process.
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

// untilSignal adapts a task that goes on until it is stopped: being stopped is no failure.
func untilSignal(f task) task {
	return func(ctx context.Context, cmd *cobra.Command, args []string) error {
		err := f(ctx, cmd, args)
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
}

// fails prints an error, and returns one that makes the process exit with the code.
func fails(cmd *cobra.Command, code int, err error) error {
	cmd.SilenceErrors = true
	if err != nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "Error: %s\n", printable(err.Error()))
	}
	if code > 1 { // only Caddy can make an error of its own type for exit codes
		return caddycmd.WrapCommandFuncForCobra(func(caddycmd.Flags) (int, error) { return code, nil })(cmd, nil)
	}
	return errors.Join(err, errRefused)
}

var errRefused = errors.New("refused")

// examples formats the examples of a command's help, one a line.
func examples(lines ...string) string { return "  $ " + strings.Join(lines, "\n  $ ") }

// longText returns a command's description without the newlines around it.
func longText(text string) string { return strings.TrimSpace(text) }

// maxInput bounds what a command reads from standard input, in bytes.
const maxInput = 64 << 20

// commandInput returns a command's argument, or standard input if there is none or it is "-".
func commandInput(ctx context.Context, cmd *cobra.Command, args []string) (string, error) {
	if len(args) > 0 && args[0] != "-" {
		return args[0], nil
	}
	var b []byte
	var err error
	read := make(chan struct{})
	go func() { // a signal does not interrupt a read
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
