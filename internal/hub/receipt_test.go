package hub_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/membroker"
	"github.com/sse-push/caddy-sse-push/internal/hub"
)

// serve is a writer: it takes what its connection has until the stream ends, or stop is closed.
func (r *reader) serve(stop <-chan struct{}) {
	defer r.conn.Close(nil)
	for {
		frames, err := r.conn.Next(nil, 2048)
		switch {
		case errors.Is(err, io.EOF):
			return
		case len(frames) > 0:
			continue
		}
		select {
		case <-r.wake:
		case <-stop:
			return
		}
	}
}

// follow publishes a record, and returns its delivery as JSON, and how long that took.
func follow(t testing.TB, h *hub.Hub, r broker.Record, written bool, timeout time.Duration) (string, time.Duration) {
	t.Helper()
	receipt := h.Receipt(&r)
	begin := time.Now()
	if err := h.Publish(context.Background(), []broker.Record{r})[0].Err; err != nil {
		t.Fatal(err)
	}
	d := h.Await(context.Background(), []hub.Awaited{{Receipt: receipt, Written: written, Until: time.Now().Add(timeout)}})
	text, err := json.Marshal(d[0])
	if err != nil {
		t.Fatal(err)
	}
	return string(text), time.Since(begin)
}

func TestReceipt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, settings(100, 1<<20))
		stop := make(chan struct{})
		defer synctest.Wait()
		defer close(stop)
		good := func(sub hub.Subscription) *reader {
			r := subscribe(t, h, sub)
			go r.serve(stop)
			return r
		}
		good(hub.Subscription{User: "u1", Topics: []string{"room"}})
		good(hub.Subscription{User: "u1"})
		good(hub.Subscription{User: "u4", Topics: []string{"room", "*"}})
		own := good(hub.Subscription{User: "u3"})
		slow := subscribe(t, h, hub.Subscription{User: "u5"})
		defer slow.conn.Close(nil)
		synctest.Wait()

		target := func(kind broker.TargetKind, name string) broker.Target { return broker.Target{Kind: kind, Name: name} }
		for name, test := range map[string]struct {
			record  broker.Record
			written bool
			want    string
			took    time.Duration
		}{
			"two users": {broker.Record{Targets: []broker.Target{target(broker.User, "u1"), target(broker.User, "u2")}}, true,
				`{"scope":"node","matched":2,"written":2,"failed":0,"users":{"u1":{"matched":2,"written":2,"failed":0},"u2":{"matched":0,"written":0,"failed":0,"offline":true}}}`, 0},
			"each connection once": {broker.Record{Targets: []broker.Target{target(broker.User, "u4"), target(broker.Topic, "room")}}, true,
				`{"scope":"node","matched":2,"written":2,"failed":0,"users":{"u4":{"matched":1,"written":1,"failed":0}}}`, 0},
			"slow": {broker.Record{Targets: []broker.Target{target(broker.User, "u1"), target(broker.User, "u5")}}, true,
				`{"scope":"node","matched":3,"written":2,"failed":1,"users":{"u1":{"matched":2,"written":2,"failed":0},"u5":{"matched":1,"written":0,"failed":1}}}`, 3 * time.Second},
			"slow, and nobody waits for it": {user("u5", ""), false,
				`{"scope":"node","matched":1,"users":{"u5":{"matched":1}}}`, 0},
			"excluded is not offline": {broker.Record{Targets: []broker.Target{target(broker.User, "u3")}, Exclude: []string{own.conn.ID}}, true,
				`{"scope":"node","matched":0,"written":0,"failed":0,"users":{"u3":{"matched":0,"written":0,"failed":0}}}`, 0},
			"a connection": {broker.Record{Targets: []broker.Target{target(broker.Connection, own.conn.ID)}}, true,
				`{"scope":"node","matched":1,"written":1,"failed":0}`, 0},
			"nobody": {topic("nothing/here", ""), true, `{"scope":"node","matched":0,"written":0,"failed":0}`, 0},
		} {
			got, took := follow(t, h, test.record, test.written, 3*time.Second)
			if got != test.want || took != test.took {
				t.Errorf("%s: got %s after %s, want %s after %s", name, got, took, test.want, test.took)
			}
		}
		if n := h.Followed(); n != 0 {
			t.Errorf("%d is left of receipts", n)
		}
	})
}

