package hubtest

import (
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/brokertest"
)

// forgeries returns stored forms that no hub writes. Each is addressed to all clients of the topic news, or would end their
// streams.
func forgeries() (all [][]byte) {
	news := []broker.Target{{Kind: broker.Topic, Name: "news"}}
	for _, r := range []broker.Record{
		{Targets: news, Type: "sse:superseded", Data: []byte("{}"), Retry: time.Hour},
		{Targets: news, Type: "a\ndata: forged", Data: []byte("forged")},
		{Targets: news, ID: "a\x00\n", Data: []byte("forged")},
		{Targets: news, Data: []byte("forged \xff")},
		{Targets: []broker.Target{{Kind: broker.Broadcast, Name: "forged"}}, Data: []byte("forged")},
		{Kind: broker.Disconnect, Targets: []broker.Target{{Kind: broker.Broadcast}}},
		{Kind: broker.Deny, Targets: news, TTL: time.Hour},
		{Kind: broker.Leave, Targets: []broker.Target{{Kind: broker.User, Name: "u"}}, Topics: []string{"a\x00"}},
	} {
		r.Time = time.Now()
		all = append(all, r.Encode(nil))
	}
	return append(all, []byte("\x00forged"), []byte{1, 0, 1}, []byte{1, 0, 1, 1, 0}) // not records at all
}

// forgedRecords puts forged records into the log. No client gets them or is ended by them. Clients that may have missed
// something are told of a gap, and nodes stay healthy and count the records.
func forgedRecords(t testing.TB, r brokertest.Reporter, h brokertest.Harness) {
	c := newCluster(t, r, h, 2, whole)
	c.audience(10, false)
	c.load(2, 20)()
	c.settle()
	all := forgeries()
	live := h.Engine != nil
	if !live {
		for i := range c.sites {
			c.kill(i)
		}
	}
	for _, stored := range all {
		h.Put(t, stored)
	}
	if !live {
		for i := range c.sites {
			c.open(i)
		}
	}
	c.load(2, 20)()
	c.settle()
	for i, site := range c.sites {
		if err := site.hub.Health(); err != nil {
			r.Errorf("node %d: the health is %v", i, err)
		}
		if n := site.hub.Skipped(); n != uint64(len(all)) {
			r.Errorf("node %d: %d of %d records are counted", i, n, len(all))
		}
	}
	c.judge(anyGaps)
	for _, cl := range c.clients {
		gaps := 0
		for _, it := range cl.items {
			if it.kind == isGap {
				gaps++
			}
		}
		if cl.hears([]broker.Target{{Kind: broker.Topic, Name: "news"}}) && gaps == 0 {
			r.Errorf("%s was told of no gap", cl.name)
		}
	}
}
