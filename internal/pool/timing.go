package pool

import (
	"time"

	"github.com/sse-push/caddy-sse-push/internal/stream"
)

// timing returns the Timing that the streams of a route share. A reload changes it for open streams as well.
func (p *Hub) timing(route Route) *stream.Timing {
	t, ok := p.timings.Load(route.Path())
	if !ok {
		t, _ = p.timings.LoadOrStore(route.Path(), stream.NewTiming(route.Timing()))
	}
	return t.(*stream.Timing)
}

// retime applies the durations of a config's routes. If routes of several sites have the same path, the shortest heartbeat
// and the longest write timeout hold for all of them.
func (p *Hub) retime(routes []Route) {
	type durations struct{ heartbeat, writeTimeout time.Duration }
	of := map[string]durations{} // of the routes with a path
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
