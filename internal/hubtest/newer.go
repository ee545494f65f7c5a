package hubtest

import (
	"errors"
	"strconv"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/brokertest"
)

// newerNode runs beside a node of a later version that publishes. Its events reach the clients. For those that this version
// cannot read, every client is told of a gap.
func newerNode(t testing.TB, r brokertest.Reporter, h brokertest.Harness) {
	c := newCluster(t, r, h, 2, whole)
	c.audience(10, false)
	put := func(all ...[]byte) {
		if h.Engine == nil {
			for i := range c.sites {
				c.kill(i)
			}
		}
		for _, stored := range all {
			h.Put(t, stored)
		}
		if h.Engine == nil {
			for i := range c.sites {
				c.open(i)
			}
		}
	}
	c.load(2, 20)()
	o := c.ledger.add([]broker.Target{{Kind: broker.Topic, Name: "news"}})
	c.ledger.settle(o, broker.Result{Err: broker.ErrUnknownOutcome}) // its position is not known
	put(brokertest.NewerReadable(broker.Record{Targets: o.targets, Data: []byte(strconv.Itoa(o.number))}))
	c.load(2, 20)()
	c.settle()
	for _, stored := range brokertest.NewerUnreadable() {
		put(stored)
		c.load(2, 10)()
		c.settle()
	}
	for _, site := range c.sites {
		if err := site.hub.Health(); !errors.Is(err, broker.ErrNewer) {
			r.Errorf("a node that is too old has the health %v", err)
		}
	}
	c.judge(anyGaps)
	for _, cl := range c.clients {
		if cl.hears(o.targets) && !cl.has(o.number) {
			r.Errorf("%s has not got the event that has a field more", cl.name)
		}
		gaps := 0
		for _, it := range cl.items {
			if it.kind == isGap {
				gaps++
			}
		}
		if gaps < len(brokertest.NewerUnreadable()) {
			r.Errorf("%s was told of %d gaps, and %d events were too new", cl.name, gaps, len(brokertest.NewerUnreadable()))
		}
	}
}
