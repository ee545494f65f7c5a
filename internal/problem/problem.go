// Package problem has the errors that clients of the routes are answered with (RFC 9457), and keeps what they complain of in
// the log to once a minute.
package problem

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Problem is an error as a client of the internal route gets it: problem details (RFC 9457). Each is made
// for one request or one item of a batch, so it may be changed.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	Field  string `json:"field,omitempty"` // the field at fault
	Index  *int   `json:"index,omitempty"` // the item at fault in a batch, counted from 0

	allow []string      // the methods that a 405 names
	After time.Duration `json:"-"` // when a 429 or a 503 asks to come back; default: 1s
	Again string        `json:"-"` // why a client is sent off that may come again; "" for good
	Cause error         `json:"-"` // what is behind it, where reject is to say so
}

// New leaves the detail out where the format is empty.
func New(status int, format string, args ...any) *Problem {
	return &Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: fmt.Sprintf(format, args...)}
}

// Field is a 400 about one field.
func Field(field, format string, args ...any) *Problem {
	return New(http.StatusBadRequest, "%s: %s", Clip(field), fmt.Sprintf(format, args...)).OfField(field)
}

func MethodNotAllowed(allow ...string) *Problem {
	p := New(http.StatusMethodNotAllowed, "send %s", strings.Join(allow, " or "))
	p.allow = allow
	return p
}

// RetryLater is a 429 or a 503.
func RetryLater(status int, after time.Duration, format string, args ...any) *Problem {
	p := New(status, format, args...)
	p.After = after
	return p
}

// OfField names the field at fault, which may be whatever a client sent.
func (p *Problem) OfField(field string) *Problem {
	p.Field = Clip(field)
	return p
}

// AtIndex says which item of a batch is at fault.
func (p *Problem) AtIndex(index int) *Problem {
	p.Index = &index
	return p
}

func (p *Problem) Error() string {
	if p.Detail == "" {
		return fmt.Sprintf("%d %s", p.Status, p.Title)
	}
	return fmt.Sprintf("%d %s: %s", p.Status, p.Title, p.Detail)
}

func (p *Problem) Write(w http.ResponseWriter) {
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
		seconds := max(1, (p.After+time.Second-1)/time.Second)
		h.Set("Retry-After", strconv.FormatInt(int64(seconds), 10))
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n'))
}

// Clip shortens what a client sent to what an answer may repeat.
func Clip(s string) string {
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

func OfBody(err error) *Problem {
	var limit *http.MaxBytesError
	switch {
	case errors.As(err, &limit): // ours, or one set elsewhere in the Caddyfile
		return TooLarge(limit.Limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return New(http.StatusRequestTimeout, "the body came too slowly")
	}
	return New(http.StatusBadRequest, "the body is cut off or cannot be read")
}

func TooLarge(most int64) *Problem {
	return New(http.StatusRequestEntityTooLarge, "the body must not be longer than %d bytes", most)
}

// NoConnection returns the problem that there is no connection of an id.
func NoConnection(id string) *Problem {
	return New(http.StatusNotFound, "there is no connection %s", Clip(id))
}
