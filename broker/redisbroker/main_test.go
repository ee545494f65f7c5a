package redisbroker

import (
	"os"
	"testing"

	"github.com/sse-push/caddy-sse-push/internal/hubtest"
)

func TestMain(m *testing.M) { os.Exit(hubtest.Main(m)) }
