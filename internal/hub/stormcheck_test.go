package hub_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/rules"
)

// stormEvent is what the oracle knows of an event.
type stormEvent struct {
	number   int
	record   *broker.Record
	optional bool // it may have expired or been replaced
}

// stormCheck goes through what one client got.
type stormCheck struct {
	*stormClient
	setup  stormSetup
	events []stormEvent // by number
	at     int          // the client has everything up to here
	conn   *stormConn
	given  int // changes that a gap has covered
	// Numbers of joins that may not be known when the client comes back, as a gap has said.
	doubtful map[int]bool
	gaps     map[string]int // by reason
	faults   []string
}

// checkStorm fails the test if a client got too little, too much, or in the wrong order.
func checkStorm(t *testing.T, l *stormLog, c *stormClient, s stormSetup) {
	t.Helper()
	x := stormCheck{stormClient: c, setup: s, doubtful: map[int]bool{}, gaps: map[string]int{}}
	newest := map[string]int{}
	for n := range l.all {
		r := &l.all[n].Record
		x.events = append(x.events, stormEvent{n, r, r.TTL > 0})
		if r.Coalesce != "" {
			newest[fmt.Sprint(r.Coalesce, r.Targets, r.Exclude)] = n
		}
	}
	for i := range x.events {
		if r := x.events[i].record; r.Coalesce != "" && newest[fmt.Sprint(r.Coalesce, r.Targets, r.Exclude)] > i {
			x.events[i].optional = true
		}
	}
	begun := false
	for i, it := range c.items {
		if it.conn != x.conn {
			x.conn, x.given = it.conn, 0
		}
		if it.narrow {
			x.conn.narrowed, x.conn.narrowedAt = true, it.changes
			continue
		}
		m := it.message
		var n int
		if m.ID != "" {
			p, _ := broker.ParsePosition(m.ID)
			var ok bool
			if n, ok = l.number(p); !ok {
				t.Fatalf("%s: %q has an unknown id", c.name, m)
			}
		}
		switch m.Type {
		case "sse:connected":
			if !begun && m.ID != "" {
				begun, x.at = true, n
			} else if m.ID != "" && n != x.at {
				x.fault("connected at %d, was at %d", n, x.at)
			}
		case "sse:topics", "sse:superseded", "sse:closing":
		case "sse:position":
			x.pass(n+1, "position")
			x.at = n
		case "sse:gap":
			x.gap(it, n)
		default:
			switch {
			case m.ID == "":
				x.fault("%q without an id", m)
			case n <= x.at:
				x.fault("event %d, was at %d", n, x.at)
			case !x.hears(n, true):
				x.fault("event %d is not for it: %v, excluded %v", n, x.events[n].record.Targets, x.events[n].record.Exclude)
			}
			x.pass(n, "event")
			x.at = n
		}
		if len(x.faults) > 0 {
			t.Fatalf("%s (%s %v): %v\n%s", c.name, c.user, c.topics, x.faults, c.recent(i))
		}
	}
	t.Logf("%s: %d items, gaps %v", c.name, len(c.items), x.gaps)
}

// gap accounts for a gap that ends at the event with a number.
func (x *stormCheck) gap(it stormItem, n int) {
	m := it.message
	var g gap
	if err := json.Unmarshal([]byte(m.Data), &g); err != nil || g.To != m.ID {
		x.fault("gap %q: %v", m, err)
		return
	}
	x.gaps[g.Reason]++
	if x.conn.inherited != nil && (g.From != "" || g.Reason != "lost") {
		x.doubtful[x.conn.inherited[0].number] = true
	}
	switch {
	case g.Reason == "lost" && g.From == g.To: // a topic was taken away
		x.given = max(x.given, it.changes)
		if m.ID != "" {
			x.pass(n+1, "gap of a topic")
			x.at = n
		}
	case g.Reason == "lost" && g.From == "":
		if !x.setup.rollback || n <= x.at {
			x.fault("a hole at %d, was at %d", n, x.at)
		}
		x.at = n
	default:
		if !(g.Reason == "lost" && x.setup.rollback || g.Reason == "trimmed" && x.setup.trim) {
			x.fault("a false gap: %s", m.Data)
		}
		if from, ok := broker.ParsePosition(g.From); ok {
			if f, ok := x.log.number(from); !ok {
				x.fault("a gap from nowhere: %s", m.Data)
			} else if f > x.at && n > x.at {
				x.pass(f+1, "gap's begin")
			}
		}
		x.at = n
	}
}

// recent describes the last items up to one.
func (c *stormClient) recent(i int) string {
	var b strings.Builder
	for _, it := range c.items[max(0, i-12) : i+1] {
		k, _ := c.log.number(parsePosition(it.message.ID))
		fmt.Fprintf(&b, "[%s v:%v inherited:%v changes:%v of %d narrow:%v] %d %s %.60s\n",
			it.conn.id, it.conn.v, it.conn.inherited, it.conn.changes, it.changes, it.narrow, k, it.message.Type, it.message.Data)
	}
	return b.String()
}

func parsePosition(id string) broker.Position {
	p, _ := broker.ParsePosition(id)
	return p
}

// fault records a fault.
func (x *stormCheck) fault(format string, args ...any) {
	x.faults = append(x.faults, fmt.Sprintf(format, args...))
}

// pass goes on to just before a number. Everything for the client in between should have come.
func (x *stormCheck) pass(to int, by string) {
	if to-1 < x.at {
		x.fault("%s goes back from %d to %d", by, x.at, to-1)
	}
	for n := x.at + 1; n < to; n++ {
		if !x.events[n].optional && x.hears(n, false) {
			x.fault("event %d is missing before %s, %d: %v", n, by, to, x.events[n].record.Targets)
		}
	}
}

// hears reports whether an event is for the client's connection. If it cannot be known, it returns may.
func (x *stormCheck) hears(n int, may bool) bool {
	r := x.events[n].record
	if r.Kind != broker.Event || slices.Contains(r.Exclude, x.conn.id) {
		return false
	}
	return slices.ContainsFunc(r.Targets, func(to broker.Target) bool {
		switch to.Kind {
		case broker.Broadcast:
			return true
		case broker.User:
			return to.Name == x.user
		case broker.Connection:
			return to.Name == x.conn.id
		}
		if to.Name == "v" {
			return x.hearsV(n, may)
		}
		return slices.ContainsFunc(x.topics, func(p string) bool { return rules.Match(p, to.Name) })
	})
}

// hearsV is hears for the topic that comes and goes. A change that the log has lost leaves it open.
func (x *stormCheck) hearsV(n int, may bool) bool {
	c := x.conn
	on, changes := c.v, c.changes
	lost := func(ch change) bool { return x.log.lost[x.log.all[ch.number].Position] }
	if !c.v && c.before != nil && (x.setup.trim || slices.ContainsFunc(c.before, lost)) { // no node may know of it any more
		return may
	}
	if !c.v && !c.narrowed && len(c.inherited) > 0 {
		changes = append(slices.Clone(c.inherited), changes...)
		if x.setup.window == 0 || x.doubtful[c.inherited[0].number] {
			return may
		}
	}
	if c.narrowed {
		on, changes = false, c.changes[c.narrowedAt:]
	}
	covered := len(changes) - len(c.changes) + x.given // changes that a gap covers
	if c.narrowed {
		covered = x.given - c.narrowedAt
	}
	for i, ch := range changes {
		if lost(ch) {
			return may
		}
		if ch.number < n {
			on = ch.join
		} else if !may && !ch.join && i < covered {
			return false
		}
	}
	return on
}
