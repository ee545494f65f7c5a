package hub_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/rules"
	"github.com/sse-push/caddy-sse-push/internal/sse"
)

// change is a topic that was added to a connection, or taken away, by the record with a number.
type change struct {
	number int
	join   bool
}

// stormConn is one connection of a client. It may have the topic "v", which comes and goes.
type stormConn struct {
	id      string
	v       bool // has "v" from the start
	changes []change

	before     []change // of the client's earlier connections, if they have the same id
	inherited  []change // those of them that still count
	narrowed   bool     // a config has taken "v" away,
	narrowedAt int      // after this many changes
}

// stormItem is an event that a client got, or something that it did.
type stormItem struct {
	conn    *stormConn
	changes int // the number of changes by then
	message sse.Message
	narrow  bool // "v" was taken away by a config
}

// stormClient reconnects again and again, as an EventSource does.
type stormClient struct {
	name, user, id string
	topics         []string
	items          []stormItem
	last           string
	older          []string // earlier ids
	rng            *rand.Rand
	changes        []change // of all its connections
	log            *stormLog
}

// standing returns the change that added the topic that comes and goes, if the topic is there in the end.
func standing(changes []change) (join []change) {
	for _, ch := range changes {
		if !ch.join {
			join = nil
		} else if join == nil {
			join = []change{ch}
		}
	}
	return join
}

// take records what the client got, and the id that it will come back with.
func (c *stormClient) take(conn *stormConn, told []sse.Message) {
	for _, m := range told {
		c.items = append(c.items, stormItem{conn: conn, changes: len(conn.changes), message: m})
		if m.Type == "sse:gap" {
			c.older = nil
		} else if m.ID != "" && c.last != "" && m.ID != c.last {
			c.older = append(c.older, c.last)
		}
		if m.ID != "" {
			c.last = m.ID
		}
	}
}

// messages parses frames.
func messages(frames ...[]byte) (told []sse.Message) {
	for _, f := range frames {
		blocks := sse.NewReader(strings.NewReader(string(f)), 1<<20)
		for {
			m, err := blocks.Next()
			if err != nil {
				break
			}
			told = append(told, m)
		}
	}
	return told
}

// connect makes one connection, which lasts until it ends or the client is cut off; with end, until the client has everything.
// It reports whether the hub has admitted the client.
func (c *stormClient) connect(t *testing.T, h *hub.Hub, ctx context.Context, end bool) bool {
	sub := hub.Subscription{User: c.user, Topics: slices.Clone(c.topics), LastEventID: c.last, ID: c.id}
	conn := &stormConn{v: c.rng.IntN(2) == 0}
	if c.id != "" {
		conn.before, conn.inherited = slices.Clone(c.changes), standing(c.changes)
	}
	if conn.v {
		sub.Topics = append(sub.Topics, "v")
	}
	for range min(len(c.older), c.rng.IntN(3)) {
		sub.OtherIDs = append(sub.OtherIDs, c.older[c.rng.IntN(len(c.older))])
	}
	patience, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_, err := h.Position(patience) // the log's past does not steer it
	var r *hub.Conn
	if err == nil {
		sub.Arrived = h.Arrived()
		r, err = h.Subscribe(patience, sub)
	}
	if err != nil {
		pauseStorm(context.Background(), 10*time.Millisecond)
		return false
	}
	defer func() {
		r.Close(nil)
		c.changes = append(c.changes, conn.changes...)
	}()
	conn.id = r.ID
	wake := waker(r)
	var target broker.Position
	if end {
		target = h.Publish(context.Background(), []broker.Record{{Targets: []broker.Target{{Kind: broker.Connection, Name: r.ID}}, Type: "last"}})[0].Position
	}
	for rounds := c.rng.IntN(40); end || rounds > 0; rounds-- {
		frames, err := r.Next(nil, []int64{1, 700, 2048, 1 << 20}[c.rng.IntN(4)])
		if len(frames) == 0 && err == nil {
			if c.rng.IntN(4) == 0 {
				frames = [][]byte{r.Idle()}
			}
		}
		told := messages(frames...)
		if !end && rounds == 1 {
			c.take(conn, told[:c.rng.IntN(len(told)+1)])
			return true
		}
		c.take(conn, told)
		// The last event may be covered by a gap. So this client publishes, too.
		if p, ok := broker.ParsePosition(c.last); end && ok && p.Epoch == target.Epoch && p.Compare(target) >= 0 {
			return true
		}
		if err != nil {
			return true
		}
		c.change(t, h, conn, r)
		if len(frames) == 0 || c.rng.IntN(6) == 0 {
			select {
			case <-wake:
			case <-time.After(time.Duration(c.rng.IntN(40)) * time.Millisecond):
			}
			if c.rng.IntN(3) == 0 {
				time.Sleep(time.Duration(c.rng.IntN(20)) * time.Millisecond)
			}
		}
	}
	return true
}

