package command

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

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
