package relay

import (
	"os"
	"testing"

	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

func TestMain(m *testing.M) { os.Exit(sitetest.Run(m)) }
