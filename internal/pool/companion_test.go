package pool

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/identity"
)

// openRef returns a Ref of a hub that is open, with the hub's present config.
func (p *Hub) openRef() *Ref {
	r := &Ref{config: *p.config.Load(), hub: p, ready: make(chan struct{})}
	close(r.ready)
	return r
}

// A stream in a companion outlives a reload if a route of its path still lets it in, whatever that route grants.
func TestReloadRechecksCompanions(t *testing.T) {
	within(t, func(t *testing.T, p *Hub) {
		route := fakeRoute{path: "/clock", page: "one", heartbeat: time.Minute}
		admit := func(path, page string) *hub.Conn {
			sub := hub.Subscription{Topics: []string{"s1"}, ID: "a-name-of-its-own"}
			c, _, err := p.openRef().AdmitBeside(t.Context(), p.Sources(), route, &Arrival{Path: path, Page: page}, sub)
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		conns := []*hub.Conn{admit("/clock", "one"), admit("/clock", "other"), admit("/gone", "one")}
		p.apply(p.next(route))
		time.Sleep(defaultDrain)
		synctest.Wait()
		var ended []bool
		for _, c := range conns {
			ended = append(ended, c.Ended())
		}
		if !slices.Equal(ended, []bool{false, true, true}) {
			t.Errorf("ended: %v", ended)
		}
		if info, _ := p.Connection(conns[0].ID); !slices.Equal(info.Topics, []string{"s1"}) {
			t.Errorf("the one that stays has the topics %q", info.Topics)
		}
		for _, c := range conns {
			c.Close(nil)
		}
		if n := openStreams.Load(); n != 0 {
			t.Errorf("%d streams are counted still", n)
		}
	})
}

// The limit and the end of a grant hold for streams in a companion as well.
func TestGrantInCompanion(t *testing.T) {
	within(t, func(t *testing.T, p *Hub) {
		a := func() *Arrival {
			return &Arrival{Grant: &identity.Grant{User: "u1", Limit: 1, Expires: time.Now().Add(time.Minute)}}
		}
		sub := hub.Subscription{User: "u1", Topics: []string{"s1"}}
		route := fakeRoute{heartbeat: time.Minute}
		c, _, err := p.openRef().AdmitBeside(t.Context(), p.Sources(), route, a(), sub)
		if err != nil {
			t.Fatal(err)
		}
		var r *hub.Refusal
		if _, err := p.admit(t.Context(), p.Hub, a(), sub); !errors.As(err, &r) || r.Reason != "per_user" {
			t.Errorf("one too many: got %v", err)
		}
		time.Sleep(time.Minute + time.Second)
		synctest.Wait()
		if !c.Ended() {
			t.Error("the stream outlives its grant")
		}
		c.Close(nil)
	})
}
