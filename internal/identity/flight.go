package identity

import (
	"context"
	"errors"

	"github.com/sse-push/caddy-sse-push/internal/fair"
)

// maxQueued is how many questions may wait for a turn.
const maxQueued = 10_000

// flight is a question on its way to the app, shared by all clients about which the app would be asked the same.
type flight struct {
	id     string
	done   chan struct{}      // closed when grant and err are set
	cancel context.CancelFunc // takes the question out of the queue
	grant  *Grant
	err    error

	waiting int  // number of clients; guarded by authorizer.mu
	asked   bool // whether the question has left the queue; guarded by authorizer.mu
}

// board returns the flight of a question, and starts it unless there is one. id tells questions apart.
func (v *authorizer) board(id string, q *question, key answerKey, purges uint64) *flight {
	v.mu.Lock()
	defer v.mu.Unlock()
	f := v.flights[id]
	if f == nil {
		// Time in the queue does not count as the app's. A place is free after one timeout at the latest, so twice as long is
		// enough to outlast an app that does not answer for a while.
		ctx, cancel := context.WithTimeout(context.Background(), 2*v.timeout)
		f = &flight{id: id, done: make(chan struct{}), cancel: cancel}
		v.flights[id] = f
		go v.fly(ctx, f, q, key, purges)
	}
	f.waiting++
	return f
}

// alight removes a client that has left from a flight. A question for which no client waits any more is not asked; one that
// has been asked goes on, since the app works on it all the same.
func (v *authorizer) alight(f *flight) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if f.waiting--; f.waiting == 0 && !f.asked {
		v.forget(f)
		f.cancel()
	}
}

// forget keeps further clients from joining a flight. The caller holds mu.
func (v *authorizer) forget(f *flight) {
	if v.flights[f.id] == f {
		delete(v.flights, f.id)
	}
}

// fly waits for a turn, asks, and keeps the answer.
func (v *authorizer) fly(ctx context.Context, f *flight, q *question, key answerKey, purges uint64) {
	defer f.cancel()
	f.grant, f.err = v.turn(ctx, f, q, key)
	if f.grant != nil {
		v.keep(key, f.grant, purges)
	}
	v.mu.Lock()
	v.forget(f)
	v.mu.Unlock()
	close(f.done)
}

// turn waits until the question may be asked, and asks it.
func (v *authorizer) turn(ctx context.Context, f *flight, q *question, key answerKey) (*Grant, error) {
	switch err := v.queue.Enter(ctx, q.network); {
	case errors.Is(err, fair.ErrFull), errors.Is(err, context.DeadlineExceeded):
		return nil, failing("too many questions to the app are under way")
	case err != nil:
		return nil, errClientLeft
	}
	v.mu.Lock()
	wanted := f.waiting > 0
	f.asked = wanted
	v.mu.Unlock()
	if !wanted {
		v.queue.Leave(q.network)
		return nil, errClientLeft
	}
	if g, _ := v.known(key); g != nil { // another flight has brought an answer meanwhile
		v.queue.Leave(q.network)
		return g, nil
	}
	return v.get(q)
}

var errClientLeft = failing("the client left")

// wait returns the answer to a flight's question, or errClientLeft if the client leaves first.
func (v *authorizer) wait(ctx context.Context, f *flight) (*Grant, error) {
	select {
	case <-f.done:
		return f.grant, f.err
	case <-ctx.Done():
		v.alight(f)
		return nil, errClientLeft
	}
}
