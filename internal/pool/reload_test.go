package pool

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/identity"
)

// fakeRoute is a route that lets in pages of one origin, and grants some topics.
type fakeRoute struct {
	path, page              string
	topics                  []string
	heartbeat, writeTimeout time.Duration
}

func (f fakeRoute) Path() string           { return f.path }
func (f fakeRoute) Admits(a *Arrival) bool { return f.page == a.Page }
func (f fakeRoute) Forget(string)          {}

func (f fakeRoute) Grants(*Arrival, string) identity.Identity {
	return identity.Identity{Topics: f.topics}
}

func (f fakeRoute) Timing() (heartbeat, writeTimeout time.Duration) {
	return f.heartbeat, f.writeTimeout
}

// next returns a config that is newer than the one in force.
func (p *Hub) next(routes ...Route) *config {
	return &config{
		generation: p.config.Load().generation + 1, settings: Settings{Hub: p.Name}, routes: routes, log: zap.NewNop(),
	}
}

// A connection outlives a reload if a route of its path still lets it in, with the topics that those routes grant together.
func TestReloadRechecksConnections(t *testing.T) {
	within(t, func(t *testing.T, p *Hub) {
		var conns []*hub.Conn
		admit := func(path, page string) *hub.Conn {
			c, err := p.admit(t.Context(), p.Hub, &Arrival{Path: path, Page: page}, hub.Subscription{Topics: []string{"a", "b", "c"}})
			if err != nil {
				t.Fatal(err)
			}
			conns = append(conns, c)
			return c
		}
		stays, page, path := admit("/events", "one"), admit("/events", "other"), admit("/gone", "one")
		before := p.config.Load()
		p.apply(p.next(
			fakeRoute{path: "/events", page: "one", topics: []string{"a"}},
			fakeRoute{path: "/events", page: "one", topics: []string{"c"}},
			fakeRoute{path: "/events", page: "nobody", topics: []string{"b"}},
			fakeRoute{path: "/else", page: "one", topics: []string{"b"}},
		))
		time.Sleep(defaultDrain)
		synctest.Wait()
		if !page.Ended() || !path.Ended() || stays.Ended() {
			t.Errorf("ended: %v for another page, %v for another path, %v for the one that may stay", page.Ended(), path.Ended(), stays.Ended())
		}
		if info, _ := p.Connection(stays.ID); !slices.Equal(info.Topics, []string{"a", "c"}) {
			t.Errorf("it has the topics %q", info.Topics)
		}

		late := admit("/gone", "one")
		p.recheck(late, p.config.Load())
		if late.Ended() {
			t.Error("a connection that the config in force has admitted is checked again")
		}
		p.recheck(late, before)
		if !late.Ended() {
			t.Error("a connection that an earlier config has admitted meanwhile stays")
		}
		for _, c := range conns {
			c.Close(nil)
		}
	})
}

// Streams of routes with the same path get the shortest heartbeat and the longest write timeout, open ones as well.
func TestReloadRetimesStreams(t *testing.T) {
	within(t, func(t *testing.T, p *Hub) {
		first := fakeRoute{path: "/events", heartbeat: 20 * time.Second, writeTimeout: 10 * time.Second}
		timing := p.timing(first)
		p.apply(p.next(first, fakeRoute{path: "/events", heartbeat: 5 * time.Second, writeTimeout: time.Minute}))
		if got := p.timing(first); got != timing {
			t.Error("open streams keep a timing of their own")
		}
		if timing.Heartbeat() != 5*time.Second || timing.WriteTimeout() != time.Minute {
			t.Errorf("got %s and %s", timing.Heartbeat(), timing.WriteTimeout())
		}
	})
}
