package hubtest

import (
	"context"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/brokertest"
)

// openAhead opens a node whose clock is ahead of the others'.
func openAhead(t testing.TB, h brokertest.Harness, p *brokertest.Proxy, d time.Duration) broker.Broker {
	switch {
	case d == 0:
		return h.Open(t, p)
	case h.Ahead != nil:
		return h.Ahead(t, p, d)
	}
	return &shifted{h.Open(t, p), d}
}

// shifted is a broker as seen by a node whose clock is ahead: by that clock, all entries are old.
type shifted struct {
	broker.Broker
	ahead time.Duration
}

func (b *shifted) shift(entries []broker.Entry) {
	for i := range entries {
		if at := &entries[i].Record.Time; !at.IsZero() {
			*at = at.Add(-b.ahead)
		}
	}
}

func (b *shifted) Read(ctx context.Context, after, upTo broker.Position, limit int) ([]broker.Entry, error) {
	entries, err := b.Broker.Read(ctx, after, upTo, limit)
	b.shift(entries)
	return entries, err
}

func (b *shifted) Tail(ctx context.Context, last int, sink broker.Sink) error {
	return b.Broker.Tail(ctx, last, &shiftedSink{sink, b})
}

type shiftedSink struct {
	broker.Sink
	b *shifted
}

func (s *shiftedSink) Deliver(batch []broker.Entry) {
	s.b.shift(batch)
	s.Sink.Deliver(batch)
}

// clocksApart has nodes whose clocks differ by more than a window's age.
func clocksApart(t testing.TB, r brokertest.Reporter, h brokertest.Harness) {
	c := newCluster(t, r, h, 3, whole)
	for i, d := range []time.Duration{time.Hour, -time.Hour} {
		c.kill(i)
		c.sites[i].ahead = d
		c.open(i)
	}
	c.audience(10, true)
	c.audience(5, false)
	for first := range c.sites { // that one stores the event, and the others know its key
		o := c.ledger.add([]broker.Target{{Kind: broker.Broadcast}})
		for i := range c.sites {
			s := c.sites[(first+i)%len(c.sites)]
			if c.sendBy(s, []*outcome{o}, true) > 0 {
				r.Errorf("a node whose clock is %s ahead cannot publish", s.ahead)
				return
			}
		}
	}
	c.load(4, 75)()
	for i := range c.sites {
		c.kill(i)
		c.open(i)
	}
	c.load(4, 75)()
	c.judge(noGaps)
}

// clockBack has the engine's clock go back under load, twice.
func clockBack(t testing.TB, r brokertest.Reporter, h brokertest.Harness) {
	c := newCluster(t, r, h, 2, whole)
	c.audience(10, true)
	stop := c.load(3, 0)
	for range 2 {
		c.quota(50)
		h.ClockBack(t, 5*time.Second)
		c.quota(50)
		c.settle()
	}
	stop()
	c.judge(noGaps)
	if _, refusals, _ := c.ledger.counts(); refusals > 0 {
		r.Errorf("%d events were refused because the clock had gone back", refusals)
	}
}

// clockBackRolledBack rolls the engine back, and sets its clock back to before the lost entries: as in a failover to a machine
// that lags and whose clock is slow.
func clockBackRolledBack(t testing.TB, r brokertest.Reporter, h brokertest.Harness) {
	c := newCluster(t, r, h, 2, whole)
	c.keyed = false // a key may be lost with its event
	c.audience(10, false)
	stop := c.load(3, 0)
	c.quota(50)
	restore := h.Engine.Snapshot(t)
	for range 2 {
		h.ClockBack(t, 5*time.Second)
		c.quota(50)
		c.settle() // clients have seen events that are going to be lost
		c.ledger.loses()
		restore()
		c.quota(20)
		c.settle()
	}
	stop()
	c.judge(anyGaps)
}
