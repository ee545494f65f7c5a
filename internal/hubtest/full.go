package hubtest

import (
	"testing"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
)

// fullForAWhile fills the log under load, so that publishers are refused. Clients and nodes still come and go.
func fullForAWhile(t testing.TB, r brokertest.Reporter, h brokertest.Harness) {
	c := newCluster(t, r, h, 2, whole)
	c.audience(10, false)
	c.audience(5, true)
	stop := c.load(3, 0)
	for range 2 {
		c.quota(50)
		again := h.Full(t)
		c.troubled()
		if last := len(c.sites) - 1; last > 0 {
			c.kill(last)
			c.open(last)
		}
		c.troubled()
		again()
		c.quota(50)
		c.settle()
	}
	stop()
	c.judge(noGaps)
}
