// Package publish stores the events of a request in groups, and waits for their delivery if the publisher asks for it.
package publish

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/decode"
	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/patience"
	"github.com/sse-push/caddy-sse-push/internal/problem"
)

// Timeout is how long a publish waits for a busy broker.
const Timeout = 2 * time.Second

// Answer is the answer for one event.
type Answer struct {
	ID       string           `json:"id,omitempty"`
	Delivery *hub.Delivery    `json:"delivery,omitempty"`
	Error    *problem.Problem `json:"error,omitempty"`

	awaited *awaited // nil: not waited for
}

// All stores the decoder's events, a group at a time, and returns an answer for each. It does not store events for which
// permits, if not nil, returns a problem.
func All(ctx context.Context, theHub *hub.Hub, d *decode.Decoder, permits func(*broker.Record) *problem.Problem) (answers []Answer) {
	g := groups.Get().(*group)
	for {
		if g.full() || !d.Ready() {
			g.store(ctx, theHub, d, answers)
		}
		record, p, ok := d.Next()
		if ok && p == nil {
			r := g.add(record, len(answers))
			if permits != nil {
				p = permits(r)
			}
			if p == nil {
				p = forbidden(theHub, r, d, len(answers))
			}
			if p == nil {
				answers = append(answers, Answer{awaited: follow(d.Wait, theHub, r)})
			} else {
				g.drop()
			}
		}
		if p != nil {
			answers = append(answers, Answer{Error: p})
		}
		if !ok {
			g.store(ctx, theHub, d, answers)
			groups.Put(g)
			return answers
		}
	}
}

// One stores a record that the caller has made and checked, and returns its position.
func One(ctx context.Context, theHub *hub.Hub, record broker.Record) (broker.Position, *problem.Problem) {
	timed := patience.New(ctx, Timeout)
	defer timed.Stop()
	result := store(timed, theHub, []broker.Record{record})[0]
	if result.Err != nil {
		return broker.Position{}, refusal(result.Err)
	}
	return result.Position, nil
}

// forbidden returns the problem of an event that the hub keeps for another protocol; nil for any other. index is its place in the batch.
func forbidden(theHub *hub.Hub, r *broker.Record, d *decode.Decoder, index int) *problem.Problem {
	field, err := theHub.Forbidden(r)
	if err == nil {
		return nil
	}
	p := problem.Field(field, "%v", err)
	if d.Batch {
		p.AtIndex(index)
	}
	return p
}

// answerTo returns the answer for an event that the broker has stored or refused. index is its place in the batch.
func answerTo(r broker.Result, d *decode.Decoder, index int) Answer {
	if r.Err == nil {
		return Answer{ID: r.Position.String()}
	}
	p := refusal(r.Err)
	if d.Batch {
		p.AtIndex(index)
	}
	return Answer{Error: p}
}

// refusal returns the problem of an event that the broker has not stored, or not for sure.
func refusal(err error) *problem.Problem {
	switch {
	case errors.Is(err, broker.ErrKeyReused):
		return problem.New(http.StatusUnprocessableEntity, "%v", err).OfField("idempotency_key")
	case errors.Is(err, broker.ErrOverloaded):
		return problem.RetryLater(http.StatusTooManyRequests, time.Second, "%v", err)
	case errors.Is(err, broker.ErrTooLarge):
		return problem.New(http.StatusRequestEntityTooLarge, "%v", err)
	case errors.Is(err, broker.ErrFull):
		return problem.New(http.StatusInsufficientStorage, "%v", err)
	}
	return problem.RetryLater(http.StatusServiceUnavailable, time.Second, "%v", err)
}
