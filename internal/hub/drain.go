package hub

import (
	"math/rand/v2"
	"time"
)

// drainGrace is how long writers may take for their last bytes.
const drainGrace = time.Second

// Drain refuses new clients and ends every stream, spread over at most longest. Each client is given a retry of its own. Drain
// returns when all have gone, or after drainGrace if some do not take their last bytes.
func (h *Hub) Drain(longest time.Duration) {
	h.admission.close()
	var conns []*Conn
	h.Each(func(c *Conn) { conns = append(conns, c) })
	Release(conns, Draining, longest)
	select {
	case <-h.admission.empty:
	case <-time.After(drainGrace):
	}
}

// Release ends streams for a reason, spread over at most longest: few streams end at once, many are spread out. Each client is
// told when to come back.
func Release(conns []*Conn, reason string, longest time.Duration) {
	rand.Shuffle(len(conns), func(i, j int) { conns[i], conns[j] = conns[j], conns[i] })
	spread := min(longest, Spread(len(conns)))
	start := time.Now()
	for i, c := range conns {
		if wait := time.Until(start.Add(spread * time.Duration(i) / time.Duration(len(conns)))); wait > time.Millisecond {
			time.Sleep(wait)
		}
		c.End(reason, spread)
	}
}
