package redisbroker

import (
	"sync"

	"github.com/sse-push/caddy-sse-push/broker"
)

// acks are this node's appends until its tail has read them back. One that was acknowledged and that the tail passes
// without seeing it has been lost, though the tail's own last entry may still be there.
type acks struct {
	mu    sync.Mutex // guards all below
	on    bool
	open  map[string]*ack // by token
	order []*ack          // the acknowledged ones, about in the log's order
	top   broker.Position // the highest acknowledged
}

type ack struct {
	token string
	at    broker.Position // zero: not acknowledged yet
	seen  bool
}

// start begins to keep account. What was appended before is not asked for.
func (a *acks) start() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.on, a.open, a.order, a.top = true, map[string]*ack{}, nil, broker.Position{}
}

func (a *acks) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.on, a.open, a.order = false, nil, nil
}

// begin is called before an append is sent.
func (a *acks) begin(group []stored) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.on {
		for _, s := range group {
			a.open[s.token] = &ack{token: s.token}
		}
	}
}

// end is called when an append's outcome is known, or will not be.
func (a *acks) end(group []stored, results []broker.Result) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, s := range group {
		k := a.open[s.token]
		switch r := results[i]; {
		case k == nil:
		case k.seen, r.Err != nil, r.Repeated:
			delete(a.open, s.token)
		default:
			k.at = r.Position
			a.order = append(a.order, k)
			if k.at.Epoch != a.top.Epoch || a.top.Compare(k.at) < 0 {
				a.top = k.at
			}
		}
	}
}

// read is called for each entry that the tail has read.
func (a *acks) read(token string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if k := a.open[token]; k != nil {
		k.seen = true
		if !k.at.IsZero() {
			delete(a.open, token)
		}
	}
}

// highest is the highest position acknowledged.
func (a *acks) highest() broker.Position {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.top
}

// passed is called when the tail has come to p, and reports whether it has passed an append that it has not seen.
func (a *acks) passed(p broker.Position, all epochs) (lost bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	here, n := all.find(p.Epoch), 0
	for _, k := range a.order {
		if k.at.Epoch == p.Epoch {
			if p.Compare(k.at) < 0 {
				break
			}
			lost = lost || !k.seen
		} else if all.find(k.at.Epoch) > here {
			break
		}
		n++
	}
	for _, k := range a.order[:n] {
		delete(a.open, k.token)
	}
	clear(a.order[:n])
	if a.order = a.order[n:]; len(a.order) == 0 {
		a.order = nil
	}
	return lost
}

// forget drops what has been acknowledged so far: a hole covers it.
func (a *acks) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for token, k := range a.open {
		if !k.at.IsZero() {
			delete(a.open, token)
		}
	}
	a.order, a.top = nil, broker.Position{}
}
