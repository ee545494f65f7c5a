package harness

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
)

// Process is a program that runs until its test ends.
type Process struct {
	Name string

	cmd    *exec.Cmd
	mark   string // in the environment of the program and of all that it starts
	output output
	exited chan struct{}
}

var started atomic.Int64

// newMark returns a variable for the environment of a program, by which it and all that it starts are found.
func newMark() string { return fmt.Sprintf("SSE_PUSH_TEST=%d.%d", os.Getpid(), started.Add(1)) }

// Start runs a command. At the end of the test it is killed with all that it has started; if the test has failed, what it said is
// shown.
func Start(t testing.TB, name string, cmd *exec.Cmd) *Process {
	t.Helper()
	mark := newMark()
	p := &Process{Name: name, cmd: cmd, mark: mark, exited: make(chan struct{})}
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env, mark)
	if cmd.Stdout == nil {
		cmd.Stdout = &p.output
	}
	cmd.Stderr = &p.output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting %s: %v", name, err)
	}
	go func() {
		_ = cmd.Wait() // its state tells all
		close(p.exited)
	}()
	t.Cleanup(func() {
		p.Signal(syscall.SIGKILL)
		<-p.exited
		for _, pid := range p.Running() { // in a group of its own
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		if t.Failed() {
			t.Logf("%s ended by %v, having said:\n%s", name, cmd.ProcessState, p.Output())
		}
	})
	return p
}

// PID is the number of the program's first process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Signal sends a signal to the program's process group, as a terminal does.
func (p *Process) Signal(s syscall.Signal) { _ = syscall.Kill(-p.PID(), s) }

// Running is the numbers of all processes that the program has come to, itself included.
func (p *Process) Running() []int { return marked(p.mark) }

// marked returns the numbers of the processes with a mark, and of those that descend from them: some write over their environment.
func marked(mark string) (pids []int) {
	all, _ := filepath.Glob("/proc/[0-9]*")
	parents := map[int]int{}
	found := map[int]bool{}
	for _, path := range all {
		pid, err := strconv.Atoi(filepath.Base(path))
		environment, failed := os.ReadFile(path + "/environ") // fails if the process has ended, or is somebody else's
		if err != nil || failed != nil {
			continue
		}
		found[pid] = bytes.Contains(append(environment, 0), []byte(mark+"\x00"))
		if stat := procStat(pid); len(stat) > 1 {
			parents[pid], _ = strconv.Atoi(string(stat[1]))
		}
	}
	for pid := range parents {
		for at := pid; at > 1; at = parents[at] {
			if found[at] {
				pids = append(pids, pid)
				break
			}
		}
	}
	return pids
}

// procStat returns what /proc says of a process, from its state on (proc_pid_stat(5): the third field).
func procStat(pid int) [][]byte {
	stat, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:]) // the program's name, in brackets, may hold anything
}

// Wait waits for the program to end by itself.
func (p *Process) Wait(t testing.TB) {
	t.Helper()
	brokertest.Eventually(t, p.Name+" ends", func() bool { return !p.running() })
}

// Output is what the program has said so far; of a long output, the end.
func (p *Process) Output() string { return p.output.String() }

func (p *Process) running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// eventually is Eventually, but does not wait for a program that has ended.
func (p *Process) eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	running, done := true, false
	defer func() {
		if !done && running { // in vain: a Go program says at its end what its goroutines wait for
			p.Signal(syscall.SIGABRT)
			select {
			case <-p.exited:
			case <-time.After(Patience):
			}
		}
	}()
	brokertest.Eventually(t, what, func() bool {
		running = p.running() // asked first: it may do its work and end
		done = condition()
		return done || !running
	})
	if !running {
		t.Fatalf("%s has ended before %s", p.Name, what)
	}
}

const maxOutput = 64 << 10

type output struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.buf.Len() > 2*maxOutput {
		o.buf.Next(o.buf.Len() - maxOutput)
	}
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.TrimSpace(o.buf.String())
}
