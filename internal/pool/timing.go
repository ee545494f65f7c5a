package pool

import (
	"time"

	"github.com/sse-push/caddy-sse-push/internal/stream"
)

// timing returns what the streams of a route are held by.
func (p *Hub) timing(route Route) *stream.Timing {
	t, ok := p.timings.Load(route.Path())
	if !ok {
		t, _ = p.timings.LoadOrStore(route.Path(), stream.NewTiming(route.Timing()))
	}
	return t.(*stream.Timing)
}

// retime sets what streams are held by. Where several routes have the same path, on several sites, each of them gets
// the heartbeats that it asks for, and as long for a write.
func (p *Hub) retime(routes []Route) {
	type durations struct{ heartbeat, writeTimeout time.Duration }
	of := map[string]durations{}
	for _, route := range routes {
		heartbeat, writeTimeout := route.Timing()
		d, ok := of[route.Path()]
		if !ok || heartbeat < d.heartbeat {
			d.heartbeat = heartbeat
		}
		d.writeTimeout = max(d.writeTimeout, writeTimeout)
		of[route.Path()] = d
		p.timing(route)
	}
	p.timings.Range(func(path, t any) bool {
		if d, ok := of[path.(string)]; ok {
			t.(*stream.Timing).Set(d.heartbeat, d.writeTimeout)
		} else {
			p.timings.Delete(path)
		}
		return true
	})
}
