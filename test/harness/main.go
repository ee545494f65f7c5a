package harness

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// Patience bounds a wait for something that does not come. A test that passes never waits for it.
const Patience = 30 * time.Second

var workDir string

// Main runs the tests of a package, and ends what they share. Call it from TestMain.
func Main(m *testing.M) {
	os.Exit(run(m))
}

// shared is what tests share and the run ends.
var shared struct {
	mu   sync.Mutex // guards ends
	ends []func()
}

func atEnd(end func()) {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	shared.ends = append(shared.ends, end)
}

func endShared() {
	for _, end := range shared.ends {
		end()
	}
}

func run(m *testing.M) int {
	var err error
	if workDir, err = os.MkdirTemp("", "sse-push-test-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(workDir)
	defer endShared()
	// Workers of nginx that was started by root are somebody else.
	if err := os.Chmod(workDir, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	// Tests that run at the same time wait more than they compute.
	flag.Parse()
	if parallel := flag.Lookup("test.parallel"); parallel.Value.String() == parallel.DefValue {
		_ = flag.Set("test.parallel", "4")
	}
	return m.Run()
}

// Dir is a new folder. It is not t.TempDir, which has too long a name for a Unix socket.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp(workDir, "")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// WriteFile puts a file into a folder and returns its path.
func WriteFile(t testing.TB, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// Root is the top folder of the repository.
var Root = sync.OnceValue(func() string {
	dir, err := os.Getwd()
	for err == nil {
		if _, err := os.Stat(filepath.Join(dir, "cmd", "caddy", "main.go")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			err = errors.New("no cmd/caddy above the working directory")
		}
		dir = parent
	}
	panic(err)
})

// Program finds the first of several names of a program.
func Program(t testing.TB, names ...string) string {
	t.Helper()
	for _, name := range names {
		// Debian keeps servers in sbin, which is not in a user's PATH.
		for _, candidate := range []string{name, "/usr/sbin/" + name} {
			if path, err := exec.LookPath(candidate); err == nil {
				return path
			}
		}
	}
	t.Fatalf("%s is missing; `make test` installs what the tests need", names[0])
	return ""
}
