package relay

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/problem"
)

// start begins a relay, and returns when the log has it. The same call again is the same relay.
func (r *Registry) start(ctx context.Context, c *Config, q *call) *problem.Problem {
	err := r.await(ctx)
	if err == nil {
		_, err = r.pool.Position(ctx) // what has ended streams of the user in the past does not end this relay
	}
	if err != nil {
		return problem.RetryLater(http.StatusServiceUnavailable, time.Second, "%v", err)
	}
	x, isNew, p := r.reserve(c, q)
	switch {
	case x == nil:
		return p
	case !isNew:
		return x.answer(ctx)
	}
	x.refusal = r.begin(ctx, x)
	close(x.answered)
	return x.refusal
}

// begin stores the begin of a run, and starts the run.
func (r *Registry) begin(ctx context.Context, x *run) *problem.Problem {
	err := r.lease(ctx) // before another node can see the relay
	var result broker.Result
	if err == nil {
		result = r.hub.Publish(ctx, []broker.Record{beginRecord(x.call, r.node)})[0]
		err = result.Err
	}
	if err == nil && result.Repeated {
		err = r.sync(ctx, x.call.id)
	}
	switch {
	case err == nil && (!result.Repeated || r.isLeft(x)):
		go r.run(x)
	default:
		r.drop(x) // if the log has it after all, keep ends it
	}
	switch {
	case err == nil && result.Repeated && !r.knows(x.call.id):
		return problem.New(http.StatusConflict, "the id belongs to an earlier relay, which the log no longer has").OfField("id")
	case err == nil:
		_ = r.hub.Taken(ctx, result.Position) // so that this node knows it when the page comes
		return nil
	case errors.Is(err, broker.ErrKeyReused):
		return errOtherCall()
	case errors.Is(err, broker.ErrFull):
		return problem.New(http.StatusInsufficientStorage, "%v", err)
	}
	return problem.RetryLater(http.StatusServiceUnavailable, time.Second, "%v", err)
}

// isLeft reports whether the log has the begin of a run from an earlier call to this node, which did not learn of it: nobody runs the
// relay. This node knows all that the log has of it.
func (r *Registry) isLeft(x *run) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.index.relays[x.call.id]
	left := k != nil && k.Node == r.node && k.end == Running
	if left {
		r.seen(x)
	}
	return left
}

// reserve makes room for a relay that is about to begin. If there is one with the id already, it returns that one's run, which is
// not new, or nil if another node runs it, or nobody any more. A new run counts as work until drop.
func (r *Registry) reserve(c *Config, q *call) (x *run, isNew bool, p *problem.Problem) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, false, problem.RetryLater(http.StatusServiceUnavailable, time.Second, "the hub is draining")
	}
	if now := r.config.Load(); c.superseded() && (now == nil || !now.gate.Leads(q.request.URL)) { // Apply has cancelled such relays
		return nil, false, errNoOrigin()
	}
	x = r.runs[q.id]
	digest, exists := [16]byte{}, x != nil
	if exists {
		digest = x.call.digest
	}
	left := false // nobody runs it, unless it has just ended: begin finds out
	if k := r.index.relays[q.id]; k != nil {
		left = !exists && k.Node == r.node && k.end == Running
		digest, exists = k.digest, true
	}
	if exists && digest != q.digest {
		return nil, false, errOtherCall()
	}
	if exists && !left {
		return x, false, nil
	}
	unseen := 0
	for _, n := range r.starting {
		unseen += n
	}
	switch {
	case left: // it counts already
	case r.index.open+unseen >= c.settings.Concurrent:
		return nil, false, problem.RetryLater(http.StatusTooManyRequests, time.Second, "%d relays are running (concurrent)", r.index.open+unseen)
	case q.user != "" && r.index.users[q.user]+r.starting[q.user] >= c.settings.PerUser:
		return nil, false, problem.RetryLater(http.StatusTooManyRequests, time.Second, "the user has %d relays running (per_user)", c.settings.PerUser)
	}
	x = newRun(r.ctx, c, q)
	r.runs[q.id] = x
	r.starting[q.user]++
	r.work.Add(1)
	return x, true, nil
}

func errOtherCall() *problem.Problem {
	return problem.New(http.StatusUnprocessableEntity, "the id belongs to a relay with a different request").OfField("id")
}
