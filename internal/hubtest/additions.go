package hubtest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/hub"
)

// additions has an app add topics to a client that reconnects from node to node and over restarts, until the records of that
// have long left every window. No event of the topics is lost.
func additions(t testing.TB, r brokertest.Reporter, h brokertest.Harness) {
	const window = 400
	c := newCluster(t, r, h, 2, window)
	sub := hub.Subscription{User: "added to", ID: "a-client-with-an-id"}
	noise := broker.Record{Targets: []broker.Target{{Kind: broker.User, Name: "somebody else"}}, Data: []byte("noise")}
	var missed []string // published while the client was away
	for round := range 9 {
		i := round % len(c.sites)
		if round%3 == 2 && h.Keeps {
			c.kill(i)
			c.open(i)
		}
		node := c.sites[i].hub
		v := visit(t, node, sub)
		if round == 0 {
			for _, join := range []struct {
				target broker.Target
				topic  string
			}{
				{broker.Target{Kind: broker.User, Name: sub.User}, "added/1"},
				{broker.Target{Kind: broker.Connection, Name: sub.ID}, "added/2"},
			} {
				if there, err := node.Join(t.Context(), join.target, []string{join.topic}); err != nil || !there {
					t.Fatalf("joining: %v, %v", there, err)
				}
			}
		}
		for n := range window / 20 { // in all, half of what a window holds
			v.publish(append([]broker.Record{noise, noise, noise, noise, noise, noise, noise, noise, noise}, v.own(fmt.Sprint("here ", n)))...)
			v.upTo(fmt.Sprint("here ", n))
		}
		for _, data := range missed {
			if n := strings.Count(v.heard, "\n"+data+"\n"); n != 1 {
				r.Errorf("visit %d: %q came %d times", round, data, n)
			}
		}
		if strings.Contains(v.heard, "sse:gap") {
			r.Errorf("visit %d: a false gap: %s", round, v.heard)
		}
		sub.LastEventID = v.last
		v.conn.Close(nil)
		missed = nil
		for _, topic := range []string{"added/1", "added/2"} {
			data := fmt.Sprint(topic, " in round ", round)
			v.publish(broker.Record{Targets: []broker.Target{{Kind: broker.Topic, Name: topic}}, Data: []byte(data)})
			missed = append(missed, data)
		}
	}
}

// visitor is a client that the case moves by hand.
type visitor struct {
	t     testing.TB
	hub   *hub.Hub
	conn  *hub.Conn
	heard string // names of the proxy's own events, and data of others, in lines
	last  string
}

func visit(t testing.TB, h *hub.Hub, sub hub.Subscription) *visitor {
	t.Helper()
	conn, err := h.Subscribe(t.Context(), sub)
	if err != nil {
		t.Fatal(err)
	}
	return &visitor{t: t, hub: h, conn: conn, heard: "\n", last: sub.LastEventID}
}

// own returns an event for the connection alone.
func (v *visitor) own(data string) broker.Record {
	return broker.Record{Targets: []broker.Target{{Kind: broker.Connection, Name: v.conn.ID}}, Data: []byte(data)}
}

func (v *visitor) publish(records ...broker.Record) {
	v.t.Helper()
	for _, result := range v.hub.Publish(v.t.Context(), records) {
		if result.Err != nil {
			v.t.Fatal(result.Err)
		}
	}
}

// upTo reads until an event with some data has come.
func (v *visitor) upTo(data string) {
	v.t.Helper()
	if !brokertest.Until(func() bool {
		frames, _ := v.conn.Next(nil, 64<<10)
		for _, m := range parse(frames) {
			if m.ID != "" {
				v.last = m.ID
			}
			if strings.HasPrefix(m.Type, "sse:") {
				v.heard += m.Type + "\n"
			} else {
				v.heard += m.Data + "\n"
			}
		}
		return strings.Contains(v.heard, "\n"+data+"\n")
	}) {
		v.t.Fatalf("waited in vain for %q; heard: %s", data, v.heard)
	}
}
