package sitetest_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// operator runs `caddy sse-push` against Caddy in this process.
type operator struct {
	t      *testing.T
	env    []string
	folder string // with the command under the name caddy
}

// operate returns an operator of the admin endpoint at an address.
func operate(t *testing.T, address string) *operator {
	t.Helper()
	path, err := sitetest.Binary()
	if err != nil {
		t.Fatal(err)
	}
	o := &operator{t: t, folder: t.TempDir()}
	if err := os.Symlink(path, filepath.Join(o.folder, "caddy")); err != nil {
		t.Fatal(err)
	}
	o.env = append(os.Environ(), "CADDY_ADMIN="+address, "SSE_PUSH_TICKET_SECRET="+ticketSecret, "PATH="+o.folder+":"+os.Getenv("PATH"),
		"HOME="+o.folder, "NO_PROXY=*")
	return o
}

// operated serves a site, and returns an operator for it.
func operated(t *testing.T, body string) (*sitetest.Site, *operator) {
	t.Helper()
	s := sitetest.Serve(t, body)
	return s, operate(t, "unix/"+administer(t, []*sitetest.Site{s}, body).socket)
}

// outcome is the output and exit code of a command.
type outcome struct {
	out, err string
	code     int
}

// run runs a command to its end.
func (o *operator) run(args ...string) outcome {
	o.t.Helper()
	return o.begin("", args...).wait()
}

// running is a command that has begun.
type running struct {
	t        *testing.T
	cmd      *exec.Cmd
	out, err lockedBuffer
	done     chan error
}

// begin runs a command that reads a text.
func (o *operator) begin(stdin string, args ...string) *running {
	o.t.Helper()
	return o.start(exec.Command(filepath.Join(o.folder, "caddy"), append([]string{"sse-push"}, args...)...), strings.NewReader(stdin))
}

func (o *operator) start(cmd *exec.Cmd, stdin io.Reader) *running {
	o.t.Helper()
	r := &running{t: o.t, cmd: cmd, done: make(chan error, 1)}
	cmd.Env, cmd.Dir, cmd.Stdin = o.env, o.folder, stdin
	if cmd.Stdout == nil {
		cmd.Stdout = &r.out
	}
	cmd.Stderr = &r.err
	cmd.WaitDelay = time.Second // for a caller that leaves the standard input open
	if err := cmd.Start(); err != nil {
		o.t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() {
		r.done <- cmd.Wait()
		close(gone)
	}()
	o.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-gone
	})
	return r
}

func (r *running) wait() outcome {
	r.t.Helper()
	select {
	case err := <-r.done:
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
			r.t.Fatal(err)
		}
	case <-time.After(sitetest.Limit):
		r.t.Fatalf("%q has not ended; it said %q %q", r.cmd.Args, r.out.String(), r.err.String())
	}
	return outcome{r.out.String(), r.err.String(), r.cmd.ProcessState.ExitCode()}
}

// lockedBuffer may be read while a command writes to it.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// want checks an outcome: the exit code, and a part of what is said on standard output or error.
func (o outcome) want(t *testing.T, code int, part string) {
	t.Helper()
	if o.code != code || !strings.Contains(o.out+o.err, part) {
		t.Errorf("got code %d, %q and %q; want %d and %q", o.code, o.out, o.err, code, part)
	}
}
