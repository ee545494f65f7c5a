package redisbroker

import (
	"os/exec"
	"syscall"
)

// endsWithUs has the system end a process when the tests end, however they do.
func endsWithUs(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
