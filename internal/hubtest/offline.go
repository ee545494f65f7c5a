package hubtest

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/hub"
)

// ask publishes an event to a user, and returns its delivery.
func ask(t testing.TB, h *hub.Hub, user, data string) hub.Delivery {
	t.Helper()
	record := broker.Record{Targets: []broker.Target{{Kind: broker.User, Name: user}}, Data: []byte(data)}
	receipt := h.Receipt(&record)
	if res := h.Publish(context.Background(), []broker.Record{record}); res[0].Err != nil {
		t.Errorf("publishing: %v", res[0].Err)
	}
	return h.Await(context.Background(), []hub.Awaited{{Receipt: receipt, Until: time.Now().Add(5 * time.Second)}})[0]
}

// arrive connects a user.
func arrive(t testing.TB, h *hub.Hub, user string) *hub.Conn {
	t.Helper()
	c, err := h.Subscribe(context.Background(), hub.Subscription{User: user, Topics: []string{"room"}})
	if err != nil {
		t.Errorf("connecting: %v", err)
	}
	return c
}

// offline asks on one node about users that connect to the other one and leave it.
func offline(t testing.TB, r brokertest.Reporter, h brokertest.Harness) {
	hubs := openHubs(t, h, 2, whole)
	directory, ok := openLog(t, h).(broker.Roster)
	if !ok {
		return
	}
	c := arrive(t, hubs[1], "u")
	if n, err := hubs[0].User(t.Context(), "u"); n != 1 || err != nil {
		r.Errorf("as soon as it is connected to the other node, %d streams are counted, %v", n, err)
	}
	if n, err := hubs[0].Topic(t.Context(), "room"); n != 1 || err != nil {
		r.Errorf("and %d of its topic, %v", n, err)
	}
	if d := ask(t, hubs[0], "u", "x"); d.Scope != "cluster" || d.Users["u"].Elsewhere != 1 || d.Users["u"].Offline {
		r.Errorf("a user of the other node: %+v", d)
	}
	c.Close(nil)
	if d := ask(t, hubs[0], "u", "x"); d.Scope != "cluster" || !d.Users["u"].Offline {
		r.Errorf("a user of no node: %+v", d)
	}

	offlineWhileRoaming(t, r, hubs)

	if err := directory.Report(t.Context(), "dead", 100*time.Millisecond, true, map[string]int{"~b": 1}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond)
	begin := time.Now()
	if d := ask(t, hubs[0], "u", "x"); d.Users["u"].Offline || time.Since(begin) > 4*time.Second {
		r.Errorf("while a node is silent: %+v after %s", d, time.Since(begin))
	}
	if err := directory.Report(t.Context(), "dead", 0, true, nil); err != nil {
		t.Fatal(err)
	}
	if d := ask(t, hubs[0], "u", "x"); !d.Users["u"].Offline {
		r.Errorf("once it has ended: %+v", d)
	}
}

// offlineWhileRoaming has a user come and go on both nodes. If a stream gets an event, the user was not offline.
func offlineWhileRoaming(t testing.TB, r brokertest.Reporter, hubs []*hub.Hub) {
	var mu sync.Mutex
	heard := map[string]bool{}
	stop := make(chan struct{})
	var roaming sync.WaitGroup
	for i := range 4 {
		roaming.Go(func() {
			rng := rand.New(rand.NewPCG(5, uint64(i)))
			for {
				select {
				case <-stop:
					return
				default:
				}
				c := arrive(t, hubs[rng.IntN(2)], "roams")
				if c == nil {
					return
				}
				for end := time.Now().Add(time.Duration(rng.IntN(30)) * time.Millisecond); time.Now().Before(end); {
					frames, _ := c.Next(nil, 1<<16)
					for _, f := range frames {
						if _, data, ok := strings.Cut(string(f), "data: event "); ok {
							mu.Lock()
							heard[strings.TrimSpace(data)] = true
							mu.Unlock()
						}
					}
					pause(context.Background(), time.Millisecond)
				}
				c.Close(nil)
				pause(context.Background(), time.Duration(rng.IntN(100))*time.Millisecond)
			}
		})
	}
	absent := map[string]bool{}
	var told int
	for i := range 150 {
		number := strings.Repeat("i", i)
		if d := ask(t, hubs[0], "roams", "event "+number); d.Users["roams"].Offline {
			absent[number] = true
			told++
		}
	}
	close(stop)
	roaming.Wait()
	for number := range absent {
		if heard[number] {
			r.Errorf("event %d was said to have met nobody, and was heard", len(number))
		}
	}
	r.Logf("of 150 events %d met nobody, and %d were heard", told, len(heard))
}

// countsOfEmptied empties the engine. The nodes' counts are back within seconds, and no user is taken for offline meanwhile.
func countsOfEmptied(t testing.TB, r brokertest.Reporter, h brokertest.Harness) {
	hubs := openHubs(t, h, 2, whole)
	if !hasRoster(t, h) {
		return
	}
	defer arrive(t, hubs[1], "u").Close(nil)
	h.Engine.Empty(t)
	begin := time.Now()
	for counted := false; !counted; {
		n, err := hubs[0].User(t.Context(), "u")
		if counted = err == nil && n == 1; !counted && time.Since(begin) > 10*time.Second {
			r.Errorf("10 s after the engine was emptied, %d streams are counted, %v", n, err)
			return
		}
		record := broker.Record{Targets: []broker.Target{{Kind: broker.User, Name: "u"}}}
		receipt := hubs[0].Receipt(&record)
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		hubs[0].Publish(ctx, []broker.Record{record})
		d := hubs[0].Await(ctx, []hub.Awaited{{Receipt: receipt, Until: time.Now().Add(100 * time.Millisecond)}})[0]
		cancel()
		if d.Users["u"].Offline {
			r.Errorf("a user of the other node is said to be offline, %s after the engine was emptied", time.Since(begin))
			return
		}
	}
}
