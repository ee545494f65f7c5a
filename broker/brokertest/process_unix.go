//go:build unix

package brokertest

import (
	"os"
	"syscall"
)

// Pause stops a process until Resume.
func Pause(p *os.Process) error { return p.Signal(syscall.SIGSTOP) }

// Resume lets a process go on.
func Resume(p *os.Process) error { return p.Signal(syscall.SIGCONT) }