// change adds the topic that comes and goes, or takes it away, now and then.
func (c *stormClient) change(t *testing.T, h *hub.Hub, conn *stormConn, r *hub.Conn) {
	ctx := context.WithValue(context.Background(), stormChange{}, conn)
	to := broker.Target{Kind: broker.Connection, Name: r.ID}
	var err error
	switch c.rng.IntN(24) {
	case 0:
		_, err = h.Join(ctx, to, []string{"v"})
	case 1:
		_, err = h.Leave(ctx, to, []string{"v"})
	case 2:
		if r.Narrow(func(topic string) bool { return topic != "v" }) {
			c.items = append(c.items, stormItem{conn: conn, changes: len(conn.changes), narrow: true})
		}
	}
	if err != nil {
		t.Error(err)
	}
	// Join and Leave wait only for a second until this node has obeyed them.
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	for n := len(conn.changes) - 1; n >= 0 && ctx.Err() == nil; {
		p, err := h.Position(ctx)
		if at, _ := c.log.number(p); err != nil || at >= conn.changes[n].number {
			_ = h.Taken(ctx, p)
			break
		}
		if pauseStorm(ctx, time.Millisecond); r.Ended() {
			break
		}
	}
}

// stormSetup is one kind of trouble.
type stormSetup struct {
	window         int
	pending        int64
	memory         int64
	rollback, trim bool
}

// stormSetups are the kinds of trouble, for any size of the window.
var stormSetups = []stormSetup{
	{pending: 64 << 10}, {pending: 1}, {pending: 2 << 10, memory: 4 << 10}, {pending: 2 << 10, memory: 4 << 10, rollback: true},
	{pending: 2 << 10, memory: 16 << 10, trim: true}, {pending: 1, rollback: true, trim: true},
}

// TestStorm takes a second; SSE_PUSH_SOAK=10m makes it longer. Clients are cut off anywhere, some are slow, topics come and
// go, hubs restart, and the log fails, is slow, rolled back and trimmed. Each client gets every event that is for it, once and
// in order, or a gap that covers it, and no event that is not for it.
func TestStorm(t *testing.T) {
	length := time.Second
	if text := os.Getenv("SSE_PUSH_SOAK"); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatalf("SSE_PUSH_SOAK: %v", err)
		}
	}
	for end := time.Now().Add(length); time.Now().Before(end) && !t.Failed(); {
		seed := rand.Uint64()
		rng := rand.New(rand.NewPCG(seed, 0))
		s := stormSetups[rng.IntN(len(stormSetups))]
		s.window = []int{0, 1, 5, 40, 1 << 20}[rng.IntN(5)]
		t.Run(fmt.Sprintf("%+v", s), func(t *testing.T) {
			t.Logf("seed %d", seed)
			synctest.Test(t, func(t *testing.T) { storm(t, s, seed) })
		})
	}
}

