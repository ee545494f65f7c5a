package hub_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/hub"
)

// match returns a subscription with matchers, and where Subscribe says whether the id was found.
func match(lastEventID string, names ...string) (hub.Subscription, *hub.Matchers) {
	m := &hub.Matchers{Names: names}
	return hub.Subscription{Matchers: m, LastEventID: lastEventID}, m
}

func public(name, data, id string) broker.Record {
	r := topic(name, data)
	r.Public, r.ID = true, id
	return r
}

// A connection with matchers hears public events of its topics, and private ones of which it is granted some topic. It hears nothing
// that is sent to others, even if to its own id or to all.
func TestMatchersHear(t *testing.T) {
	h := newHub(t, settings(100, 1<<20))
	sub, m := match("", "https://x/users/*")
	m.Patterns = []hub.Pattern{&between{"https://y/", ""}}
	m.Granted = grants{"granted"}
	r := subscribe(t, h, sub)
	native := subscribe(t, h, hub.Subscription{Topics: []string{"https:/**"}})
	to := func(record broker.Record, more ...broker.Target) broker.Record {
		record.Targets = append(record.Targets, more...)
		return record
	}
	granted := broker.Target{Kind: broker.Topic, Name: "granted"}
	publish(t, h,
		public("https://x/users/*", "named", ""), public("https://x/users/1", "no pattern", ""), public("https://y/1", "pattern", ""),
		topic("https://y/2", "private"), to(topic("https://y/2", "granted by another topic"), granted), topic("granted", "not listened to"),
		broker.Record{Targets: everyone(), Data: []byte("broadcast")}, to(topic("https://z", "to all, on another topic"), everyone()...),
		broker.Record{Targets: []broker.Target{{Kind: broker.Connection, Name: r.conn.ID}}, Data: []byte("to its id")},
		public("https://x/users/*", "end", ""))
	wantList(t, collect(r, "end"), "position", "named", "pattern", "granted by another topic", "end")
	wantList(t, collect(native, "end"), "connected", "named", "no pattern", "pattern", "private", "granted by another topic", "broadcast",
		"to all, on another topic", "end")
	if list, total, _, _ := h.Connections(hub.Filter{Topic: "https://y/3"}, 10); total != 2 {
		t.Errorf("a pattern does not list its connection: %v", list)
	}
}

func everyone() []broker.Target { return []broker.Target{{Kind: broker.Broadcast}} }

// An id of a publisher's that a client could not tell from a position, or that asks for all, is not passed on to matchers.
func TestMatchersGetNoForgedID(t *testing.T) {
	h := newHub(t, settings(100, 1<<20))
	r := subscribe(t, h, hub.Subscription{Matchers: &hub.Matchers{Names: []string{"a"}}})
	first := r.next().ID
	publish(t, h, public("a", "1", first), public("a", "2", "earliest"), public("a", "3", "#"), public("a", "4", "a#"))
	seen := []string{first}
	for _, data := range []string{"1", "2", "3"} {
		e := r.next()
		if e.Data != data || !strings.HasPrefix(e.ID, "#") || slices.Contains(seen, e.ID) {
			t.Fatalf("%+v after %q", e, seen)
		}
		sub, m := match(e.ID, "a")
		if again := collect(subscribe(t, h, sub), "4"); !m.Exact || len(again) != 5-len(seen) {
			t.Errorf("after %s: %q, exact %v", e.ID, again, m.Exact)
		}
		seen = append(seen, e.ID)
	}
	if e := r.next(); e.ID != "a#" {
		t.Errorf("%+v", e)
	}
}

// Events have their publisher's id, or # and a position, and a client goes on from either.
func TestMatchersResume(t *testing.T) {
	h := newHub(t, settings(100, 1<<20))
	r := subscribe(t, h, hub.Subscription{Matchers: &hub.Matchers{Names: []string{"a"}}})
	publish(t, h, public("other", "0", "twice"), public("a", "1", "one~1"), public("a", "2", ""), public("a", "3", "twice"), public("a", "4", "twice"), public("a", "5", ""))
	if first := r.next(); first.Type != "sse:position" || first.Data != "{}" || !strings.HasPrefix(first.ID, "#") {
		t.Fatalf("it begins with %+v", first)
	}
	var ids []string
	for range 5 {
		ids = append(ids, r.next().ID)
	}
	if ids[0] != "one~1" || ids[2] != "twice" || !strings.HasPrefix(ids[1], "#") {
		t.Fatalf("ids %q", ids)
	}
	for _, test := range []struct {
		id    string
		exact bool
		want  []string
	}{
		{"one~1", true, []string{"position", "2", "3", "4", "5"}},
		{ids[1], true, []string{"position", "3", "4", "5"}},
		{"twice", true, []string{"position", "4", "5"}}, // the first that it hears, so one comes again
		{ids[4], true, []string{"position"}},
		{"earliest", false, []string{"position", "1", "2", "3", "4", "5"}},
		{"unheard of", false, []string{"position", "gap", "1", "2", "3", "4", "5"}},
		{"#", false, []string{"position", "gap", "1", "2", "3", "4", "5"}},
		{ids[1] + "0", false, []string{"position", "gap", "1", "2", "3", "4", "5"}},
		{ids[1][1:], false, []string{"position", "gap", "1", "2", "3", "4", "5"}}, // a publisher's id that looks like a position
	} {
		sub, m := match(test.id, "a")
		c := subscribe(t, h, sub)
		wantList(t, brief(c.catchUp(h)), test.want...)
		if m.Exact != test.exact {
			t.Errorf("%q: exact is %v", test.id, m.Exact)
		}
		c.conn.Close(nil)
	}
}

