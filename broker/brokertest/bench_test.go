package brokertest_test

import (
	"testing"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
)

func BenchmarkSharedLog(b *testing.B) { brokertest.Bench(b, newEngine(fault{}).harness(b)) }
