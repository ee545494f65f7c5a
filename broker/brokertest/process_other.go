//go:build !unix

package brokertest

import (
	"errors"
	"os"
)

// Pause stops a process until Resume.
func Pause(*os.Process) error { return errors.ErrUnsupported }

// Resume continues a paused process.
func Resume(*os.Process) error { return errors.ErrUnsupported }
