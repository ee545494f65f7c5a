package relay

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/egress"
)

const (
	// doneTimeout is how long the app may take.
	doneTimeout = 30 * time.Second
	// maxCalls is how many calls are under way at once. Each holds an answer in memory.
	maxCalls = 8
	// The app is called again after firstAgain, then after twice as long, and so on.
	firstAgain, lastAgain = time.Second, time.Minute
	// pageSize is how much of an answer is read from the log at a time, in bytes.
	pageSize = 256 << 10
	// maxDropped is how much of the app's answer is read and dropped, in bytes.
	maxDropped = 64 << 10
)

// errand is a call of done that this node makes until the app takes it.
type errand struct {
	again   time.Time // not before
	pause   time.Duration
	running bool
}

// Report is the body of a call of done. It is the same each time.
type Report struct {
	ID         string            `json:"id"`
	User       string            `json:"user,omitempty"`
	Topic      string            `json:"topic,omitempty"`
	Status     Status            `json:"status"`
	HTTPStatus int               `json:"http_status,omitempty"` // of the upstream's answer
	Headers    map[string]string `json:"headers,omitempty"`     // of the upstream's answer
	Error      string            `json:"error,omitempty"`       // why the relay failed
	Body       string            `json:"body,omitempty"`        // the beginning of an answer that is an error
	Events     []Event           `json:"events,omitzero"`       // nil only if there is Text
	Text       *string           `json:"text,omitempty"`        // instead of events, of a relay that is read as text
	Truncated  bool              `json:"truncated,omitempty"`   // the log no longer had everything
}

// Event is an event of a relay.
type Event struct {
	Event string `json:"event,omitempty"` // "" is message
	ID    string `json:"id,omitempty"`    // the upstream's
	Data  string `json:"data"`
}

// plan has this node call done for a relay that has ended, if that is up to it. The caller holds mu.
func (r *Registry) plan(k *known) {
	if k.begin.Done == "" || k.taken || k.outcome.Node != r.node || r.due[k.id] != nil {
		return
	}
	r.due[k.id] = &errand{pause: firstAgain}
	r.nudge()
}

// adopt takes over the call of a node that is gone. If another node has, that one makes it.
func (r *Registry) adopt(id, from string) error {
	ctx, cancel := context.WithTimeout(r.ctx, leaseTime)
	defer cancel()
	return r.write(ctx, []broker.Record{record(beside+id, id, typeAdopted, "/adopted/"+from, r.node)})
}

// callDue begins the calls whose time has come, up to maxCalls at once.
func (r *Registry) callDue() {
	c := r.config.Load()
	if c == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	free := maxCalls
	for id, e := range r.due {
		if k := r.index.relays[id]; k == nil || k.taken || k.outcome.Node != r.node {
			if !e.running {
				delete(r.due, id)
			}
		}
		if e.running {
			free--
		}
	}
	now := time.Now()
	for id, e := range r.due {
		if free == 0 || r.closed {
			return
		}
		if e.running || now.Before(e.again) {
			continue
		}
		e.running = true
		free--
		k := *r.index.relays[id]
		r.work.Go(func() { r.call(c, &k, e) })
	}
}

// call tells the app once that a relay is over.
func (r *Registry) call(c *Config, k *known, e *errand) {
	ctx, cancel := context.WithTimeout(r.ctx, doneTimeout)
	defer cancel()
	err := r.tell(ctx, c, k)
	label := outcomeOf(err)
	if err == nil {
		err = r.write(ctx, []broker.Record{record(beside+k.id, k.id, typeDone, "/done", struct{}{})})
	}
	r.mu.Lock()
	r.totals.Calls[label]++
	e.running, e.again, e.pause = false, time.Now().Add(e.pause), min(2*e.pause, lastAgain)
	if err == nil {
		delete(r.due, k.id)
	}
	r.mu.Unlock()
	if err != nil && r.ctx.Err() == nil {
		r.complaints.Log(r.log(), zap.WarnLevel, "the app did not accept the call about a relay's end; it is called again",
			zap.String("relay", k.id), zap.String("done", withoutQuery(k.begin.Done)), zap.Error(err))
	}
	r.nudge()
}

// withoutQuery returns a URL for the log. Its query may hold a secret of the app.
func withoutQuery(address string) string {
	before, _, _ := strings.Cut(address, "?")
	return before
}

// tell sends the report to the app.
func (r *Registry) tell(ctx context.Context, c *Config, k *known) error {
	u, err := c.checkDone(k.begin.Done)
	if err != nil {
		return err
	}
	if err := r.hub.Taken(ctx, k.ended); err != nil { // the window has the end
		return err
	}
	body := r.report(k)
	answer, err := c.app.Send(ctx, &egress.Request{Method: http.MethodPost, URL: u, Body: body, Headers: map[string]string{
		"Content-Type": "application/json", "Idempotency-Key": beside + k.id, "X-SSE-Signature": sign(c.settings.Secret, body, time.Now()),
	}})
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, maxDropped))
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("%w %d", errNotTaken, answer.StatusCode)
	}
	return nil
}

// errNotTaken: the app has answered a call of done with another status than 2xx.
var errNotTaken = errors.New("the app answered")

// outcomeOf returns the label under which a call of done is counted.
func outcomeOf(err error) string {
	switch {
	case err == nil:
		return "taken"
	case errors.Is(err, errNotTaken):
		return "refused"
	}
	return "error"
}

// sign returns the signature of a body: the time, and a MAC of the time and the body.
func sign(secret string, body []byte, now time.Time) string {
	t := strconv.FormatInt(now.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(strings.TrimSpace(secret)))
	mac.Write([]byte(t + "."))
	mac.Write(body)
	return "t=" + t + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}

// report returns the body of a call of done, from the log.
func (r *Registry) report(k *known) []byte {
	report := Report{
		ID: k.id, User: k.User, Topic: k.Topic, Status: k.end,
		HTTPStatus: k.outcome.Status, Headers: k.outcome.Headers, Error: k.outcome.Error, Body: k.outcome.Body, Events: []Event{},
	}
	var text strings.Builder
	for after, over := k.began, false; !over; {
		part := r.hub.Passage(k.id, after, pageSize)
		report.Truncated = report.Truncated || part.Gap
		for i := range part.Entries {
			e := &part.Entries[i]
			if over = e.Position == k.ended; over {
				break
			}
			report.add(&e.Record, &text, k.As)
		}
		after, over = part.UpTo, over || part.End
	}
	if k.As == "text" {
		all := text.String()
		report.Text, report.Events = &all, nil
	}
	return encode(report)
}

// add adds what the log has of an answer.
func (report *Report) add(e *broker.Record, text *strings.Builder, as string) {
	switch {
	case e.Kind == broker.Hole:
		report.Truncated = true
	case as == "text":
		text.Write(e.Data)
	default:
		event := Event{ID: e.ID, Data: string(e.Data)}
		if e.Type != "message" {
			event.Event = e.Type
		}
		report.Events = append(report.Events, event)
	}
}
