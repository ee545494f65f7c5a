package hub

import (
	"fmt"
	"math/rand/v2"
	"time"
)

const (
	// drainStep is how much of the time a single stream gets: few are closed at once, many are spread out.
	drainStep = 2 * time.Millisecond
	// drainGrace is how long writers may take for their last bytes.
	drainGrace = time.Second
)

// Drain refuses new clients and ends every stream, spread over a time of at most longest. Each client is told
// a time of its own to come back after. It returns when they have gone, or some time later where one does
// not take its last bytes.
func (h *Hub) Drain(longest time.Duration) {
	h.admission.close()
	var conns []*Conn
	h.each(func(c *Conn) { conns = append(conns, c) })
	rand.Shuffle(len(conns), func(i, j int) { conns[i], conns[j] = conns[j], conns[i] })
	spread := min(longest, time.Duration(len(conns))*drainStep)
	start := time.Now()
	for i, c := range conns {
		if wait := time.Until(start.Add(spread * time.Duration(i) / time.Duration(len(conns)))); wait > time.Millisecond {
			time.Sleep(wait)
		}
		retry := time.Second + rand.N(time.Second+spread)
		c.End(fmt.Appendf(nil, "retry: %d\n\n", retry.Milliseconds()))
	}
	select {
	case <-h.admission.empty:
	case <-time.After(drainGrace):
	}
}
