package ssepush

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/api"
	"github.com/sse-push/caddy-sse-push/internal/decode"
	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/problem"
)

const (
	// publishTimeout is how long a publish waits for a broker that is busy.
	publishTimeout = 2 * time.Second
	// publishGroup is how many events of a batch go to the broker at a time.
	publishGroup = 256
	// maxGroupBytes bounds their data.
	maxGroupBytes = 1 << 20
)

// published is the answer for one event.
type published struct {
	ID       string           `json:"id,omitempty"`
	Delivery *hub.Delivery    `json:"delivery,omitempty"`
	Error    *problem.Problem `json:"error,omitempty"`

	awaited *awaited // what is to be waited for; nil: nothing
}

// servePublish stores what an app sends, and answers when the broker has it; if it asks for more, once that is known.
func servePublish(w http.ResponseWriter, r *http.Request, theHub *hub.Hub, maxEvent int64) {
	if r.Method != http.MethodPost {
		problem.MethodNotAllowed(http.MethodPost).Write(w)
		return
	}
	d, p := decode.New(r, maxEvent)
	if p != nil {
		p.Write(w)
		return
	}
	d.Answered = true
	answers := publishAll(r.Context(), theHub, d, nil)
	awaitAll(r.Context(), theHub, answers)
	if d.Batch {
		api.WriteJSON(w, http.StatusOK, answers)
		return
	}
	if p := answers[0].Error; p != nil {
		p.Write(w)
		return
	}
	if answers[0].Delivery != nil {
		api.WriteJSON(w, http.StatusOK, answers[0])
		return
	}
	api.WriteBody(w, http.StatusOK, `{"id":"`+answers[0].ID+`"}`) // as it is: a position needs no escaping
}

// publishAll stores the decoder's events, a group at a time, and returns an answer for each. What permits, unless it is nil,
// finds fault with is not stored.
func publishAll(ctx context.Context, theHub *hub.Hub, d *decode.Decoder, permits func(*broker.Record) *problem.Problem) (answers []published) {
	var group []broker.Record
	var places []int // of the group's events in answers
	size := 0
	flush := func() {
		if len(group) == 0 {
			return
		}
		ctx, cancel := context.WithTimeout(ctx, publishTimeout)
		defer cancel()
		for i, result := range publishTraced(ctx, theHub, group) {
			a := &answers[places[i]]
			awaited := a.awaited
			*a = answer(result, d, places[i])
			if awaited.begin(result) {
				a.awaited = awaited
			}
		}
		group, places, size = nil, nil, 0 // the broker owns the records
	}
	for {
		if len(group) >= publishGroup || size >= maxGroupBytes || !d.Ready() {
			flush()
		}
		record, p, ok := d.Next()
		if ok && p == nil && permits != nil {
			p = permits(&record)
		}
		switch {
		case ok && p == nil:
			a := published{awaited: await(d.Wait, theHub, &record)}
			group, places, size = append(group, record), append(places, len(answers)), size+len(record.Data)
			answers = append(answers, a)
		case p != nil:
			answers = append(answers, published{Error: p})
		}
		if !ok {
			flush()
			return answers
		}
	}
}

func answer(r broker.Result, d *decode.Decoder, index int) published {
	if r.Err == nil {
		return published{ID: r.Position.String()}
	}
	var p *problem.Problem
	switch {
	case errors.Is(r.Err, broker.ErrKeyReused):
		p = problem.New(http.StatusUnprocessableEntity, "%v", r.Err).OfField("idempotency_key")
	case errors.Is(r.Err, broker.ErrOverloaded):
		p = problem.RetryLater(http.StatusTooManyRequests, time.Second, "%v", r.Err)
	case errors.Is(r.Err, broker.ErrFull):
		p = problem.New(http.StatusInsufficientStorage, "%v", r.Err)
	default:
		p = problem.RetryLater(http.StatusServiceUnavailable, time.Second, "%v", r.Err)
	}
	if d.Batch {
		p.AtIndex(index)
	}
	return published{Error: p}
}
