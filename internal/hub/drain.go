package hub

import (
	"fmt"
	"math/rand/v2"
	"time"
)

const (
	// drainStep is the share of one stream in the time: few streams end at once, many are spread out.
	drainStep = 2 * time.Millisecond
	// maxJitter bounds the part of that time that is added to a client's retry.
	maxJitter = 10 * time.Second
	// drainGrace is how long writers may take for their last bytes.
	drainGrace = time.Second
)

// Drain refuses new clients and ends every stream, spread over at most longest. Each client is given a retry of its own. Drain
// returns when all have gone, or after drainGrace if some do not take their last bytes.
func (h *Hub) Drain(longest time.Duration) {
	h.admission.close()
	var conns []*Conn
	h.Each(func(c *Conn) { conns = append(conns, c) })
	Release(conns, longest)
	select {
	case <-h.admission.empty:
	case <-time.After(drainGrace):
	}
}

// Release ends streams, spread over at most longest, and tells each client when to come back.
func Release(conns []*Conn, longest time.Duration) {
	rand.Shuffle(len(conns), func(i, j int) { conns[i], conns[j] = conns[j], conns[i] })
	spread := min(longest, time.Duration(len(conns))*drainStep)
	start := time.Now()
	for i, c := range conns {
		if wait := time.Until(start.Add(spread * time.Duration(i) / time.Duration(len(conns)))); wait > time.Millisecond {
			time.Sleep(wait)
		}
		retry := time.Second + rand.N(time.Second+min(spread, maxJitter))
		c.End(fmt.Appendf(nil, "retry: %d\n\n", retry.Milliseconds()))
	}
}
