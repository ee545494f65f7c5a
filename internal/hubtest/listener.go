package hubtest

import (
	"sync"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/sse"
)

// listener is one stream that the case itself reads, one event at a time.
type listener struct {
	t     testing.TB
	conn  *hub.Conn
	wake  signal
	close func()        // cuts the stream off, once
	told  []sse.Message // read, and not yet returned by next
	last  string        // the last id
}

// signal is a hub.Waker.
type signal chan struct{}

func (s signal) Wake(bool) {
	select {
	case s <- struct{}{}:
	default:
	}
}

// listen subscribes, and closes the stream at the end.
func listen(t testing.TB, h *hub.Hub, sub hub.Subscription) *listener {
	t.Helper()
	conn, err := h.Subscribe(t.Context(), sub)
	if err != nil {
		t.Fatalf("subscribing: %v", err)
	}
	l := &listener{t: t, conn: conn, wake: make(signal, 1)}
	conn.OnWake(l.wake)
	l.close = sync.OnceFunc(func() { conn.Close(nil) })
	t.Cleanup(l.close)
	return l
}

// next waits for one event. It takes no more from the hub than it has to.
func (l *listener) next() sse.Message {
	l.t.Helper()
	for deadline := time.After(time.Minute); len(l.told) == 0; {
		frames, err := l.conn.Next(nil, 1)
		if err != nil {
			l.t.Fatalf("the stream has ended: %v", err)
		}
		if l.told = parse(frames); len(frames) > 0 {
			continue
		}
		select {
		case <-l.wake:
		case <-deadline:
			l.t.Fatal("no event comes")
		}
	}
	m := l.told[0]
	if l.told = l.told[1:]; m.ID != "" {
		l.last = m.ID
	}
	return m
}

// until reads on to the event with some data, and returns the data of the app's events, and "gap" for each gap.
func (l *listener) until(data string) (list []string) {
	l.t.Helper()
	for {
		switch m := l.next(); {
		case m.Type == "sse:gap":
			list = append(list, "gap")
		case len(m.Type) > 4 && m.Type[:4] == "sse:":
		case m.Data == data:
			return list
		default:
			list = append(list, m.Data)
		}
	}
}

// tell publishes records in one batch, and returns their positions.
func tell(t testing.TB, h *hub.Hub, records ...broker.Record) (positions []broker.Position) {
	t.Helper()
	for _, res := range h.Publish(t.Context(), records) {
		if res.Err != nil {
			t.Fatalf("publishing: %v", res.Err)
		}
		positions = append(positions, res.Position)
	}
	return positions
}

// about returns an event for a topic.
func about(topic, data string) broker.Record {
	return broker.Record{Targets: []broker.Target{{Kind: broker.Topic, Name: topic}}, Data: []byte(data)}
}
