package hub_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/hub"
)

// stuck is a pattern and a grant that take forever, until let go, once they are armed.
type stuck struct {
	armed          atomic.Bool
	asked, release chan struct{}
}

func newStuck() *stuck { return &stuck{asked: make(chan struct{}), release: make(chan struct{})} }

func (s *stuck) Match(string) bool {
	if s.armed.Swap(false) {
		close(s.asked)
		<-s.release
	}
	return true
}
func (s *stuck) Grants(topic string) bool { return s.Match(topic) }
func (*stuck) Prefix() string             { return "" }
func (*stuck) Space() hub.Space           { return asIs{} }
func (*stuck) Text() string               { return "stuck" }
func (*stuck) Effort() int                { return 1 }

// While a client's matchers are looked at, for however long, events are published and other clients get what waits for them.
func TestNobodyWaitsForMatchers(t *testing.T) {
	for name, test := range map[string]struct {
		live bool // the client is live, else it reads the window
		set  func(*hub.Matchers, *stuck)
	}{
		"pattern in the window": {false, func(m *hub.Matchers, s *stuck) { m.Patterns = []hub.Pattern{s} }},
		"grant in the window":   {false, func(m *hub.Matchers, s *stuck) { m.Names, m.Granted = []string{"a"}, s }},
		"many patterns, live": {true, func(m *hub.Matchers, s *stuck) {
			m.Patterns = []hub.Pattern{s}
			for i := range 200 {
				m.Patterns = append(m.Patterns, &between{"", fmt.Sprint(i)})
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			h, s := newHub(t, settings(1000, 1<<20)), newStuck()
			var others []*reader
			for range 2 * h.Shards() {
				r := subscribe(t, h, hub.Subscription{Topics: []string{"a"}})
				r.catchUp(h)
				others = append(others, r)
			}
			publish(t, h, topic("a", "1"))
			for _, r := range others {
				r.taken(h)
			}
			sub, m := match("earliest")
			test.set(m, s)
			r := subscribe(t, h, sub)
			if test.live {
				r.catchUp(h)
			}
			s.armed.Store(true)
			done := make(chan struct{})
			go func() {
				defer close(done)
				_, _ = r.conn.Next(nil, 1<<20)
			}()
			if test.live {
				<-done
				h.Publish(t.Context(), []broker.Record{public("b", "came", "")})
			}
			<-s.asked
			free := make(chan struct{})
			go func() {
				defer close(free)
				for _, r := range others {
					if frames, err := r.conn.Next(nil, 1<<20); len(frames) == 0 || err != nil {
						t.Errorf("another client got %d frames, %v", len(frames), err)
					}
				}
				h.Publish(t.Context(), []broker.Record{topic("a", "2")})
			}()
			select {
			case <-free:
			case <-time.After(20 * time.Second):
				t.Error("others wait")
			}
			close(s.release)
			<-free
			<-done
			r.taken(h)
			if test.live { // the event that was looked at meanwhile comes once
				wantList(t, brief(r.catchUp(h)), "came")
			}
		})
	}
}

// What matchers may take of one read is bounded, whatever takes long: patterns, grants, or the topics of the events.
func TestMatchersTakeTurns(t *testing.T) {
	var many []broker.Target
	for i := range 100 {
		many = append(many, broker.Target{Kind: broker.Topic, Name: strings.Repeat("b", i+1)})
	}
	for name, test := range map[string]struct {
		targets []broker.Target
		set     func(*hub.Matchers, *counted)
	}{
		"patterns and events of many topics": {many, func(m *hub.Matchers, c *counted) {
			for range 100 {
				m.Patterns = append(m.Patterns, &counted{c.asked})
			}
		}},
		"names and a large grant": {many, func(m *hub.Matchers, c *counted) {
			m.Names, m.Granted = []string{"b"}, large{c}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHub(t, settings(2000, 16<<20))
			for range 300 {
				publish(t, h, broker.Record{Targets: test.targets})
			}
			if err := h.Taken(t.Context(), publish(t, h, topic("c", ""))); err != nil {
				t.Fatal(err)
			}
			var asked atomic.Int64
			sub, m := match("earliest")
			test.set(m, &counted{&asked})
			c := subscribe(t, h, sub).conn
			turns := 0
			for before := int64(-1); asked.Load() != before || turns < 5; turns++ {
				before = asked.Load()
				if _, err := c.Next(nil, 64<<10); err != nil {
					t.Fatal(err)
				}
				if n := asked.Load() - before; n > 30_000 {
					t.Fatalf("%d were asked in one turn", n)
				}
			}
			if asked.Load() < 30_000 {
				t.Errorf("only %d were asked in %d turns", asked.Load(), turns)
			}
		})
	}
}

// large is a grant of a hundred patterns.
type large struct{ *counted }

func (l large) Grants(string) bool {
	l.asked.Add(100)
	return false
}
func (large) Effort() int { return 100 }

// An id that its publisher has repeated costs a bounded search. A client that hears none of the first events gets what followed the oldest.
func TestMatchersFindRepeatedID(t *testing.T) {
	h := newHub(t, settings(2000, 16<<20))
	publish(t, h, public("a", "0", ""))
	for range 1000 {
		publish(t, h, public("other", "", "again"))
	}
	publish(t, h, public("a", "1", "again"), public("a", "2", ""))
	if err := h.Taken(t.Context(), publish(t, h, public("b", "", ""))); err != nil {
		t.Fatal(err)
	}
	for patterns, want := range map[int][]string{0: {"position", "2"}, 1000: {"position", "1", "2"}} {
		sub, m := match("again", "a")
		var asked atomic.Int64
		for range patterns {
			m.Patterns = append(m.Patterns, &counted{&asked})
		}
		c, err := h.Subscribe(t.Context(), sub)
		if err != nil {
			t.Fatal(err)
		}
		if n := asked.Load(); n > 30_000 || !m.Exact {
			t.Errorf("%d patterns are asked %d times, exact %v", patterns, n, m.Exact)
		}
		c.Close(nil)
		wantList(t, brief(subscribe(t, h, sub).catchUp(h)), want...)
	}
}

// heavy is a pattern that takes long.
type heavy struct{ effort int }

func (*heavy) Match(string) bool { return false }
func (*heavy) Prefix() string    { return "" }
func (*heavy) Space() hub.Space  { return asIs{} }
func (*heavy) Text() string      { return "heavy" }
func (p *heavy) Effort() int     { return p.effort }

// The patterns that clients bring take a bounded time together. Those of one address leave room for others, and so do clients that leave.
func TestMatchersLeaveRoom(t *testing.T) {
	h := newHub(t, settings(100, 1<<20))
	var open []*hub.Conn
	bring := func(address string, patterns ...hub.Pattern) (*hub.Conn, string) {
		t.Helper()
		c, err := h.Subscribe(t.Context(), hub.Subscription{Matchers: &hub.Matchers{Names: []string{"a"}, Patterns: patterns}, Address: address})
		var refusal *hub.Refusal
		if errors.As(err, &refusal) {
			return nil, refusal.Reason
		} else if err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
		return c, ""
	}
	defer func() {
		for _, c := range open {
			c.Close(nil)
		}
		if n := h.Left(); n != 0 {
			t.Errorf("%d entries are left", n)
		}
	}()
	refused := func(want bool, address string, patterns ...hub.Pattern) {
		t.Helper()
		if _, reason := bring(address, patterns...); reason != map[bool]string{true: "patterns"}[want] {
			t.Errorf("from %s: refused %q, want %v", address, reason, want)
		}
	}
	shared := &heavy{30_000}
	refused(false, "1", shared)
	refused(true, "1", &heavy{30_000})
	refused(false, "1", shared, &heavy{10_000})
	refused(false, "1")
	refused(false, "2", shared, &heavy{40_000})
	refused(true, "2", &heavy{20_000})
	refused(false, "3", &heavy{50_000})
	last, _ := bring("4", &heavy{50_000})
	refused(true, "5", &heavy{30_000})
	refused(false, "5", shared)
	refused(true, "", &heavy{30_000})
	last.Close(nil)
	open = slices.DeleteFunc(open, func(c *hub.Conn) bool { return c == last })
	refused(false, "", &heavy{60_000})
}
