package sitetest_test

import (
	"os"
	"testing"

	_ "github.com/sse-push/caddy-sse-push"

	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

func TestMain(m *testing.M) { os.Exit(sitetest.Run(m)) }