// For a connection that leaves without having been written to, the event has failed, and nothing waits for it. One that comes
// meanwhile, and resumes from before, has got the event.
func TestReceiptOfLeaverAndComer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, settings(100, 1<<20))
		stop := make(chan struct{})
		defer synctest.Wait()
		defer close(stop)
		from := publish(t, h, user("u1", "before"))
		leaver := subscribe(t, h, hub.Subscription{User: "u1"})
		leaver.poll()
		half := subscribe(t, h, hub.Subscription{User: "u1"})
		half.poll()
		go func() {
			time.Sleep(time.Second) // fake time
			comer := subscribe(t, h, hub.Subscription{User: "u1", LastEventID: from.String()})
			go comer.serve(stop)
			if !half.fetch() { // it has the event, but never comes back for more
				t.Error("nothing came")
			}
			synctest.Wait()
			leaver.conn.Close(nil)
			half.conn.Close(nil)
		}()
		got, took := follow(t, h, user("u1", "x"), true, 10*time.Second)
		want := `{"scope":"node","matched":3,"written":1,"failed":2,"users":{"u1":{"matched":3,"written":1,"failed":2}}}`
		if got != want || took != time.Second {
			t.Errorf("got %s after %s, want %s", got, took, want)
		}
	})
}

// An event that has expired is not waited for.
func TestReceiptOfExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, settings(100, 1<<20))
		r := subscribe(t, h, hub.Subscription{User: "u1"})
		defer r.conn.Close(nil)
		r.poll()
		go func() {
			time.Sleep(2 * time.Second)
			r.poll()
		}()
		record := user("u1", "x")
		record.TTL = time.Second
		got, took := follow(t, h, record, true, 10*time.Second)
		if want := `{"scope":"node","matched":1,"written":0,"failed":1,"users":{"u1":{"matched":1,"written":0,"failed":1}}}`; got != want || took != 2*time.Second {
			t.Errorf("got %s after %s", got, took)
		}
	})
}

// directed is a broker of several nodes, of which the others are simulated. Its Append returns only when what was appended has
// come back, and it can keep everything to itself.
type directed struct {
	broker.Broker
	mu     sync.Mutex // guards counts, err, silent and mute
	counts map[string]int
	err    error
	silent bool // a node has fallen silent
	mute   bool // the other node confirms nothing
	name   string
	hub    *hub.Hub
	frozen bool
}

func (b *directed) Append(ctx context.Context, records []broker.Record) []broker.Result {
	if b.frozen {
		return make([]broker.Result, len(records))
	}
	results := b.Broker.Append(ctx, records)
	for { // until the window has it
		if p, err := b.hub.Position(ctx); err != nil || p == results[len(results)-1].Position {
			return results
		}
		synctest.Wait()
	}
}

func (b *directed) Report(_ context.Context, node string, _ time.Duration, _ bool, _ map[string]int) error {
	b.set(func() { b.name = node })
	return nil
}

func (b *directed) Counts(context.Context, ...string) (map[string]int, error) {
	return nil, errors.New("is not called")
}

