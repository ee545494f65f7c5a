// Package ledger tracks what a node has appended, for brokers whose engine can lose what it acknowledged.
package ledger

import (
	"sync"

	"github.com/sse-push/caddy-sse-push/broker"
)

// Ledger holds a node's appends until its tail has read them back. An append that was acknowledged, and that the tail passes
// without having read it, is lost, even if the tail's own last entry is still there. The zero value tracks nothing until
// Start.
type Ledger struct {
	mu    sync.Mutex // guards all below
	on    bool
	open  map[string]*item // by token
	order []*item          // the acknowledged ones, about in the log's order
	top   broker.Position  // the highest acknowledged
}

type item struct {
	token string
	at    broker.Position // zero: not acknowledged yet
	seen  bool
}

// Start begins to track appends. Earlier ones are ignored.
func (l *Ledger) Start() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.on, l.open, l.order, l.top = true, map[string]*item{}, nil, broker.Position{}
}

// Stop ends the tracking.
func (l *Ledger) Stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.on, l.open, l.order = false, nil, nil
}

// Begin notes records that are about to be sent. A token is what the tail recognises a record by.
func (l *Ledger) Begin(tokens []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.on {
		for _, token := range tokens {
			if l.open[token] == nil { // otherwise an idempotency key is used again before the tail has read its first use
				l.open[token] = &item{token: token}
			}
		}
	}
}

// End notes the results of records that were noted by Begin.
func (l *Ledger) End(tokens []string, results []broker.Result) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, token := range tokens {
		k := l.open[token]
		switch r := results[i]; {
		case k == nil || !k.at.IsZero():
		case k.seen, r.Err != nil, r.Repeated:
			delete(l.open, token)
		default:
			k.at = r.Position
			l.order = append(l.order, k)
			if k.at.Epoch != l.top.Epoch || l.top.Compare(k.at) < 0 {
				l.top = k.at
			}
		}
	}
}

// Read notes that the tail has read an entry.
func (l *Ledger) Read(token string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k := l.open[token]; k != nil {
		k.seen = true
		if !k.at.IsZero() {
			delete(l.open, token)
		}
	}
}

// Highest returns the highest position acknowledged. To compare it with the log's end, call Highest before you ask for
// the end.
func (l *Ledger) Highest() broker.Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.top
}

// Passed notes that the tail has come to p, and reports whether it has passed an append without having read it. rank orders
// epochs, and returns -1 for one that is unknown. Appends in an epoch older than p's are covered by a hole already.
func (l *Ledger) Passed(p broker.Position, rank func(epoch uint64) int) (lost bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.order) == 0 {
		return false
	}
	here, n := rank(p.Epoch), 0
	for _, k := range l.order {
		if k.at.Epoch == p.Epoch {
			if p.Compare(k.at) < 0 {
				break
			}
			lost = lost || !k.seen
		} else if rank(k.at.Epoch) > here {
			break
		}
		n++
	}
	for _, k := range l.order[:n] {
		if l.open[k.token] == k {
			delete(l.open, k.token)
		}
	}
	clear(l.order[:n])
	if l.order = l.order[n:]; len(l.order) == 0 {
		l.order = nil
	}
	return lost
}

// Forget drops all appends acknowledged so far: a hole covers them.
func (l *Ledger) Forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for token, k := range l.open {
		if !k.at.IsZero() {
			delete(l.open, token)
		}
	}
	l.order, l.top = nil, broker.Position{}
}
