package redisbroker

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/rules"
)

// try appends, for at most a time.
func try(t testing.TB, b *Broker, wait time.Duration, r broker.Record) broker.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	return b.Append(ctx, []broker.Record{r})[0]
}

func TestOutOfMemory(t *testing.T) {
	t.Parallel()
	s := start(t)
	b := s.node(t)
	tail := started(t, b, 0)
	before := store(t, b, "before")
	s.do(t, "CONFIG", "SET", "maxmemory", "1mb")
	if r := try(t, b, time.Minute, event("refused")); !errors.Is(r.Err, broker.ErrFull) {
		t.Errorf("got %v, want %v", r.Err, broker.ErrFull)
	}
	if got := standing(t, b, before); got != broker.Exact {
		t.Errorf("what was stored stands %d", got)
	}
	s.do(t, "CONFIG", "SET", "maxmemory", "0")
	store(t, b, "after")
	tail.comes(t, "before after")
	if err, _ := tail.state(); err != nil {
		t.Errorf("the tail says %v", err)
	}
}

// The warning of an eviction policy says what is evicted, and never recommends another policy that evicts.
func TestEvictionWarning(t *testing.T) {
	t.Parallel()
	for policy, harm := range map[string]string{
		"allkeys-lru": "the whole log", "allkeys-random": "the whole log",
		"volatile-lru": "idempotency keys", "volatile-ttl": "idempotency keys", "noeviction": "",
	} {
		t.Run(policy, func(t *testing.T) {
			var l logs
			started(t, start(t, "--maxmemory-policy", policy).node(t, l.into), 0)
			text := l.String()
			if warned := strings.Contains(text, "maxmemory-policy "+policy); warned != (harm != "") {
				t.Errorf("warned: %t\n%s", warned, text)
			}
			if harm != "" && (!strings.Contains(text, harm) || !strings.Contains(text, `set it to noeviction"`) || strings.Contains(text, "volatile-*")) {
				t.Errorf("the warning:\n%s", text)
			}
		})
	}
}

func TestWrongPassword(t *testing.T) {
	t.Parallel()
	const right, wrong = "correct-horse", "battery-staple"
	s := start(t, "--requirepass", right)
	for name, change := range map[string]func(*Options){
		"none":       func(o *Options) {},
		"in url":     func(o *Options) { o.URL = "redis://:" + wrong + "@" + s.addr },
		"as option":  func(o *Options) { o.Password = wrong },
		"wrong user": func(o *Options) { o.Username, o.Password = "nobody", wrong },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var l logs
			b := s.node(t, l.into, change)
			tail := follow(t, b, 0)
			explains := func(text string) bool {
				return strings.Contains(text, "WRONGPASS") || strings.Contains(text, "NOAUTH")
			}
			var read, stored error
			brokertest.Eventually(t, "the tail says what is wrong", func() bool {
				read, _ = tail.state()
				return read != nil && explains(read.Error())
			})
			brokertest.Eventually(t, "an append says what is wrong", func() bool { // if its time suffices for the server's answer
				stored = try(t, b, time.Second, event("x")).Err
				return stored != nil && explains(stored.Error())
			})
			if !errors.Is(stored, broker.ErrUnavailable) {
				t.Errorf("Append: %v", stored)
			}
			if !explains(l.String()) {
				t.Errorf("the log does not say what is wrong: %s", l.String())
			}
			for _, text := range []string{read.Error(), stored.Error(), l.String()} {
				if strings.Contains(text, wrong) {
					t.Errorf("says too much: %s", text)
				}
			}
		})
	}
	b := s.node(t, func(o *Options) { o.Password = right })
	tail := started(t, b, 0)
	store(t, b, "x")
	tail.comes(t, "x")
}

