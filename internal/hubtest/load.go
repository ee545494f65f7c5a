package hubtest

import (
	"context"
	"crypto/sha256"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/brokertest"
)

// attempt is how long a publish may take, as in the real hub.
const attempt = 2 * time.Second

// publish publishes a group of events on any node, and notes the outcomes. With keys, some groups are published again, as by an
// app that does not know the outcome.
func (c *cluster) publish(rng *rand.Rand, n int) {
	keyed := c.keyed && rng.IntN(2) == 0
	var group []*outcome
	for range n {
		to := []broker.Target{{Kind: broker.Topic, Name: topics[rng.IntN(len(topics))]}}
		if rng.IntN(4) == 0 {
			to = append(to, broker.Target{Kind: broker.User, Name: "u"})
		}
		group = append(group, c.ledger.add(to))
	}
	again := rng.IntN(4) == 0
	for tries := 0; tries < 20; tries++ {
		open := c.send(rng, group, keyed)
		switch {
		case !keyed:
			return
		case open == 0 && !again:
			return
		case open == 0:
			again = false
		}
	}
}

// send makes one attempt, and returns how many events of the group are not acknowledged.
func (c *cluster) send(rng *rand.Rand, group []*outcome, keyed bool) (open int) {
	s := c.pick(rng)
	if s == nil {
		pause(c.ctx, 2*time.Millisecond)
		return len(group)
	}
	return c.sendBy(s, group, keyed)
}

// sendBy is send by one node.
func (c *cluster) sendBy(s *site, group []*outcome, keyed bool) (open int) {
	records := make([]broker.Record, len(group))
	for i, o := range group {
		text := strconv.Itoa(o.number)
		records[i] = broker.Record{Targets: o.targets, Data: []byte(text)}
		if keyed {
			records[i].Key = "k" + text
			sum := sha256.Sum256([]byte(text))
			copy(records[i].Digest[:], sum[:])
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), attempt)
	defer cancel()
	results := s.hub.Publish(ctx, records)
	if len(results) != len(group) {
		c.r.Errorf("%d results for %d records", len(results), len(group))
		return 0
	}
	for i, o := range group {
		c.ledger.settle(o, results[i])
		if results[i].Err != nil {
			open++
		}
	}
	if open > 0 {
		pause(c.ctx, 5*time.Millisecond)
	}
	return open
}

// load publishes from several sides until stop is called, or until each side has published count groups; 0: no limit. stop
// waits for the publishers.
func (c *cluster) load(sides, count int) (stop func()) {
	ctx, cancel := context.WithCancel(c.ctx)
	var publishing sync.WaitGroup
	for side := range sides {
		seed := rand.Uint64()
		publishing.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(side)))
			for i := 0; (count == 0 || i < count) && ctx.Err() == nil; i++ {
				c.publish(rng, 1+rng.IntN(5))
				if count == 0 {
					pause(ctx, time.Duration(1+rng.IntN(4))*time.Millisecond)
				}
			}
		})
	}
	return func() {
		if count > 0 {
			publishing.Wait()
		}
		cancel()
		publishing.Wait()
	}
}

// troubled waits until some publishes have failed.
func (c *cluster) troubled() {
	c.t.Helper()
	_, refusals, unsure := c.ledger.counts()
	brokertest.Eventually(c.t, "publishers are refused", func() bool {
		_, nowRefusals, nowUnsure := c.ledger.counts()
		return nowRefusals+nowUnsure > refusals+unsure
	})
}

// quota waits until some more events have been acknowledged.
func (c *cluster) quota(n int) {
	c.t.Helper()
	before, _, _ := c.ledger.counts()
	brokertest.Eventually(c.t, "events are acknowledged", func() bool {
		now, _, _ := c.ledger.counts()
		return now >= before+n
	})
}

// mark publishes one event for all until it is acknowledged, and returns it.
func (c *cluster) mark() *outcome {
	c.t.Helper()
	rng := rand.New(rand.NewPCG(1, 1))
	var o *outcome
	brokertest.Eventually(c.t, "an event is acknowledged", func() bool {
		o = c.ledger.add([]broker.Target{{Kind: broker.Broadcast}})
		c.marked.Store(o)
		return c.send(rng, []*outcome{o}, false) == 0
	})
	return o
}

// catchUp is how long clients have to catch up. Tests of the suite itself, in which some never do, shorten it.
var catchUp = time.Minute

// settle publishes an event for all, and waits until every client has got it. A client may pass its position without it: a gap
// covers it, or an engine that was rolled back has stored it in a life of the log that nodes are yet to find lost. Then another
// one is published.
func (c *cluster) settle() {
	c.t.Helper()
	brokertest.Eventually(c.t, "every hub is well", c.healthy)
	end := c.mark()
	first := func(is func(cl *client) bool) *client {
		if i := slices.IndexFunc(c.clients, is); i >= 0 {
			return c.clients[i]
		}
		return nil
	}
	without := func() *client { return first(func(cl *client) bool { return cl.heard.Load() != end }) }
	behind := func() *client {
		return first(func(cl *client) bool {
			at := cl.at.Load()
			return cl.heard.Load() != end && (at == nil || !c.ledger.reached(*at, end.pos))
		})
	}
	for begin := time.Now(); without() != nil && time.Since(begin) < catchUp; {
		pause(c.ctx, 2*time.Millisecond)
		if behind() == nil && without() != nil {
			pause(c.ctx, 20*time.Millisecond)
			end = c.mark()
		}
	}
	if cl := without(); cl != nil {
		c.r.Errorf("%s does not get event %d at %s, it is at %s", cl.name, end.number, end.pos, cl.at.Load())
	}
}
