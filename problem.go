package ssepush

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// problem is an error as a client of the internal route gets it: problem details (RFC 9457). Each is made
// for one request or one item of a batch, so it may be changed.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	Field  string `json:"field,omitempty"` // the field at fault
	Index  *int   `json:"index,omitempty"` // the item at fault in a batch, counted from 0

	allow []string      // the methods that a 405 names
	after time.Duration // when a 429 or a 503 asks to come back; default: 1s
	again string        // why a client is sent off that may come again; "" for good
	cause error         // what is behind it, where reject is to say so
}

// newProblem leaves the detail out where the format is empty.
func newProblem(status int, format string, args ...any) *problem {
	return &problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: fmt.Sprintf(format, args...)}
}

// fieldError is a 400 about one field.
func fieldError(field, format string, args ...any) *problem {
	return newProblem(http.StatusBadRequest, "%s: %s", clip(field), fmt.Sprintf(format, args...)).of(field)
}

func methodNotAllowed(allow ...string) *problem {
	p := newProblem(http.StatusMethodNotAllowed, "send %s", strings.Join(allow, " or "))
	p.allow = allow
	return p
}

// retryLater is a 429 or a 503.
func retryLater(status int, after time.Duration, format string, args ...any) *problem {
	p := newProblem(status, format, args...)
	p.after = after
	return p
}

// of names the field at fault, which may be whatever a client sent.
func (p *problem) of(field string) *problem {
	p.Field = clip(field)
	return p
}

// at says which item of a batch is at fault.
func (p *problem) at(index int) *problem {
	p.Index = &index
	return p
}

func (p *problem) Error() string {
	if p.Detail == "" {
		return fmt.Sprintf("%d %s", p.Status, p.Title)
	}
	return fmt.Sprintf("%d %s: %s", p.Status, p.Title, p.Detail)
}

func (p *problem) write(w http.ResponseWriter) {
	body, err := json.Marshal(p)
	if err != nil { // no value of these types fails
		panic(err)
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	switch p.Status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", "Bearer")
	case http.StatusMethodNotAllowed:
		h.Set("Allow", strings.Join(p.allow, ", "))
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		seconds := max(1, (p.after+time.Second-1)/time.Second)
		h.Set("Retry-After", strconv.FormatInt(int64(seconds), 10))
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n'))
}

// clip shortens what a client sent to what an answer may repeat.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	end := most
	for end > most-utf8.UTFMax && !utf8.RuneStart(s[end]) {
		end--
	}
	return strings.ToValidUTF8(s[:end], "\uFFFD") + "…"
}
