package api

import (
	"encoding/json"
	"net/http"
	"slices"

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
	defer d.Close()
	d.Answered = true
	answers := publish.All(r.Context(), theHub, d, nil)
	publish.Await(r.Context(), theHub, answers)
	if d.Batch {
		writeBody(w, http.StatusOK, appendAnswers(nil, answers))
		return
	}
	if p := answers[0].Error; p != nil {
		p.Write(w)
		return
	}
	writeBody(w, http.StatusOK, append(appendAnswer(make([]byte, 0, 64), &answers[0]), '\n'))
}

// appendAnswers appends a line with the answers to a batch.
func appendAnswers(b []byte, answers []Published) []byte {
	b = append(slices.Grow(b, 40*len(answers)), '[')
	for i := range answers {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendAnswer(b, &answers[i])
	}
	return append(b, "]\n"...)
}

// appendAnswer appends an answer as encoding/json writes it. That itself is used only for what is rare.
func appendAnswer(b []byte, a *Published) []byte {
	if a.Delivery == nil && a.Error == nil && a.ID != "" {
		return append(append(append(b, `{"id":"`...), a.ID...), `"}`...) // a position needs no escaping
	}
	text, err := json.Marshal(a)
	if err != nil { // no value of this type fails
		panic(err)
	}
	return append(b, text...)
}
