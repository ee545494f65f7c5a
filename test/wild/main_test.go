// Package wild_test has the product stand behind real proxies.
package wild_test

import (
	"testing"

	"github.com/sse-push/caddy-sse-push/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
