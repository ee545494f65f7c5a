package hub_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/hub"
)

// Large events go to many clients that do not read: what waits for them stays under the budget. A client that reads gets
// everything, and the others get it from the history, or a gap.
func TestMemoryBudget(t *testing.T) {
	for name, history := range map[string]int64{"all in the window": 1 << 30, "small window": 120 << 10} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testMemoryBudget(t, history) })
		})
	}
}

func testMemoryBudget(t *testing.T, history int64) {
	const clients, events, budget = 50, 4, 200 << 10
	s := settings(1000, 100<<10)
	s.History.Bytes, s.Limits.Memory = history, budget
	h := newHub(t, s)
	slow := make([]*reader, clients)
	for i := range slow {
		slow[i] = subscribe(t, h, hub.Subscription{User: strconv.Itoa(i)})
		wantList(t, brief(slow[i].poll()), "connected")
	}
	fast := subscribe(t, h, hub.Subscription{User: "fast", Topics: []string{"all"}})
	fast.poll()
	filler := strings.Repeat("x", 20_000)
	for n := range events {
		for i := range clients {
			one := user(strconv.Itoa(i), fmt.Sprint(n, filler))
			one.Targets = append(one.Targets, broker.Target{Kind: broker.Topic, Name: "all"})
			publish(t, h, one)
			synctest.Wait()
			if held := h.Held(); held > budget {
				t.Fatalf("%d bytes wait", held)
			}
			if got := appEvents(brief(fast.poll())); len(got) != 1 || !strings.HasPrefix(got[0], strconv.Itoa(n)) {
				t.Fatalf("the one who reads got %d events", len(got))
			}
		}
	}
	if n := h.Stats().Catchups["memory"]; n < clients/2 {
		t.Errorf("%d were put back", n)
	}
	for i, r := range slow {
		next, gaps := 0, 0
		for _, m := range r.poll() {
			if m.Type == "sse:position" {
				continue
			}
			if m.Type == "sse:gap" {
				gaps++
				next = -1
				continue
			}
			n := int(m.Data[0] - '0')
			if next >= 0 && n != next {
				t.Errorf("client %d got event %d, want %d", i, n, next)
			}
			next = n + 1
		}
		if next != events && gaps == 0 || gaps > 1 || gaps > 0 && history > budget {
			t.Errorf("client %d got events up to %d and %d gaps", i, next, gaps)
		}
	}
	if h.Held() != 0 || h.Stats().Pending != 0 {
		t.Error("something still waits")
	}
}

// An event that waits for many is charged once. If the budget is exceeded, those for which most waits fall back.
func TestMemoryBudgetTakesTheLargest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := settings(1000, 1<<30)
		s.Limits.Memory = 800 << 10
		h := newHub(t, s)
		var all []*reader
		for i := range 20 {
			all = append(all, subscribe(t, h, hub.Subscription{User: strconv.Itoa(i)}))
			all[i].poll()
		}
		big := strings.Repeat("x", 100_000)
		for range 2 {
			publish(t, h, broker.Record{Targets: []broker.Target{{Kind: broker.Broadcast}}, Data: []byte(big)})
		}
		synctest.Wait()
		if n := h.Stats().Catchups["memory"]; n != 0 || h.Held() > 300<<10 {
			t.Errorf("%d were put back for %d bytes", n, h.Held())
		}
		for range 7 {
			publish(t, h, user("7", big))
		}
		synctest.Wait()
		for i, r := range all {
			if want := map[bool]int{true: 0, false: 2}[i == 7]; r.conn.Waiting() != want {
				t.Errorf("%d events wait for client %d, want %d", r.conn.Waiting(), i, want)
			}
		}
		s.Limits.Memory = 100 << 10
		h.Configure(s)
		publish(t, h, user("3", "y"))
		synctest.Wait()
		if held := h.Held(); held > 100<<10 {
			t.Errorf("%d bytes wait under the new budget", held)
		}
		for i, want := range map[int]int{3: 3, 7: 9, 0: 2} {
			if got := all[i].poll(); len(got) != want {
				t.Errorf("client %d got %d events, want %d", i, len(got), want)
			}
		}
	})
}
