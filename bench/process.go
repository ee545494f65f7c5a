package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is a server under test, with the workers that it has started.
type process struct {
	cmd  *exec.Cmd
	log  string // the file that holds what it says
	done chan struct{}
}

// startProcess runs a program in a process group of its own until stop, or until this process ends.
func startProcess(logFile string, env []string, name string, args ...string) (*process, error) {
	f, err := os.Create(logFile)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = f, f
	cmd.Env = append(os.Environ(), env...)
	// SIGTERM, since a killed nginx would leave its workers behind.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, log: logFile, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // ended is ended
	}()
	return p, nil
}

// stop ends the whole group at once, and waits until nothing of it runs: it would take time from the next server.
func (p *process) stop() {
	group := -p.cmd.Process.Pid
	_ = syscall.Kill(group, syscall.SIGKILL) // it may have ended
	<-p.done
	for {
		// Workers that have lost their parent have become children of this process.
		if _, err := syscall.Wait4(group, nil, 0, nil); err != nil && err != syscall.EINTR {
			return
		}
	}
}

// adoptOrphans makes this process the parent of those that have lost theirs.
func adoptOrphans() error {
	return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
}

// listening waits until all addresses take connections.
func (p *process) listening(ctx context.Context, addresses ...string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for _, address := range addresses {
		for {
			conn, err := net.Dial("tcp", address)
			if err == nil {
				conn.Close()
				break
			}
			select {
			case <-p.done:
				return fmt.Errorf("the server ended: %s", p.lastWords())
			case <-ctx.Done():
				return fmt.Errorf("the server does not listen: %w", errors.Join(ctx.Err(), err))
			case <-time.After(5 * time.Millisecond):
			}
		}
	}
	return nil
}

// lastWords is the end of what the server has said.
func (p *process) lastWords() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	text = bytes.TrimSpace(text)
	return string(text[max(0, len(text)-400):])
}

// ended says whether the server has gone.
func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// pids returns the process and all that descend from it.
func (p *process) pids() []int {
	pids := []int{p.cmd.Process.Pid}
	for i := 0; i < len(pids); i++ {
		files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pids[i]))
		for _, name := range files {
			text, _ := os.ReadFile(name) // a thread that has just ended has no children
			for _, field := range strings.Fields(string(text)) {
				if pid, err := strconv.Atoi(field); err == nil {
					pids = append(pids, pid)
				}
			}
		}
	}
	return pids
}

// cpu is the time that the server has had a processor, in user and kernel mode, from the scheduler's own account in nanoseconds.
func (p *process) cpu() (total time.Duration, err error) {
	for _, pid := range p.pids() {
		var spent unix.Timespec
		// What clock_getcpuclockid(3) makes of a process: its complement, and CPUCLOCK_SCHED.
		if err := unix.ClockGettime(int32(^pid<<3|2), &spent); err != nil {
			return 0, fmt.Errorf("reading the CPU clock of process %d: %w", pid, err)
		}
		total += time.Duration(spent.Nano())
	}
	return total, nil
}

// memory is the server's proportional share of memory in bytes: what it shares with others is divided among them.
func (p *process) memory() (total int64, err error) {
	for _, pid := range p.pids() {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			return 0, err
		}
		_, text, _ = bytes.Cut(text, []byte("\nPss:"))
		fields := strings.Fields(string(text))
		if len(fields) == 0 {
			return 0, fmt.Errorf("process %d: no Pss in smaps_rollup", pid)
		}
		kib, err := strconv.ParseInt(fields[0], 10, 64)
		if err != nil {
			return 0, err
		}
		total += kib << 10
	}
	return total, nil
}

// resident returns the sum of a field of /proc/*/status (VmRSS or VmHWM) over the server's processes, in bytes. Shared memory counts
// once for each process.
func (p *process) resident(field string) (total int64, err error) {
	for _, pid := range p.pids() {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return 0, err
		}
		_, text, _ = bytes.Cut(text, []byte("\n"+field+":"))
		fields := strings.Fields(string(text))
		if len(fields) == 0 {
			return 0, fmt.Errorf("process %d: no %s in status", pid, field)
		}
		kib, err := strconv.ParseInt(fields[0], 10, 64)
		if err != nil {
			return 0, err
		}
		total += kib << 10
	}
	return total, nil
}

// watchPeak returns a function that reports the largest growth of the server's resident memory since this call, in bytes.
func (p *process) watchPeak() (func() (int64, error), error) {
	for _, pid := range p.pids() {
		// 5 sets VmHWM to VmRSS (proc_pid_clear_refs(5)).
		if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0); err != nil {
			return nil, err
		}
	}
	before, err := p.resident("VmRSS")
	if err != nil {
		return nil, err
	}
	return func() (int64, error) {
		peak, err := p.resident("VmHWM")
		return peak - before, err
	}, nil
}

// freeAddress returns a loopback address with a port that nobody has, below those that the kernel gives to clients.
func freeAddress() (string, error) {
	for range 100 {
		address := "127.0.0.1:" + strconv.Itoa(12_000+rand.IntN(18_000))
		l, err := net.Listen("tcp", address)
		if err == nil {
			l.Close()
			return address, nil
		}
	}
	return "", errors.New("no free port between 12000 and 30000")
}

// raiseDescriptors takes all the descriptors that may be had, for this process and those that it starts.
func raiseDescriptors() (uint64, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, err
	}
	limit.Cur = limit.Max
	// The runtime hands its own raised limit to no child, but one that was set this way.
	return limit.Cur, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: limit.Cur, Max: limit.Max})
}