// A client is told of a gap only if it may have heard some of what the window has lost.
func TestMatchersMiss(t *testing.T) {
	for _, test := range []struct {
		name    string
		trimmed broker.Record
		granted hub.Granted
		gap     bool
	}{
		{"public", public("a", "", ""), nil, true},
		{"by pattern", public("b/1", "", ""), nil, true},
		{"of another topic", public("c", "", ""), nil, false},
		{"private", topic("a", ""), nil, false},
		{"private, by pattern", topic("b/1", ""), nil, false},
		{"granted", topic("a", ""), grants{"a"}, true},
		{"granted, by pattern", topic("b/1", ""), grants{"b/1"}, true},
		{"another granted", topic("a", ""), grants{"b/1"}, false},
		{"to all", broker.Record{Targets: everyone()}, grants{"a"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHub(t, settings(3, 1<<20))
			from := "#" + publish(t, h, public("c", "", "")).String()
			publish(t, h, test.trimmed, public("c", "", ""), public("c", "", ""), public("c", "", ""), public("c", "", ""))
			sub, m := match(from, "a")
			m.Patterns, m.Granted = []hub.Pattern{&between{"b/", ""}}, test.granted
			got := brief(subscribe(t, h, sub).catchUp(h))
			if slices.Contains(got, "gap") != test.gap || m.Exact == test.gap {
				t.Errorf("got %q, exact %v", got, m.Exact)
			}
		})
	}
}

// A node that lags finds a publisher's id once it has come. One that never comes is a gap after two seconds.
func TestMatchersAwaitID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine()
		h, other := hub.New("match", e.node(), settings(100, 1<<20)), hub.New("match", e.node(), settings(100, 1<<20))
		publish(t, h, public("a", "0", ""))
		late, m := match("late", "a")
		begun := time.Now()
		came := make(chan *reader, 1)
		go func() { came <- subscribe(t, h, late) }()
		time.Sleep(time.Second)
		publish(t, other, public("a", "1", "late"), public("a", "2", ""))
		r := <-came
		if took := time.Since(begun); took >= 2*time.Second || !m.Exact {
			t.Errorf("it took %s, exact %v", took, m.Exact)
		}
		wantList(t, brief(r.catchUp(h)), "position", "2")
		begun = time.Now()
		never, m := match("never", "a")
		lost := subscribe(t, h, never)
		if took := time.Since(begun); took != 2*time.Second || m.Exact {
			t.Errorf("it took %s, exact %v", took, m.Exact)
		}
		wantList(t, brief(lost.catchUp(h)), "position", "gap", "0", "1", "2")
		for _, c := range []*reader{r, lost} {
			c.conn.Close(nil)
		}
		for _, one := range []*hub.Hub{h, other} {
			_ = one.Close()
		}
	})
}