func TestJunk(t *testing.T) {
	t.Parallel()
	s := start(t)
	var l logs
	b := s.node(t, l.into)
	tail := started(t, b, 0)
	add := func(fields ...string) { s.do(t, append([]string{"XADD", b.keys.log, "*"}, fields...)...) }
	first := store(t, b, "first")
	for _, fields := range [][]string{
		{"data", "no target"},
		{"user", "", "data", "null"},
		{"user", "u", "topic", "", "data", "half"},
		{"topic", "a\nb"}, {"topic", "a/*"}, {"topics", "a"}, {"topics", "[]"}, {"topics", "[null]"}, {"topics", `[1]`},
		{"connection", "a b"}, {"broadcast", "yes"}, {"broadcast", "0"},
		{"user", "u", "event", "sse:gap"}, {"user", "u", "event", "open"}, {"user", "u", "id", "a\rb"},
		{"user", "u", "retry", "0"}, {"user", "u", "ttl", "1.5"}, {"user", "u", "coalesce", ""},
		{"user", "u", "exclude", "?"}, {"user", "u", "exclude", "[]"},
		{"user", "u", "data", "a", "data", "b"}, {"user", "u", "data", "\xff"}, {"user", "u", "colour", "red"},
		{"epoch", "zzz"},
	} {
		add(fields...)
	}
	add("topic", "t", "data", "good")
	last := store(t, b, "last")
	tail.comes(t, "first good last")
	got, err := b.Read(t.Context(), first, last, 2)
	if err != nil || len(got) != 2 || string(got[0].Record.Data) != "good" || string(got[1].Record.Data) != "last" {
		t.Errorf("Read: %v, %v", got, err)
	}
	if n := strings.Count(l.String(), "skipping entries"); n != 1 {
		t.Errorf("%d lines about junk", n)
	}
	tail.stop()
	if !strings.Contains(l.String(), "count=23") {
		t.Errorf("the rest is not counted:\n%s", &l)
	}
	later := started(t, s.node(t), 100)
	later.comes(t, "first good last")
}

// An entry in the form of a node is not skipped if it cannot be read: an event may be missing.
func TestDamagedRecord(t *testing.T) {
	t.Parallel()
	s := start(t)
	b := s.node(t)
	tail := started(t, b, 0)
	first := store(t, b, "first")
	s.do(t, "XADD", b.keys.log, "*", "r", "\x01\x00\xff", "by", "me")
	s.do(t, "XADD", b.keys.log, "*", "r", "", "by", "")
	last := store(t, b, "last")
	tail.comes(t, "first hole hole last")
	got, err := b.Read(t.Context(), first, last, 10)
	if err != nil || len(got) != 3 || !errors.Is(got[0].Err, broker.ErrMalformed) || got[0].Record.Time.IsZero() {
		t.Errorf("Read: %+v, %v", got, err)
	}
}

func TestPlain(t *testing.T) {
	t.Parallel()
	s := start(t)
	b := s.node(t)
	// Before any node was there.
	s.do(t, "XADD", b.keys.log, "*", "user", "b", "user", "a", "user", "a", "topics", `["x","y"]`, "connection", "c-1", "broadcast", "true",
		"data", "d\n\x00", "event", "e", "id", "i", "retry", "5000", "ttl", "60", "coalesce", "c", "exclude", `["z","y"]`)
	tail := started(t, b, 10)
	tail.comes(t, "d\n\x00")
	r := tail.all()[0].Record
	want := []broker.Target{{Kind: broker.Broadcast}, {Kind: broker.User, Name: "a"}, {Kind: broker.User, Name: "b"},
		{Kind: broker.Topic, Name: "x"}, {Kind: broker.Topic, Name: "y"}, {Kind: broker.Connection, Name: "c-1"}}
	if len(r.Targets) != len(want) {
		t.Fatalf("targets %v", r.Targets)
	}
	for i := range want {
		if r.Targets[i] != want[i] {
			t.Errorf("target %d: %v, want %v", i, r.Targets[i], want[i])
		}
	}
	s.do(t, "XADD", b.keys.log, "*", "user", "u", "retry", "1", "data", "soon")
	tail.comes(t, "d\n\x00 soon")
	if raised := tail.all()[1].Record.Retry; raised != rules.MinRetry {
		t.Errorf("got retry %s", raised)
	}
	if r.Type != "e" || r.ID != "i" || r.Retry != 5*time.Second || r.TTL != time.Minute || r.Coalesce != "c" ||
		len(r.Exclude) != 2 || r.Exclude[0] != "y" || time.Since(r.Time).Abs() > time.Minute {
		t.Errorf("%+v", r)
	}
}

