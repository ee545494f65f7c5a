package identity

import (
	"context"
	"errors"

	"github.com/sse-push/caddy-sse-push/internal/fair"
)

// maxQueued is how many questions wait for a turn at once.
const maxQueued = 10_000

// flight is a question on its way to the app, for all clients that would ask the same.
type flight struct {
	id     string
	done   chan struct{}      // closed when grant and err are set
	cancel context.CancelFunc // takes it out of the queue
	grant  *Grant
	err    error

	waiting int  // clients, guarded by authorizer.mu
	asked   bool // it has left the queue, guarded by authorizer.mu
}

// board returns the flight for a question, which starts now unless there is one already. id tells questions apart.
func (v *authorizer) board(id string, q *question, key answerKey, purged uint64) *flight {
	v.mu.Lock()
	defer v.mu.Unlock()
	f := v.flights[id]
	if f == nil {
		// Time in the queue is not the app's. A place is free after one timeout at the latest, so twice as long is enough to
		// outlast an app that answers nobody for a while.
		ctx, cancel := context.WithTimeout(context.Background(), 2*v.timeout)
		f = &flight{id: id, done: make(chan struct{}), cancel: cancel}
		v.flights[id] = f
		go v.fly(ctx, f, q, key, purged)
	}
	f.waiting++
	return f
}

// alight is called for a client that has left before the answer. A question that nobody waits for is not asked; one that
// has been asked is left to end, since the app works on it all the same.
func (v *authorizer) alight(f *flight) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if f.waiting--; f.waiting == 0 && !f.asked {
		v.forget(f)
		f.cancel()
	}
}

// forget keeps further clients from joining a flight. It is called with mu held.
func (v *authorizer) forget(f *flight) {
	if v.flights[f.id] == f {
		delete(v.flights, f.id)
	}
}

// fly waits for a turn and asks.
func (v *authorizer) fly(ctx context.Context, f *flight, q *question, key answerKey, purged uint64) {
	defer f.cancel()
	f.grant, f.err = v.turn(ctx, f, q, key)
	if f.grant != nil {
		v.keep(key, f.grant, purged)
	}
	v.mu.Lock()
	v.forget(f)
	v.mu.Unlock()
	close(f.done)
}

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
	if g, _ := v.known(key); g != nil { // an answer has come meanwhile
		v.queue.Leave(q.network)
		return g, nil
	}
	return v.get(q)
}

var errClientLeft = failing("the client left")

// wait returns what a flight has brought, unless the client leaves before.
func (v *authorizer) wait(ctx context.Context, f *flight) (*Grant, error) {
	select {
	case <-f.done:
		return f.grant, f.err
	case <-ctx.Done():
		v.alight(f)
		return nil, errClientLeft
	}
}
