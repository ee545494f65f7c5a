package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

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
