package ssepush_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// binary builds the command, once.
var binary = sync.OnceValues(func() (string, error) {
	path := filepath.Join(os.Getenv("XDG_DATA_HOME"), "caddy-command")
	out, err := exec.Command("go", "build", "-o", path, "./cmd/caddy").CombinedOutput()
	if err != nil {
		os.Stderr.Write(out)
	}
	return path, err
})

// process is a site served by a process of its own.
type process struct {
	*site
	cmd    *exec.Cmd
	exited chan error
}

// start runs the command with one site. change may change the config; files is how many the process may open, 0 for
// as many as this one.
func start(t *testing.T, body, protocol string, files int, change func(http map[string]any)) *process {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s := newSite(t, body)
	s.logFile = filepath.Join(dir, "log")
	config, err := adapt([]*site{s}, body)
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
	p := &process{site: s, exited: make(chan error, 1)}
	p.cmd = exec.Command("sh", "-c", limits+`exec "$0" run --config "$1"`, path, file)
	p.cmd.Stderr = &stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() {
		p.exited <- p.cmd.Wait()
		close(gone)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-gone
		if t.Failed() {
			t.Logf("stderr:\n%s\nlog:\n%s", stderr.String(), s.log())
		}
	})
	waitFor(t, "it listens", func() bool { return listeners(t, s.addr) == 1 })
	s.via(protocol)
	return p
}

// terminate asks it to end, and wants it to, in time.
func (p *process) terminate(atMost time.Duration) (took time.Duration) {
	p.t.Helper()
	begun := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	select {
	case err := <-p.exited:
		if err != nil {
			p.t.Errorf("it ended with %v", err)
		}
	case <-time.After(atMost):
		p.t.Fatalf("it did not end within %s", atMost)
	}
	return time.Since(begun)
}

// listener reads a stream to its end.
type listener struct {
	text  string
	err   error
	ended time.Time
	done  chan struct{}
}

// listen subscribes, and reads up to the first event.
func (s *site) listen(target string, headers ...string) *listener {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s.t.Cleanup(cancel)
	resp, err := s.client.Do(s.request(ctx, http.MethodGet, target, nil, append(headers, "Accept", "text/event-stream")))
	if err != nil {
		s.t.Fatal(err)
	}
	first := make([]byte, 1000)
	n, err := io.ReadAtLeast(resp.Body, first, 20)
	if err != nil || !strings.HasPrefix(string(first[:n]), "event: sse:connected") {
		s.t.Fatalf("got %d %q %v", resp.StatusCode, first[:n], err)
	}
	l := &listener{done: make(chan struct{})}
	go func() {
		defer close(l.done)
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		l.text, l.err, l.ended = string(b), err, time.Now()
	}()
	return l
}

var lastRetry = regexp.MustCompile(`(?:^|\n)retry: (\d+)\n\n$`)

// wantRetry waits for the end, and returns what is said there of when to come back.
func (l *listener) wantRetry(t *testing.T) time.Duration {
	t.Helper()
	select {
	case <-l.done:
	case <-time.After(limit):
		t.Fatal("waited in vain for the end of the stream")
	}
	m := lastRetry.FindStringSubmatch(l.text)
	if m == nil || l.err != nil {
		t.Errorf("the stream ends with %q, %v", l.text, l.err)
		return 0
	}
	ms, _ := strconv.Atoi(m[1])
	return time.Duration(ms) * time.Millisecond
}
