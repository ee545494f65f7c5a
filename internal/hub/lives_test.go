package hub_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/filebroker"
	"github.com/sse-push/caddy-sse-push/broker/membroker"
	"github.com/sse-push/caddy-sse-push/internal/hub"
)

// A client that resumes from an id of any earlier life of the log gets exactly what it missed, from the window or the broker.
func TestResumeFromEveryLife(t *testing.T) {
	t.Parallel()
	const lives = 40
	for _, window := range []int{1000, 30, 5, 0} {
		t.Run(fmt.Sprint("window of ", window), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			var ids []broker.Position
			for i := range lives {
				b, err := filebroker.Open(dir, filebroker.Options{Sync: filebroker.Never})
				if err != nil {
					t.Fatal(err)
				}
				h := hub.New("test", b, settings(window, 1<<20))
				t.Cleanup(func() { _ = h.Close() })
				ids = append(ids, publish(t, h, user("u1", fmt.Sprint(i))))
				if i < lives-1 {
					_ = h.Close()
					continue
				}
				for _, had := range []int{lives - 2, lives - 7, lives - 18, lives / 2, 3, 0} {
					want := []string{"connected"}
					for n := had + 1; n < lives; n++ {
						want = append(want, fmt.Sprint(n))
					}
					wantList(t, resumed(t, h, ids[had], fmt.Sprint(lives-1)), want...)
				}
			}
		})
	}
}

// rolledBack is a log of 20 entries that has lost the end of its life 7, after the tenth entry, and has gone on in life 8. Tail
// does not know that at first: it hands on the old life up to its twelfth entry, and waits.
type rolledBack struct {
	broker.Broker
	catchUp chan struct{} // closed when Tail may go on
}

func (l rolledBack) entries(from, to uint64) (list []broker.Entry) {
	for n := from; n <= to; n++ {
		e := broker.Entry{Position: broker.Position{Epoch: 7, Minor: n}, Record: user("u1", fmt.Sprint(n))}
		if n > 10 {
			e.Position.Epoch = 8
		}
		if n == 11 {
			e.Record = broker.Record{Kind: broker.Hole}
		}
		e.Record.Time = time.Now()
		list = append(list, e)
	}
	return list
}

func (l rolledBack) Tail(ctx context.Context, _ int, to broker.Sink) error {
	to.Begin(broker.Position{Epoch: 7})
	to.Deliver(append(l.entries(1, 10),
		broker.Entry{Position: broker.Position{Epoch: 7, Minor: 11}, Record: user("u1", "lost 11")},
		broker.Entry{Position: broker.Position{Epoch: 7, Minor: 12}, Record: user("u1", "lost 12")}))
	to.State(nil)
	select {
	case <-l.catchUp:
		to.Deliver(l.entries(11, 12)) // from here on the new life is known, but not yet the client's id
		time.Sleep(time.Second)
		to.Deliver(l.entries(13, 20))
	case <-ctx.Done():
	}
	<-ctx.Done()
	return ctx.Err()
}

func (l rolledBack) Resolve(_ context.Context, p broker.Position) (broker.Standing, error) {
	switch {
	case p.Epoch == 7 && p.Minor <= 10, p.Epoch == 8 && p.Minor > 10 && p.Minor <= 20:
		return broker.Exact, nil
	case p.Epoch == 7:
		return broker.Lost, nil
	}
	return broker.Unknown, nil
}

func (l rolledBack) Read(ctx context.Context, after, upTo broker.Position, limit int) ([]broker.Entry, error) {
	for _, p := range []broker.Position{after, upTo} {
		switch s, _ := l.Resolve(ctx, p); s {
		case broker.Lost:
			return nil, broker.ErrLost
		case broker.Unknown:
			return nil, broker.ErrUnknown
		}
	}
	list := l.entries(after.Minor+1, upTo.Minor)
	return list[:min(limit, len(list))], nil
}

// A node may learn of a rollback later than a client that was connected elsewhere. The client waits for it, and gets exactly
// what it has missed.
func TestResumeOnANodeThatLagsBehindARollback(t *testing.T) {
	seventh, fifteenth := broker.Position{Epoch: 7, Minor: 7}.String(), broker.Position{Epoch: 8, Minor: 15}.String()
	for name, sub := range map[string]hub.Subscription{
		"one id":      {User: "u1", LastEventID: fifteenth},
		"an older id": {User: "u1", LastEventID: seventh, OtherIDs: []string{fifteenth}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := rolledBack{membroker.Open(), make(chan struct{})}
				h := hub.New("test", l, settings(100, 1<<20))
				t.Cleanup(func() { _ = h.Close() })
				synctest.Wait()
				time.AfterFunc(time.Second, func() { close(l.catchUp) })
				wantList(t, collect(subscribe(t, h, sub), "20"), "connected", "16", "17", "18", "19", "20")
			})
		})
	}
}

// A position in a life of the log that this node has not read does not count as taken.
func TestTakenWaitsForANewLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := rolledBack{membroker.Open(), make(chan struct{})}
		h := hub.New("test", l, settings(100, 1<<20))
		t.Cleanup(func() { _ = h.Close() })
		synctest.Wait()
		r := subscribe(t, h, hub.Subscription{User: "u1"})
		r.poll()
		time.AfterFunc(time.Second, func() { close(l.catchUp) })
		if err := h.Taken(t.Context(), broker.Position{Epoch: 8, Minor: 20}); err != nil {
			t.Fatal(err)
		}
		if n := r.conn.Waiting(); n != 10 {
			t.Errorf("%d events wait, want 10", n)
		}
	})
}