// Nodes implements broker.Roster. The other node confirms whatever it is asked.
func (b *directed) Nodes(ctx context.Context, names ...string) ([]broker.Node, error) {
	b.mu.Lock()
	counts, err, silent, mute, name := maps.Clone(b.counts), b.err, b.silent, b.mute, b.name
	b.mu.Unlock()
	if counts == nil {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	other := broker.Node{Name: "other", Counts: map[string]int{"~b": 1}}
	for _, name := range names {
		receipt, user, found := strings.Cut(strings.TrimPrefix(name, "~r:"), ":")
		switch {
		case receipt == name || mute:
		case found:
			other.Counts[name] = counts["u:"+user]
		default:
			other.Counts[name] = 1
		}
	}
	for name, count := range counts {
		other.Counts[name] = count
	}
	nodes := []broker.Node{other, {Name: name}}
	if silent {
		nodes = append(nodes, broker.Node{Name: "silent", Silent: true})
	}
	return nodes, err
}

func (b *directed) set(change func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change()
}

func TestReceiptAcrossNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &directed{Broker: membroker.Open(), counts: map[string]int{"u:both": 2, "u:there": 2}}
		h := hub.New("test", b, settings(100, 1<<20))
		b.hub = h
		stop := make(chan struct{})
		defer func() { close(stop); synctest.Wait(); _ = h.Close() }()
		for _, name := range []string{"here", "both"} {
			go subscribe(t, h, hub.Subscription{User: name}).serve(stop)
		}
		time.Sleep(5 * time.Second) // until the node has reported
		record := broker.Record{}
		for _, name := range []string{"here", "both", "there", "nowhere"} {
			record.Targets = append(record.Targets, broker.Target{Kind: broker.User, Name: name})
		}
		check := func(what, want string, wait time.Duration) {
			t.Helper()
			if got, took := follow(t, h, record, false, 4*time.Second); got != want || took != wait {
				t.Errorf("%s: got %s after %s, want %s after %s", what, got, took, want, wait)
			}
		}
		check("all known", `{"scope":"cluster","matched":2,"users":{"both":{"matched":1,"elsewhere":2},"here":{"matched":1},"nowhere":{"matched":0,"offline":true},"there":{"matched":0,"elsewhere":2}}}`, 0)
		unknown := `{"scope":"node","matched":2,"users":{"both":{"matched":1},"here":{"matched":1},"nowhere":{"matched":0},"there":{"matched":0}}}`
		unsure := `{"scope":"cluster","matched":2,"users":{"both":{"matched":1,"elsewhere":2},"here":{"matched":1},"nowhere":{"matched":0},"there":{"matched":0,"elsewhere":2}}}`
		b.set(func() { b.silent = true })
		check("a node is silent", unsure, 0)
		b.set(func() { b.silent, b.mute = false, true })
		check("a node does not confirm", unsure, 4*time.Second)
		b.set(func() { b.counts["~b"] = 0 })
		check("a node is of an older version", unsure, 0)
		b.set(func() { b.mute = false; delete(b.counts, "~b") })
		b.set(func() { b.err = errors.New("away") })
		check("the directory is away", unknown, 0)
		b.set(func() { b.counts = nil })
		check("the directory does not answer", unknown, 4*time.Second)
		b.set(func() { b.err, b.counts, b.frozen = nil, map[string]int{}, true })
		check("the event does not come back", `{"scope":"cluster","matched":0,"partial":true,"users":{"both":{"matched":0},"here":{"matched":0},"nowhere":{"matched":0},"there":{"matched":0}}}`, 4*time.Second)
		if n := h.Followed(); n != 0 {
			t.Errorf("%d is left of receipts", n)
		}
	})
}

// Publishers that wait run side by side with clients that come, leave, resume and are slow: every count adds up, and nothing is
// left.
func TestReceiptsUnderLoad(t *testing.T) {
	h := newHub(t, settings(20, 4000))
	stop := make(chan struct{})
	var clients, publishers sync.WaitGroup
	for i := range 40 {
		clients.Go(func() {
			last := ""
			for {
				select {
				case <-stop:
					return
				default:
				}
				c, err := h.Subscribe(context.Background(), hub.Subscription{User: fmt.Sprint("u", i%8), Topics: []string{"room"}, LastEventID: last})
				if err != nil {
					t.Error(err)
					return
				}
				r := &reader{t: t, conn: c, wake: waker(c)}
				for range i { // some leave soon, and some do not read
					if i%5 > 0 {
						r.fetch()
					}
				}
				for _, m := range r.events {
					last = m.ID
				}
				c.Close(nil)
			}
		})
	}
	for i := range 8 {
		publishers.Go(func() {
			for n := range 75 {
				record := topic("room", fmt.Sprint(n))
				if n%2 > 0 {
					record = user(fmt.Sprint("u", i), fmt.Sprint(n))
				}
				text, _ := follow(t, h, record, n%3 > 0, time.Millisecond)
				var d hub.Delivery
				if err := json.Unmarshal([]byte(text), &d); err != nil {
					t.Error(err)
				}
				if d.Written != nil && *d.Written+*d.Failed != d.Matched {
					t.Errorf("does not add up: %s", text)
				}
			}
		})
	}
	publishers.Wait()
	close(stop)
	clients.Wait()
	if n := h.Followed(); n != 0 {
		t.Errorf("%d is left of receipts", n)
	}
}
