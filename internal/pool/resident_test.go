package pool

import (
	"slices"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

// resident is a Resident that notes what it is told.
type resident struct{ told []string }

func (r *resident) Apply(routes []Route) {
	for _, route := range routes {
		r.told = append(r.told, "apply "+route.Path())
	}
}

func (r *resident) Forget(user string) { r.told = append(r.told, "forget "+user) }
func (r *resident) Close()             { r.told = append(r.told, "close") }

// A resident is told of each config, of those whose streams are ended, and of the end. It outlives configs.
func TestResident(t *testing.T) {
	within(t, func(t *testing.T, p *Hub) {
		r := &resident{}
		get := func() Resident { return p.Resident("r", func(*Hub) Resident { return r }) }
		if get() != r || p.Resident("r", func(*Hub) Resident { return &resident{} }) != r {
			t.Error("it was made twice")
		}
		p.Sources()
		p.apply(p.next(fakeRoute{path: "/clock"}))
		if routes := p.Routes(); len(routes) != 1 || routes[0].Path() != "/clock" {
			t.Errorf("the config in force has the routes %v", routes)
		}
		ctx := t.Context()
		for _, err := range []error{p.DisconnectUser(ctx, "u2"), p.DisconnectTopic(ctx, "room"), p.Deny(ctx, "u3", time.Minute)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		if _, err := p.Leave(ctx, broker.Target{Kind: broker.User, Name: "u4"}, []string{"room"}); err != nil {
			t.Fatal(err)
		}
		p.openRef().Drain()
		if get() != nil {
			t.Error("a hub that ends gets a resident")
		}
		p.openRef().Drain()
		if want := []string{"apply /clock", "forget u2", "forget u3", "close"}; !slices.Equal(r.told, want) {
			t.Errorf("told %q, want %q", r.told, want)
		}
	})
}
