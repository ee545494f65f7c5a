package sitetest

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
)

// Binary builds the command once, and returns its path.
var Binary = sync.OnceValues(func() (string, error) {
	path := filepath.Join(os.Getenv("XDG_DATA_HOME"), "caddy-command")
	out, err := exec.Command("go", "build", "-o", path, "github.com/sse-push/caddy-sse-push/cmd/caddy").CombinedOutput()
	if err != nil {
		os.Stderr.Write(out)
	}
	return path, err
})

// Process is a site that a process of its own serves.
type Process struct {
	*Site
	Cmd    *exec.Cmd
	Exited chan error
}

// StartProcess runs the command with one site, whose first requests use a protocol. change, if not nil, changes the config; files is
// how many files the process may open, 0 for as many as this one.
func StartProcess(t *testing.T, body, protocol string, files int, change func(http map[string]any)) *Process {
	t.Helper()
	path, err := Binary()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s := NewSite(t, body)
	s.LogFile = filepath.Join(dir, "log")
	if protocol == HTTP3.Name {
		s.options = "protocols h3\n"
	}
	config, err := Adapt([]*Site{s}, body)
	if err != nil {
		t.Fatal(err)
	}
	var root struct {
		Admin   json.RawMessage           `json:"admin"`
		Logging json.RawMessage           `json:"logging"`
		Apps    map[string]map[string]any `json:"apps"`
	}
	if err := json.Unmarshal(config, &root); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(root.Apps["http"])
	}
	if config, err = json.Marshal(root); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "config.json")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		t.Fatal(err)
	}
	limits := ""
	if files > 0 {
		limits = "ulimit -n " + strconv.Itoa(files) + " && "
	}
	var stderr bytes.Buffer
	p := &Process{Site: s, Exited: make(chan error, 1)}
	p.Cmd = exec.Command("sh", "-c", limits+`exec "$0" run --config "$1"`, path, file)
	p.Cmd.Stderr = &stderr
	if err := p.Cmd.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() {
		p.Exited <- p.Cmd.Wait()
		close(gone)
	}()
	t.Cleanup(func() {
		_ = p.Cmd.Process.Kill()
		<-gone
		if t.Failed() {
			t.Logf("stderr:\n%s\nlog:\n%s", stderr.String(), s.Log())
		}
	})
	brokertest.Eventually(t, "it listens", func() bool { return Listeners(t, s.Addr) == 1 })
	s.Over(protocol)
	return p
}

// Terminate sends SIGTERM, and fails unless the process ends within a minute.
func (p *Process) Terminate() {
	p.T.Helper()
	if err := p.Cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.T.Fatal(err)
	}
	select {
	case err := <-p.Exited:
		if err != nil {
			p.T.Errorf("it ended with %v", err)
		}
	case <-time.After(2 * Limit):
		p.T.Fatalf("it did not end within %s", 2*Limit)
	}
}

// Restart starts a process that has ended again, with the same config.
func (p *Process) Restart() {
	p.T.Helper()
	cmd := exec.Command(p.Cmd.Path, p.Cmd.Args[1:]...)
	if err := cmd.Start(); err != nil {
		p.T.Fatal(err)
	}
	p.Cmd, p.Exited = cmd, make(chan error, 1)
	gone := make(chan struct{})
	go func() {
		p.Exited <- cmd.Wait()
		close(gone)
	}()
	p.T.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-gone
	})
	brokertest.Eventually(p.T, "it listens again", func() bool { return Listeners(p.T, p.Addr) == 1 })
	p.awaitAnswer()
}
