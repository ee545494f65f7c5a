// Package clients_test runs client libraries against the product. What they do is the table of docs/reference/libraries.md. By itself it runs a
// short form; `make wild` runs all of it.
package clients_test

import (
	"flag"
	"os"
	"testing"

	"github.com/sse-push/caddy-sse-push/test/harness"
)

func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", "32") // they wait, most of the time
	harness.Main(m)
}

// all reports whether all libraries are to be run, which takes long.
func all() bool { return os.Getenv("SSE_PUSH_WILD") != "" }