// Topics are neither added to a connection with matchers nor taken away from it, but it can be ended by one.
func TestMatchersAreSteered(t *testing.T) {
	h := newHub(t, settings(100, 1<<20))
	sub, _ := match("", "a")
	r := subscribe(t, h, sub)
	self := broker.Target{Kind: broker.Connection, Name: r.conn.ID}
	for _, err := range []error{
		second(h.Join(t.Context(), self, []string{"b"})), second(h.Leave(t.Context(), self, []string{"a"})),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if r.conn.Narrow(func(string) bool { return false }) {
		t.Error("a config has narrowed it")
	}
	publish(t, h, public("b", "b", ""), public("a", "a", ""))
	wantList(t, collect(r, "a"), "position", "a")
	if err := h.DisconnectTopic(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	r.taken(h)
	if !r.conn.Ended() {
		t.Error("it was not ended by its topic")
	}
}

func second[T any](_ T, err error) error { return err }

// An operator is told why a connection with matchers did not get an event.
func TestMatchersAreExplained(t *testing.T) {
	h := newHub(t, settings(100, 1<<20))
	sub, _ := match("", "a")
	r := subscribe(t, h, sub)
	for _, test := range []struct {
		record  broker.Record
		verdict hub.Verdict
	}{
		{public("a", "", ""), hub.Sent}, {topic("a", ""), hub.NotGranted}, {public("b", "", ""), hub.NotSubscribed},
		{broker.Record{Targets: everyone()}, hub.NotAddressed},
	} {
		id := publish(t, h, test.record).String()
		r.taken(h)
		r.poll()
		x, err := h.Explain(hub.Question{Who: r.conn.ID, Event: id})
		if err != nil || x.Verdict != test.verdict {
			t.Errorf("%v: %s, %s, %v; want %s", test.record.Targets, x.Verdict, x.Detail, err, test.verdict)
		}
	}
	for id, want := range map[string]int{publish(t, h, public("a", "", "")).String(): 1, publish(t, h, broker.Record{Targets: everyone()}).String(): 0} {
		if x, err := h.Explain(hub.Question{Event: id}); err != nil || len(x.Connections) != want {
			t.Errorf("%d connections are asked, %v; want %d", len(x.Connections), err, want)
		}
	}
}

// counted is a pattern that matches nothing, and counts how often it is asked.
type counted struct{ asked *atomic.Int64 }

func (p *counted) Match(string) bool {
	p.asked.Add(1)
	return false
}
func (*counted) Prefix() string   { return "" }
func (*counted) Space() hub.Space { return asIs{} }
func (*counted) Text() string     { return "none" }
func (*counted) Effort() int      { return 1 }

// A writer that fetches for a client with many patterns goes on with others before all of the window has been looked at.
func TestMatchersLookInTurns(t *testing.T) {
	h := newHub(t, settings(2000, 1<<20))
	for range 1000 {
		publish(t, h, public("other", "", ""))
	}
	if err := h.Taken(t.Context(), publish(t, h, public("a", "end", ""))); err != nil { // shards ask patterns, too
		t.Fatal(err)
	}
	sub, m := match("earliest", "a")
	var asked atomic.Int64
	for range 1000 {
		m.Patterns = append(m.Patterns, &counted{&asked})
	}
	r := subscribe(t, h, sub)
	var got []byte
	for turns := 0; !bytes.Contains(got, []byte("data: end")); turns++ {
		before := asked.Load()
		frames, err := r.conn.Next(nil, 64<<10)
		if err != nil {
			t.Fatal(err)
		}
		if n := asked.Load() - before; n > 20_000 {
			t.Fatalf("%d patterns were asked in one turn", n)
		}
		got = append(got, slices.Concat(frames...)...)
		select {
		case <-r.wake:
		default:
			if len(frames) == 0 {
				t.Fatalf("after %d turns nobody wakes the writer", turns)
			}
		}
	}
	if n := asked.Load(); n < 1_000_000 {
		t.Errorf("only %d patterns were asked", n)
	}
}

// nothing grants nothing, and counts how often it is asked.
type nothing int

func (n *nothing) Grants(string) bool { *n++; return false }
func (*nothing) Effort() int          { return 1 }

// Whether a connection may hear a private event is worked out once, however many of the event's topics it listens to and in how many
// ways.
func TestMatchersAreJudgedOnce(t *testing.T) {
	h := newHub(t, settings(100, 1<<20))
	var record broker.Record
	for i := range 50 {
		record.Targets = append(record.Targets, broker.Target{Kind: broker.Topic, Name: fmt.Sprintf("https://x/%d", i)})
	}
	sub, m := match("")
	for _, target := range record.Targets {
		m.Names = append(m.Names, target.Name)
	}
	for i := range 20 {
		m.Patterns = append(m.Patterns, &between{"https://x/", strings.Repeat("0", i%2)})
	}
	var asked nothing
	m.Granted = &asked
	r := subscribe(t, h, sub)
	r.catchUp(h) // what follows is delivered, not read from the window
	publish(t, h, record, public("https://x/0", "end", ""))
	wantList(t, collect(r, "end"), "end")
	if r.taken(h); int(asked) != len(record.Targets) {
		t.Errorf("its grant is asked %d times about %d topics", asked, len(record.Targets))
	}
}

// A topic of Mercure's may have segments that are wildcards in patterns. Each pattern is found once: otherwise the work would double
// with each segment.
func TestTopicsOfWildcards(t *testing.T) {
	deep := strings.TrimSuffix(strings.Repeat("*/", 16), "/")
	wantList(t, hub.Covering(deep, deep, "*/**", "**", "a/**"), "**", "*/**", deep)
	wantList(t, hub.Covering("**", "**", "*"), "*", "**")
	wantList(t, hub.Covering("**/a", "**", "*/a", "**/a"), "**", "*/a")
	wantList(t, hub.Covering("a/**", "a/**", "a/*", "*/**"), "*/**", "a/*", "a/**")
}

// What matchers take is charged, and a connection that takes too much is sent away.
func TestMatchersAreCharged(t *testing.T) {
	s := settings(100, 1<<20)
	s.Limits.Memory = 1 << 20
	h := newHub(t, s)
	sub, m := match("", "a")
	m.Size = 400 << 10
	c, err := h.Subscribe(t.Context(), sub)
	if err != nil {
		t.Fatal(err)
	}
	var refusal *hub.Refusal
	if _, err := h.Subscribe(t.Context(), sub); !errors.As(err, &refusal) || refusal.Reason != "memory" {
		t.Errorf("a second one got %v", err)
	}
	c.Close(nil)
	if c, err = h.Subscribe(t.Context(), sub); err != nil {
		t.Fatalf("after the first has left: %v", err)
	}
	c.Close(nil)
}
