//go:build unix

package brokertest

import (
	"os"
	"syscall"
)

// Pause stops a process until Resume.
func Pause(p *os.Process) error { return p.Signal(syscall.SIGSTOP) }

// Resume continues a paused process.
func Resume(p *os.Process) error { return p.Signal(syscall.SIGCONT) }
