package decode

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/sse-push/caddy-sse-push/internal/problem"
)

const (
	defaultWait = time.Second
	maxWait     = 10 * time.Second
	maxWaits    = 1000 // events of a request that may have a Wait
)

// Wait is how much of an event's delivery a publisher waits for, after the broker has stored it.
type Wait struct {
	Until   string // "matched" or "written"; "" does not wait
	Timeout time.Duration
}

// set sets a field of the body or a parameter of the query.
func (w *Wait) set(name, text string) error {
	switch name {
	case "wait":
		if text != "matched" && text != "written" {
			return errors.New("must be matched or written")
		}
		w.Until = text
	case "timeout":
		d, err := caddy.ParseDuration(text)
		if err != nil || d <= 0 || d > maxWait {
			return fmt.Errorf("must be a duration of up to %s, such as 500ms", maxWait)
		}
		w.Timeout = d
	}
	return nil
}

// or returns w, completed from other.
func (w Wait) or(other Wait) Wait {
	if w.Until == "" {
		w.Until = other.Until
	}
	if w.Timeout == 0 {
		w.Timeout = other.Timeout
	}
	return w
}

// take sets w from the wait and timeout of a query, and returns the rest of the query.
func (w *Wait) take(query string) (rest string, p *problem.Problem) {
	if query == "" {
		return "", nil
	}
	var others []string
	given := Wait{}
	for pair := range strings.SplitSeq(query, "&") {
		name, text, _ := strings.Cut(pair, "=")
		if name != "wait" && name != "timeout" {
			others = append(others, pair)
			continue
		}
		if name == "wait" && given.Until != "" || name == "timeout" && given.Timeout != 0 {
			return "", problem.Field(name, "is given twice")
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

// setWait sets the Wait of an item, completed from the query, and checks it against the limits of a request.
func (d *Decoder) setWait(own Wait) *problem.Problem {
	d.Wait = own.or(d.waits)
	switch {
	case d.Wait.Until == "" && d.Wait.Timeout == 0:
		return nil
	case d.Wait.Until == "":
		return problem.Field("timeout", "has no effect without wait")
	case !d.Answered:
		return problem.Field("wait", "cannot be used here: the publisher gets no answer")
	case d.waited == maxWaits:
		return problem.Field("wait", "a request may wait for at most %d events", maxWaits)
	}
	d.waited++
	if d.Wait.Timeout == 0 {
		d.Wait.Timeout = defaultWait
	}
	return nil
}
