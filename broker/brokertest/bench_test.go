package brokertest_test

import (
	"testing"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/sharedlog"
)

func BenchmarkSharedLog(b *testing.B) {
	brokertest.Bench(b, sharedlog.New(sharedlog.Fault{}).Harness(b))
}
