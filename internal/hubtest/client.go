package hubtest

import (
	"bytes"
	"context"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/sse"
)

// client is an EventSource: it reads its stream, reconnects with its last id to any node, and keeps all that it was told.
type client struct {
	name   string
	user   string
	topics []string
	quiet  bool // only events for all are published to it
	rng    *rand.Rand

	// Only its goroutine uses these until that has ended.
	items []item
	last  string // the last id
	begun bool

	cluster *cluster
	roams   atomic.Bool // it changes nodes of its own accord
	at      atomic.Pointer[broker.Position]
	heard   atomic.Pointer[outcome] // the last event that settle waited for, and that has come
	gone    chan struct{}           // closed when its goroutine has ended
}

// pause waits a moment before another try.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// run connects again and again until ctx is done.
func (c *client) run(ctx context.Context) {
	defer close(c.gone)
	for ctx.Err() == nil {
		present := c.cluster.presence.enter(ctx)
		if present == nil {
			return
		}
		c.connect(ctx, present)
		c.cluster.presence.leave()
	}
}

// connect makes one attempt. present is done when the client is cut off.
func (c *client) connect(ctx, present context.Context) {
	s := c.cluster.pick(c.rng)
	if s == nil {
		pause(ctx, 2*time.Millisecond)
		return
	}
	// As long as the real handler waits for a hub that is not up to date.
	patience, cancel := context.WithTimeout(ctx, 2*time.Second)
	conn, err := s.hub.Subscribe(patience, hub.Subscription{User: c.user, Topics: c.topics, LastEventID: c.last})
	cancel()
	if err != nil {
		pause(ctx, 10*time.Millisecond)
		return
	}
	c.stream(ctx, present, conn)
	conn.Close(nil)
}

// stream reads one connection until it ends, or the client has had enough.
func (c *client) stream(ctx, present context.Context, conn *hub.Conn) {
	wake := make(signal, 1)
	conn.OnWake(wake)
	leave := present.Done()
	if c.roams.Load() {
		stay, cancel := context.WithTimeout(present, time.Duration(1+c.rng.IntN(60))*time.Millisecond)
		defer cancel()
		leave = stay.Done()
	}
	for {
		frames, err := conn.Next(nil, 2048)
		told := parse(frames)
		select {
		case <-leave: // cut off anywhere: what comes after the cut never arrived
			c.take(told[:c.rng.IntN(len(told)+1)])
			return
		default:
		}
		c.take(told)
		switch {
		case err != nil:
			return
		case len(frames) > 0:
			continue
		}
		select {
		case <-wake:
		case <-leave:
			return
		case <-ctx.Done():
			return
		}
	}
}

// parse reads frames as a browser does. They hold whole events.
func parse(frames [][]byte) (told []sse.Message) {
	blocks := sse.NewReader(bytes.NewReader(bytes.Join(frames, nil)), 0)
	for len(frames) > 0 {
		m, err := blocks.Next()
		if err != nil {
			break
		}
		told = append(told, m)
	}
	return told
}

// take notes what the client was told.
func (c *client) take(told []sse.Message) {
	for _, m := range told {
		id, _, _ := strings.Cut(m.ID, "~")
		pos, ok := broker.ParsePosition(id)
		it := item{pos: pos, text: m.Data}
		switch m.Type {
		case "sse:connected":
			it.kind = fromHere
			if c.begun || !ok { // it goes on from where it was, or a gap comes
				it.kind = isPosition
				if !ok || m.ID == c.last {
					continue
				}
			}
		case "sse:closing":
			continue
		case "sse:position":
			it.kind = isPosition
		case "sse:gap":
			it.kind = isGap
			var g struct{ Reason, From, To string }
			if json.Unmarshal([]byte(m.Data), &g) != nil || g.To != id {
				it.text = "malformed: " + m.Data
			}
			var known bool
			if it.from, known = broker.ParsePosition(g.From); known {
				c.cluster.ledger.sight(it.from)
			}
			it.reason = g.Reason
		default:
			it.kind, it.number = isEvent, parseNumber(m.Data)
		}
		if !ok {
			it.kind, it.number, it.text = isEvent, -1, "without a position: "+m.Type+" "+m.Data
		}
		c.begun = true
		c.items = append(c.items, it)
		if m.ID != "" {
			c.last = m.ID
		}
		if !ok {
			continue
		}
		c.cluster.ledger.sight(pos)
		c.at.Store(&pos)
		if o := c.cluster.marked.Load(); it.kind == isEvent && o != nil && it.number == o.number {
			c.heard.Store(o)
		}
	}
}

// reached reports whether p is not before q.
func (l *ledger) reached(p, q broker.Position) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.compare(p, q) >= 0
}
