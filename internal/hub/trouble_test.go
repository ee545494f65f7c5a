package hub_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/membroker"
	"github.com/sse-push/caddy-sse-push/internal/hub"
)

// skewed is a broker whose clock is off.
type skewed struct {
	broker.Broker

	mu  sync.Mutex // guards off
	off time.Duration
}

func (b *skewed) set(off time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.off = off
}

func (b *skewed) Tail(ctx context.Context, last int, to broker.Sink) error {
	return b.Broker.Tail(ctx, last, &skewedSink{to, b})
}

type skewedSink struct {
	broker.Sink
	b *skewed
}

func (s *skewedSink) Deliver(batch []broker.Entry) {
	s.b.mu.Lock()
	off := s.b.off
	s.b.mu.Unlock()
	for i := range batch {
		r := &batch[i].Record
		r.Time = r.Time.Round(0).Add(off) // like a stored time, it has no monotonic clock
	}
	s.Sink.Deliver(batch)
}

// The clock of the broker steps forward and back: nothing is lost, nothing comes twice or out of order, and what is measured
// and trimmed by time stays within bounds.
func TestClockSteps(t *testing.T) {
	for _, age := range []time.Duration{10 * time.Minute, 3 * time.Hour} {
		t.Run(age.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testClockSteps(t, age) })
		})
	}
}

func testClockSteps(t *testing.T, age time.Duration) {
	s := settings(1000, 1<<20)
	s.History.Age = age
	b := &skewed{Broker: membroker.Open()}
	h := hub.New("skewed", b, s)
	defer h.Close()
	live := subscribe(t, h, hub.Subscription{User: "u"})
	start := live.next().ID
	synctest.Wait()

	const steps, each = 8, 5
	var want []string
	for step := range steps {
		b.set([]time.Duration{0, time.Hour, 0, -time.Hour}[step%4])
		var now []string
		for i := range each {
			now = append(now, fmt.Sprintf("%d.%d", step, i))
			publish(t, h, user("u", now[i]), user("other", "x"))
			time.Sleep(time.Second)
		}
		synctest.Wait()
		wantList(t, appEvents(brief(live.poll())), now...)
		want = append(want, now...)
		if beat := string(live.conn.Idle()); beat != ":\n" && !strings.Contains(beat, "sse:position") {
			t.Errorf("step %d: what keeps a stream open is %q", step, beat)
		}
	}
	// A client that resumes gets everything that is kept, in order, and a gap for what is not.
	back := subscribe(t, h, hub.Subscription{User: "u", LastEventID: start})
	got := brief(back.poll())
	events := slices.DeleteFunc(slices.Clone(got), func(s string) bool { return s == "connected" || s == "gap" })
	if len(events) > len(want) || !slices.Equal(events, want[len(want)-len(events):]) {
		t.Errorf("got %q of %q", got, want)
	}
	if gap := slices.Contains(got, "gap"); gap != (len(events) < len(want)) || age > time.Hour && gap {
		t.Errorf("got %q of %q", got, want)
	}

	if d := h.Stats().Delay; d.Sum < 0 || d.Sum > age {
		t.Errorf("got the delays %+v", d)
	}
	// What was stored an hour ahead is trimmed an hour later, and nothing else has to happen for that.
	time.Sleep(age + time.Hour + time.Minute)
	synctest.Wait()
	if left := h.Stats(); left.HistoryEvents != 0 || left.HistoryBytes != 0 {
		t.Errorf("past their age, %d events of %d bytes are kept", left.HistoryEvents, left.HistoryBytes)
	}
	publish(t, h, user("u", "last"))
	synctest.Wait()
	wantList(t, appEvents(brief(live.poll())), "last")
}
