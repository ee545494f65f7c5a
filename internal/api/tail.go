package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/problem"
	"github.com/sse-push/caddy-sse-push/internal/rules"
)

const (
	// tailWait is how long a call waits for the first event.
	tailWait = 20 * time.Second
	// tailPage is how many events an answer has at most.
	tailPage = 500
)

// TailEvent is an event as a tail shows it.
type TailEvent struct {
	ID          string    `json:"id"` // as clients know it
	Event       string    `json:"event"`
	Time        time.Time `json:"time"`
	Users       []string  `json:"users,omitempty"` // the first of its targets, like topics and connections
	Topics      []string  `json:"topics,omitempty"`
	Connections []string  `json:"connections,omitempty"`
	Broadcast   bool      `json:"broadcast,omitempty"`
	More        int       `json:"more,omitempty"` // how many more targets it has
	Data        string    `json:"data"`           // the beginning of its data
	Size        int       `json:"size"`           // of all its data, in bytes
}

// Tail is what a hub has delivered after a position.
type Tail struct {
	Events []TailEvent `json:"events"`
	Next   string      `json:"next"`          // what to give as after, for the next page
	Gap    bool        `json:"gap,omitempty"` // events before these are missing
}

// Tailed returns an event as a tail shows it.
func Tailed(e *hub.Tapped) TailEvent {
	l := TailEvent{
		ID: e.Position.String(), Event: e.Type, Time: e.Time.UTC(), More: e.More, Data: string(e.Data), Size: e.Size,
	}
	if e.ID != "" {
		l.ID += "~" + e.ID
	}
	for _, t := range e.Targets {
		switch t.Kind {
		case broker.User:
			l.Users = append(l.Users, t.Name)
		case broker.Topic:
			l.Topics = append(l.Topics, t.Name)
		case broker.Connection:
			l.Connections = append(l.Connections, t.Name)
		case broker.Broadcast:
			l.Broadcast = true
		}
	}
	return l
}

// serveTail answers with what a hub has delivered after a position, and waits if there is nothing yet. Without a position, it
// answers with the newest one. It is no stream, since Caddy's admin endpoint buffers what a handler writes, and a reload
// waits for each answer to end.
func serveTail(w http.ResponseWriter, r *http.Request, theHub *hub.Hub, replaced <-chan struct{}) *problem.Problem {
	if p := CheckCall(r, []string{http.MethodGet}, []string{"user", "topic", "event", "text", "after", "limit"}); p != nil {
		return p
	}
	query := r.URL.Query()
	filter := hub.TapFilter{User: query.Get("user"), Topic: query.Get("topic"), Type: query.Get("event"), Text: query.Get("text")}
	if filter.Topic != "" {
		if err := rules.CheckPattern(filter.Topic); err != nil {
			return problem.Field("topic", "%v", err)
		}
	}
	limit := tailPage
	if text := query.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > tailPage {
			return problem.Field("limit", "must be a whole number from 1 to %d", tailPage)
		}
		limit = n
	}
	after, ok := broker.ParsePosition(query.Get("after"))
	if !ok && query.Get("after") != "" {
		return problem.Field("after", "must be the value of next in an earlier answer")
	}
	view := Tail{Events: []TailEvent{}}
	if after.IsZero() {
		ctx, cancel := context.WithTimeout(r.Context(), answerTimeout)
		defer cancel()
		newest, err := theHub.Position(ctx)
		if err != nil {
			return unreachable(err)
		}
		view.Next = newest.String()
		writeJSON(w, http.StatusOK, view)
		return nil
	}
	wait := time.NewTimer(tailWait)
	defer wait.Stop()
	for {
		recent := theHub.Recent(after, filter, limit)
		view.Gap = view.Gap || recent.Gap
		for i := range recent.Events {
			view.Events = append(view.Events, Tailed(&recent.Events[i]))
		}
		if after, view.Next = recent.UpTo, recent.UpTo.String(); len(view.Events) > 0 {
			break
		}
		if recent.More == nil {
			continue
		}
		select {
		case <-recent.More:
			continue
		case <-wait.C:
		case <-r.Context().Done():
		case <-replaced:
		}
		break
	}
	writeJSON(w, http.StatusOK, view)
	return nil
}
