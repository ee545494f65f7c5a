// Package wild_test has the product stand behind real proxies. By itself it runs a short form; `make wild` runs all of it.
package wild_test

import (
	"os"
	"testing"

	"github.com/sse-push/caddy-sse-push/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// all reports whether all is to be tried, which takes long.
func all() bool { return os.Getenv("SSE_PUSH_WILD") != "" }