// storm runs clients, publishers and a log through three hubs, one after the other, and checks what each client got.
func storm(t *testing.T, s stormSetup, seed uint64) {
	const clients, phases, each = 10, 3, 120
	rng := func(n uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, n)) }
	l := newStormLog(rng(1))
	var all []*stormClient
	for i := range clients {
		c := &stormClient{name: fmt.Sprint("client ", i), user: fmt.Sprint("u", i%4), log: l, rng: rng(uint64(100 + i))}
		c.topics = [][]string{nil, {"t/1"}, {"t/*", "t/2"}, {"t/**", "w"}}[i%4]
		if i%3 == 0 {
			c.id = fmt.Sprint("client-", i)
		}
		all = append(all, c)
	}
	st := settings(s.window, s.pending)
	st.Limits.Memory = s.memory
	for phase := range phases {
		h := hub.New("storm", l, st)
		if phase == 0 {
			if _, err := h.Position(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		ctx, over := context.WithCancel(context.Background())
		var publishing, reading sync.WaitGroup
		for p := range 2 {
			publishing.Go(func() { stormPublish(h, l, rng(uint64(10*phase+p)), each, s) })
		}
		for _, c := range all {
			reading.Go(func() {
				for ctx.Err() == nil {
					c.connect(t, h, ctx, false)
				}
				if phase == phases-1 {
					for !c.connect(t, h, context.Background(), true) {
						time.Sleep(time.Millisecond)
					}
				}
			})
		}
		go func() { publishing.Wait(); time.Sleep(100 * time.Millisecond); over() }()
		if phase < phases-1 {
			publishing.Wait()
			over()
			_ = h.Close()
		}
		reading.Wait()
		if n := h.Left(); n != 0 {
			t.Errorf("%d index entries are left", n)
		}
		if n := h.Stats().Pending; n != 0 {
			t.Errorf("%d bytes are said to wait", n)
		}
		_ = h.Close()
		if phase < phases-1 {
			without := 0
			if s.rollback {
				without = l.rng.IntN(8)
			}
			l.begin(without)
		}
	}
	for _, c := range all {
		checkStorm(t, l, c, s)
	}
}

// stormPublish publishes each events, in small batches, and has the log begin new lives now and then.
func stormPublish(h *hub.Hub, l *stormLog, rng *rand.Rand, each int, s stormSetup) {
	targets := []broker.Target{
		{Kind: broker.Broadcast}, {Kind: broker.User, Name: "u0"}, {Kind: broker.User, Name: "u1"}, {Kind: broker.User, Name: "u3"},
		{Kind: broker.Topic, Name: "t/1"}, {Kind: broker.Topic, Name: "t/2"}, {Kind: broker.Topic, Name: "t/3"},
		{Kind: broker.Topic, Name: "v"}, {Kind: broker.Topic, Name: "v"}, {Kind: broker.Topic, Name: "nobody"},
		{Kind: broker.Connection, Name: "client-0"}, {Kind: broker.Connection, Name: "client-3"},
	}
	for n := 0; n < each; {
		var records []broker.Record
		for range 1 + rng.IntN(6) {
			n++
			r := broker.Record{Targets: []broker.Target{targets[rng.IntN(len(targets))]}, Data: []byte(strings.Repeat("x", rng.IntN(500)))}
			if other := targets[rng.IntN(len(targets))]; rng.IntN(3) == 0 && other != r.Targets[0] {
				r.Targets = append(r.Targets, other)
			}
			switch rng.IntN(12) {
			case 0:
				r.TTL = time.Duration(1 + rng.IntN(1e7))
			case 1:
				r.Coalesce = strconv.Itoa(rng.IntN(3))
			case 2, 3:
				if list, _, _, _ := h.Connections(hub.Filter{}, 20); len(list) > 0 {
					r.Exclude = []string{list[rng.IntN(len(list))].ID}
				}
			case 4:
				r.Exclude = []string{"client-0", "client-6"}
			}
			rules.Tidy(&r)
			records = append(records, r)
		}
		h.Publish(context.Background(), records)
		time.Sleep(time.Duration(rng.IntN(5)) * time.Millisecond)
		switch rng.IntN(30) {
		case 0:
			if s.rollback {
				l.begin(rng.IntN(10))
			} else {
				l.begin(0)
			}
		case 1:
			if s.trim {
				l.trim(10 + rng.IntN(60))
			}
		}
	}
}
