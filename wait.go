package ssepush

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/problem"
)

const (
	defaultWait = time.Second
	maxWait     = 10 * time.Second
	maxWaits    = 1000 // events of a request that are waited for
)

// wait is what a publisher wants to know of an event's way to the connections, beside that the broker has it.
type wait struct {
	until   string // "matched", "written"; "" for nothing
	timeout time.Duration
}

// set takes a field, or a parameter of the query.
func (w *wait) set(name, text string) error {
	switch name {
	case "wait":
		if text != "matched" && text != "written" {
			return errors.New("must be matched or written")
		}
		w.until = text
	case "timeout":
		d, err := caddy.ParseDuration(text)
		if err != nil || d <= 0 || d > maxWait {
			return fmt.Errorf("must be a duration of up to %s, such as 500ms", maxWait)
		}
		w.timeout = d
	}
	return nil
}

// or returns w with what it leaves open taken from another.
func (w wait) or(other wait) wait {
	if w.until == "" {
		w.until = other.until
	}
	if w.timeout == 0 {
		w.timeout = other.timeout
	}
	return w
}

// takeWait takes wait and timeout out of a query, and returns the rest of it.
func (w *wait) takeWait(query string) (rest string, p *problem.Problem) {
	if query == "" {
		return "", nil
	}
	var others []string
	given := wait{}
	for pair := range strings.SplitSeq(query, "&") {
		name, text, _ := strings.Cut(pair, "=")
		if name != "wait" && name != "timeout" {
			others = append(others, pair)
			continue
		}
		if name == "wait" && given.until != "" || name == "timeout" && given.timeout != 0 {
			return "", problem.Field(name, "given twice")
		}
		plain, err := url.QueryUnescape(text)
		if err != nil {
			return "", problem.Field(name, "has a broken percent-encoding")
		}
		if err := given.set(name, plain); err != nil {
			return "", problem.Field(name, "%s", err)
		}
	}
	*w = given
	return strings.Join(others, "&"), nil
}

// expect completes what an item of a request is waited for, and holds it against the request's bounds.
func (d *decoder) expect(own wait) *problem.Problem {
	d.wait = own.or(d.waits)
	switch {
	case d.wait.until == "" && d.wait.timeout == 0:
		return nil
	case d.wait.until == "":
		return problem.Field("timeout", "goes with wait")
	case !d.answered:
		return problem.Field("wait", "there is nobody to be told")
	case d.waited == maxWaits:
		return problem.Field("wait", "a request must not ask it for more than %d events", maxWaits)
	}
	d.waited++
	if d.wait.timeout == 0 {
		d.wait.timeout = defaultWait
	}
	return nil
}

// awaited is an event that is followed.
type awaited struct {
	wait    wait
	receipt *hub.Receipt
	end     time.Time
}

// await has an event followed that is about to be published, if that is asked for.
func (w wait) await(theHub *hub.Hub, record *broker.Record) *awaited {
	if w.until == "" {
		return nil
	}
	return &awaited{wait: w, receipt: theHub.Receipt(record)}
}

// begin is called when the broker has answered. It reports whether there is anything to wait for: where an event has come
// to that was published before, under the same idempotency key, is not known any more.
func (a *awaited) begin(result broker.Result) bool {
	if a == nil {
		return false
	}
	if result.Err != nil || result.Repeated {
		a.receipt.Close()
		return false
	}
	a.end = time.Now().Add(a.wait.timeout)
	return true
}

// awaitAll fills in what was asked for, once it is known or the time is over.
func awaitAll(ctx context.Context, theHub *hub.Hub, answers []published) {
	var list []hub.Awaited
	var places []int
	for i := range answers {
		if a := answers[i].awaited; a != nil {
			list = append(list, hub.Awaited{Receipt: a.receipt, Written: a.wait.until == "written", Until: a.end})
			places = append(places, i)
		}
	}
	deliveries := theHub.Await(ctx, list)
	for i, place := range places {
		answers[place].Delivery = &deliveries[i]
	}
}
