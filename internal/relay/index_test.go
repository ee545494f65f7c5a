package relay

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// A relay whose end the log has lost does not count for ever.
func TestEndThatIsLost(t *testing.T) {
	x := newIndex()
	now := time.Now()
	for id, since := range map[string]time.Time{"old": now.Add(-maxTimeout - kept - time.Second), "here": now.Add(-maxTimeout - kept - time.Second), "new": now} {
		k := &known{id: id, begin: begin{User: "u1"}, since: since, end: Running}
		x.relays[id] = k
		x.count(k, 1)
	}
	gone := x.abandon(now, func(k *known) bool { return k.id == "here" })
	if len(gone) != 1 || gone[0].id != "old" {
		t.Errorf("got %v", gone)
	}
	if len(x.relays) != 2 || x.relays["old"] != nil || x.open != 2 || x.users["u1"] != 2 {
		t.Errorf("got %v, %d open, %v", x.relays, x.open, x.users)
	}
}

// Those who listen to such a relay are told that it was interrupted.
func TestListenersOfALostEnd(t *testing.T) {
	m := sitetest.StartModel(t)
	a, b := twoNodes(t, m, "")
	a.start("chat", m.URL, "")
	m.Next().Answer(200, "text/event-stream").Tokens("x")
	brokertest.Eventually(t, "the other node knows", func() bool { return b.info("chat").Events == 1 })
	r := find(b.Hub)
	conn, err := r.hub.Subscribe(t.Context(), hub.Subscription{Topics: []string{"chat"}})
	if err != nil {
		t.Fatal(err)
	}
	l := &listener{Conn: conn, registry: r, relay: "chat"}
	r.hears("chat", 1)
	defer l.Close(nil)
	r.mu.Lock()
	r.index.relays["chat"].since = time.Now().Add(-maxTimeout - kept - time.Second)
	r.mu.Unlock()
	var got []byte
	brokertest.Eventually(t, "its stream ends", func() bool {
		frames, err := l.Next(nil, 1<<20)
		got = append(got, slices.Concat(frames...)...)
		return err != nil
	})
	if text := string(got); !strings.Contains(text, "event: sse:end\ndata: {\"relay\":\"chat\",\"status\":\"interrupted\"") {
		t.Errorf("got %s", text)
	}
}

// Of relays that have ended, those that take much memory are forgotten sooner.
func TestEndedRelaysAreBoundedInBytes(t *testing.T) {
	x, now := newIndex(), time.Now()
	const many = 20_000
	for i := range many {
		k := &known{id: fmt.Sprint(i), since: now, end: Running, outcome: outcome{Body: strings.Repeat("x", maxErrorBody)}}
		x.relays[k.id] = k
		x.finish(k, &broker.Entry{Record: broker.Record{Time: now}})
	}
	forgotten := x.prune(now)
	if n := len(x.relays); n+len(forgotten) != many || n*maxErrorBody > maxEndedBytes || n < many/2 || x.bytes > maxEndedBytes || x.relays[fmt.Sprint(many-1)] == nil {
		t.Errorf("%d are left, of %d bytes", n, x.bytes)
	}
	if x.prune(now.Add(kept + time.Second)); len(x.relays) != 0 || x.bytes != 0 {
		t.Errorf("%d are left, of %d bytes", len(x.relays), x.bytes)
	}
}
