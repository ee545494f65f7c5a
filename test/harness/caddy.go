package harness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Caddy is ./cmd/caddy with a config of its own.
type Caddy struct {
	*Process
	Config string // path of its Caddyfile
	admin  string // Unix socket of its admin endpoint
}

// StartCaddy runs Caddy in the repository's top folder, and returns once it serves. env is added to its environment.
func StartCaddy(t testing.TB, caddyfile string, env ...string) *Caddy {
	t.Helper()
	dir := Dir(t)
	c := &Caddy{Config: WriteFile(t, dir, "Caddyfile", caddyfile), admin: adminSocket(dir)}

	// Caddy calls here when its config has been loaded.
	ready, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ready.Close()
	calls := make(chan string, 1)
	go func() {
		conn, err := ready.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		said, _ := io.ReadAll(conn)
		calls <- string(said)
	}()

	const nonce = "ready"
	cmd := caddyCommand(t, dir, env, "run", "--config", c.Config, "--adapter", "caddyfile", "--pingback", ready.Addr().String())
	cmd.Stdin = strings.NewReader(nonce)
	c.Process = Start(t, "caddy", cmd)
	c.eventually(t, "caddy serves", func() bool {
		select {
		case said := <-calls:
			return said == nonce
		default:
			return false
		}
	})
	t.Cleanup(func() {
		for _, trouble := range []string{"DATA RACE", "panic"} {
			if strings.Contains(c.Output(), trouble) {
				t.Errorf("caddy's log has a %s", trouble)
			}
		}
	})
	return c
}

// Reload loads the config anew, as a deploy does, if it has not changed, too.
func (c *Caddy) Reload(t testing.TB) {
	t.Helper()
	cmd := caddyCommand(t, filepath.Dir(c.Config), nil, "reload", "--force", "--config", c.Config, "--adapter", "caddyfile", "--address", "unix/"+c.admin)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("caddy reload: %v\n%s", err, out)
	}
}

func adminSocket(dir string) string { return filepath.Join(dir, "admin.sock") }

// Goroutines is how many goroutines Caddy has.
func (c *Caddy) Goroutines(t testing.TB) int {
	t.Helper()
	total, _ := c.stacks(t)
	return total
}

// GoroutinesIn is how many goroutines Caddy has in a function.
func (c *Caddy) GoroutinesIn(t testing.TB, function string) (n int) {
	t.Helper()
	_, all := c.stacks(t)
	for stack := range strings.SplitSeq(all, "\n\n") {
		var same int
		if _, err := fmt.Sscanf(stack, "%d @", &same); err == nil && strings.Contains(stack, function) {
			n += same
		}
	}
	return n
}

// stacks returns how many goroutines Caddy has, and their stacks, those that are the same together.
func (c *Caddy) stacks(t testing.TB) (total int, stacks string) {
	t.Helper()
	client := http.Client{Timeout: Patience, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			return net.DialTimeout("unix", c.admin, Patience)
		},
	}}
	res, err := client.Get("http://localhost/debug/pprof/goroutine?debug=1")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := fmt.Fscanf(res.Body, "goroutine profile: total %d\n", &total); err != nil {
		t.Fatalf("goroutines of caddy: %v", err)
	}
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return total, string(text)
}

// Descriptors is how many files and sockets Caddy has open.
func (c *Caddy) Descriptors(t testing.TB) int {
	t.Helper()
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", c.PID()))
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// CloseWaits is how many connections to a port their clients have closed and Caddy has not.
func CloseWaits(t testing.TB, port string) (n int) {
	t.Helper()
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(content)) {
			// number, local address:port, remote address:port, state
			const closeWait = "08"
			if f := strings.Fields(line); strings.HasSuffix(f[1], fmt.Sprintf(":%04X", number)) && f[3] == closeWait {
				n++
			}
		}
	}
	return n
}

// RunCaddy runs a command of Caddy to its end.
func RunCaddy(t testing.TB, args ...string) (output string, err error) {
	t.Helper()
	out, err := caddyCommand(t, Dir(t), nil, args...).CombinedOutput()
	return string(out), err
}

func caddyCommand(t testing.TB, dir string, env []string, args ...string) *exec.Cmd {
	t.Helper()
	binary, err := caddyBinary()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, args...)
	cmd.Dir = Root()
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir,
		"CADDY_ADMIN=unix/"+adminSocket(dir))
	cmd.Env = append(cmd.Env, env...)
	return cmd
}

// BuildCaddy builds Caddy, once for all tests of a run, and leaves it in the repository's top folder: what tests build there as
// users do is then up to date.
func BuildCaddy(t testing.TB) {
	t.Helper()
	if err := leaveCaddy(); err != nil {
		t.Fatal(err)
	}
}

var caddyBinary = sync.OnceValues(func() (string, error) {
	path := filepath.Join(workDir, "caddy")
	cmd := exec.Command("go", "build", raceFlag, "-o", path, "./cmd/caddy")
	cmd.Dir = Root()
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building ./cmd/caddy: %w\n%s", err, out)
	}
	return path, nil
})

// leaveCaddy copies Caddy to where `make build` puts it.
var leaveCaddy = sync.OnceValue(func() error {
	binary, err := caddyBinary()
	if err != nil {
		return err
	}
	from, err := os.Open(binary)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.CreateTemp(Root(), "*.test") // a name that git ignores
	if err != nil {
		return err
	}
	defer os.Remove(to.Name()) // unless it has its name
	_, err = io.Copy(to, from)
	if err := errors.Join(err, to.Chmod(0o755), to.Close()); err != nil {
		return err
	}
	return os.Rename(to.Name(), filepath.Join(Root(), "caddy"))
})

// File reads a file of the repository and replaces what the pairs say: what must differ here, such as ports. Each old text has to
// occur, so that a test is not about something else than it thinks.
func File(t testing.TB, name string, pairs ...string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(Root(), name))
	if err != nil {
		t.Fatal(err)
	}
	return Replace(t, name, string(content), pairs...)
}

// Replace is File for a text that has been read.
func Replace(t testing.TB, name, text string, pairs ...string) string {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("%s no longer holds %q", name, pairs[i])
		}
	}
	return strings.NewReplacer(pairs...).Replace(text)
}
