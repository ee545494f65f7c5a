package pool

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/identity"
)

// A ticket for one use lets in one client at a time, which may come back.
func TestOnce(t *testing.T) {
	within(t, func(t *testing.T, p *Hub) {
		admit := func(once string) (*hub.Conn, error) {
			return p.admit(context.Background(), p.Hub, &Arrival{Grant: &identity.Grant{User: "u1", Once: once}}, hub.Subscription{User: "u1"})
		}
		refused := func(err error) bool {
			var r *hub.Refusal
			return errors.As(err, &r) && r.Reason == "in_use"
		}
		first, err := admit("x")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := admit("x"); !refused(err) {
			t.Errorf("replayed: got %v", err)
		}
		other, err := admit("y")
		if err != nil {
			t.Errorf("another ticket: %v", err)
		}
		first.Close(nil)
		again, err := admit("x")
		if err != nil {
			t.Fatalf("back again: %v", err)
		}
		if _, err := admit("x"); !refused(err) {
			t.Errorf("replayed again: got %v", err)
		}
		again.Close(nil)
		other.Close(nil)
		if len(held.by) != 0 {
			t.Errorf("held still: %v", held.by)
		}
	})
}

// A grant can limit how many connections its user has.
func TestGrantedLimit(t *testing.T) {
	within(t, func(t *testing.T, p *Hub) {
		admit := func() (*hub.Conn, error) {
			return p.admit(context.Background(), p.Hub, &Arrival{Grant: &identity.Grant{User: "u1", Limit: 2}}, hub.Subscription{User: "u1"})
		}
		var conns []*hub.Conn
		for range 2 {
			c, err := admit()
			if err != nil {
				t.Fatal(err)
			}
			conns = append(conns, c)
		}
		var r *hub.Refusal
		if _, err := admit(); !errors.As(err, &r) || r.Reason != "per_user" {
			t.Errorf("one too many: got %v", err)
		}
		if n := p.UserHere("u1"); n != 2 {
			t.Errorf("%d are connected", n)
		}
		conns[0].Close(nil)
		c, err := admit()
		if err != nil {
			t.Errorf("a place is free: got %v", err)
		}
		for _, c := range []*hub.Conn{c, conns[1]} {
			c.Close(nil)
		}
	})
}

// Nothing is left of a stream that ends before its grant.
func TestLeaverIsForgotten(t *testing.T) {
	p := newTestHub()
	defer p.Close()
	a := &Arrival{Grant: &identity.Grant{User: "u1", Expires: time.Now().Add(time.Hour)}}
	c, err := p.admit(t.Context(), p.Hub, a, hub.Subscription{User: "u1"})
	if err != nil {
		t.Fatal(err)
	}
	if a.deadline == nil || a.deadline.place < 0 {
		t.Error("the stream would not end")
	}
	c.Close(nil)
	if a.deadline.place >= 0 {
		t.Error("its deadline is kept")
	}
}