func TestNewerRecord(t *testing.T) {
	t.Parallel()
	s := start(t)
	b := s.node(t)
	tail := started(t, b, 0)
	store(t, b, "a")
	s.do(t, "XADD", b.keys.log, "*", "r", "\x02\x00", "by", "a newer node")
	store(t, b, "b")
	tail.comes(t, "a hole b")
	later := follow(t, s.node(t), 10)
	later.comes(t, "a hole b")
	for _, s := range []*sink{tail, later} {
		s.mu.Lock()
		if e := s.entries[1]; !errors.Is(e.Err, broker.ErrNewer) {
			t.Errorf("the hole's error is %v", e.Err)
		}
		s.mu.Unlock()
	}
}

// Nodes whose clocks differ by an hour agree on the time of an event, each by its own clock.
func TestClocksApart(t *testing.T) {
	t.Parallel()
	s := start(t)
	early, right := s.node(t), s.node(t)
	early.clock.Skew = -time.Hour
	fromRight, fromEarly := started(t, right, 0), started(t, early, 0)
	start := time.Now()
	store(t, early, "a")
	store(t, right, "b")
	fresh := s.node(t) // its first append is before it has read anything
	fresh.clock.Skew = time.Hour
	store(t, fresh, "c")
	for node, tail := range map[*Broker]*sink{early: fromEarly, right: fromRight} {
		tail.comes(t, "a b c")
		for _, e := range tail.all() {
			if d := e.Record.Time.Sub(start.Add(node.clock.Skew)); d.Abs() > time.Minute {
				t.Errorf("%s is %s off at a node %s off", e.Record.Data, d, node.clock.Skew)
			}
		}
	}
}

func TestFrozen(t *testing.T) {
	t.Parallel()
	s := start(t)
	b := s.node(t)
	tail := started(t, b, 0)
	store(t, b, "a")
	tail.comes(t, "a")
	s.Freeze(t)
	if r := try(t, b, 3*time.Second, event("b")); !errors.Is(r.Err, broker.ErrUnknownOutcome) {
		t.Errorf("Append: %v", r.Err)
	}
	brokertest.Eventually(t, "the tail notices", func() bool { return !tail.healthy() })
	s.Thaw(t)
	brokertest.Eventually(t, "the tail is back", tail.healthy)
	store(t, b, "c")
	brokertest.Eventually(t, "what comes next", func() bool { return strings.HasSuffix(tail.texts(), "c") })
	if got := tail.texts(); got != "a c" && got != "a b c" {
		t.Errorf("got %q", got)
	}
}

// An attempt that is repeated, or that the network has held back, stores nothing twice.
func TestAttempts(t *testing.T) {
	t.Parallel()
	s := start(t)
	b := s.node(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r := event("once")
	group := []stored{b.stored(&r, time.Now())}
	keys := []string{b.keys.log, b.keys.epochs, b.keys.floor, group[0].key}
	args := b.appendArgs(ctx, group)
	var results [2][1]broker.Result
	for i := range results {
		m, err := b.tryAppend(ctx, keys, args)
		if err != nil {
			t.Fatal(err)
		}
		if err := readResults(m, group, results[i][:]); err != nil {
			t.Fatal(err)
		}
	}
	if a := results[0][0]; a != results[1][0] || a.Repeated || a.Position.IsZero() {
		t.Errorf("two attempts: %+v", results)
	}
	args[1] = "1"
	m, err := b.tryAppend(ctx, keys, args)
	if err != nil {
		t.Fatal(err)
	}
	if err := readResults(m, group, results[0][:]); !errors.Is(err, errLate) {
		t.Errorf("after its deadline: %v", err)
	}
	if n, _ := redis.Int64(s.do(t, "XLEN", b.keys.log), nil); n != 1 {
		t.Errorf("%d entries", n)
	}
}

func TestKeyOfAnotherType(t *testing.T) {
	t.Parallel()
	s := start(t)
	b := s.node(t)
	s.do(t, "SET", b.keys.log, "mine")
	tail := follow(t, b, 0)
	brokertest.Eventually(t, "an error", func() bool {
		err, _ := tail.state()
		return err != nil && strings.Contains(err.Error(), "WRONGTYPE")
	})
	if r := try(t, b, time.Minute, event("x")); !errors.Is(r.Err, broker.ErrUnavailable) || !strings.Contains(r.Err.Error(), "WRONGTYPE") {
		t.Errorf("Append: %v", r.Err)
	}
}
