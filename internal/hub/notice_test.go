package hub_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/membroker"
	"github.com/sse-push/caddy-sse-push/internal/hub"
)

// noticesOf returns notices to topics below a folder.
func noticesOf(n int) (records []broker.Record) {
	for i := range n {
		records = append(records, broker.Record{Targets: []broker.Target{{Kind: broker.Topic, Name: "/who/" + strconv.Itoa(i)}}, Data: []byte("x")})
	}
	return records
}

// Notices find no room where they would push out what apps have published: half of the history while the rest is free, and a twentieth
// once it is not. Who has asked for them hears each, and nothing else.
func TestNotices(t *testing.T) {
	h := hub.New("test", membroker.Open(), hub.Settings{History: hub.History{Events: 100, Bytes: 1 << 20, Age: time.Hour}})
	defer func() { _ = h.Close() }()
	var heard int
	h.OnNotices("/who/", func(*broker.Entry) { heard++ })
	notify := func(want int) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if n, err := h.Notify(ctx, noticesOf(200)); n != want || err != nil {
			t.Errorf("stored %d, %v, want %d", n, err, want)
		}
	}
	publish := func(n int) {
		t.Helper()
		for range n {
			r := h.Publish(t.Context(), []broker.Record{
				{Targets: []broker.Target{{Kind: broker.Topic, Name: "a"}}}, {Targets: []broker.Target{{Kind: broker.Topic, Name: "/who/public"}}, Public: true},
			})
			if r[0].Err != nil || r[1].Err != nil {
				t.Fatal(r)
			}
		}
	}
	notify(50)
	notify(0)
	publish(60) // they push out all that was there
	notify(5)
	notify(0)
	publish(50)
	notify(5)
	if heard != 60 {
		t.Errorf("%d were heard, want 60", heard)
	}
}
