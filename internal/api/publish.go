package api

import (
	"net/http"

	"github.com/sse-push/caddy-sse-push/internal/decode"
	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/problem"
	"github.com/sse-push/caddy-sse-push/internal/publish"
)

// Published is the answer to a publish, or to one event of a batch.
type Published = publish.Answer

// servePublish stores what an app sends, and answers when the broker has it. If the app waits for an event's delivery, it answers
// once that is known, or the wait is over.
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
	answers := publish.All(r.Context(), theHub, d, nil)
	publish.Await(r.Context(), theHub, answers)
	if d.Batch {
		writeJSON(w, http.StatusOK, answers)
		return
	}
	if p := answers[0].Error; p != nil {
		p.Write(w)
		return
	}
	if answers[0].Delivery != nil {
		writeJSON(w, http.StatusOK, answers[0])
		return
	}
	writeBody(w, http.StatusOK, `{"id":"`+answers[0].ID+`"}`) // a position needs no escaping
}
