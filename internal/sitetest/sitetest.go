// Package sitetest serves sites of a Caddyfile in tests, and talks to them: with requests, an EventSource, clients that read
// slowly or not at all. A site is served by Caddy in the test's process or in one of its own. The suites are in this folder;
// they import the module under test, which the package itself does not.
package sitetest

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
)

// Limit is how long a test waits for what must happen. Nothing comes near it unless something is broken.
const Limit = 30 * time.Second

// Run runs the tests of a package, with Caddy's files in a folder of their own, and fails if goroutines are left over. Call it from
// TestMain.
func Run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "sse_push")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	os.Setenv("XDG_DATA_HOME", dir)
	os.Setenv("XDG_CONFIG_HOME", dir)
	caddy.DefaultStorage.Path = filepath.Join(dir, "caddy") // made of the environment before this, as is:
	caddy.ConfigAutosavePath = filepath.Join(dir, "autosave.json")

	// Tests that run side by side mostly wait.
	flag.Parse()
	if parallel := flag.Lookup("test.parallel"); parallel.Value.String() == parallel.DefValue {
		_ = flag.Set("test.parallel", "16")
	}
	code := m.Run()
	if code == 0 && !brokertest.Until(func() bool { return len(ownGoroutines()) == 0 }) {
		fmt.Fprintf(os.Stderr, "goroutines are left over:\n\n%s\n", strings.Join(ownGoroutines(), "\n\n"))
		return 1
	}
	return code
}

// ownGoroutines returns the stacks of all goroutines but the caller's that run this module's code.
func ownGoroutines() (own []string) {
	buf := make([]byte, 64<<10)
	n := runtime.Stack(buf, true)
	for n == len(buf) {
		buf = make([]byte, 2*n)
		n = runtime.Stack(buf, true)
	}
	for _, stack := range strings.Split(string(buf[:n]), "\n\n")[1:] {
		if strings.Contains(stack, "created by github.com/sse-push/caddy-sse-push/internal/stream.newPoller") ||
			strings.Contains(stack, "created by github.com/sse-push/caddy-sse-push/internal/epoll.Open") {
			continue // one a core, and two more, run as long as the process
		}
		if strings.Contains(stack, "github.com/sse-push/caddy-sse-push") {
			own = append(own, stack)
		}
	}
	return own
}

// Repo returns the path of a file of this repository. name is relative to its top folder.
func Repo(name string) string {
	dir, err := os.Getwd()
	if err != nil {
		panic(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, filepath.FromSlash(name))
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			panic("the working directory is not in a Go module")
		}
		dir = parent
	}
}
