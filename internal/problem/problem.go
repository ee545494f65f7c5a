// Package problem has the error answers of the routes (RFC 9457 problem details), and log lines that are limited to one a
// minute.
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

// Problem is an error answer: problem details as RFC 9457 defines them. Each is made for one request or one item of a batch, so
// it may be changed.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	Field  string `json:"field,omitempty"` // the field at fault
	Index  *int   `json:"index,omitempty"` // the item at fault in a batch, counted from 0

	allow     []string      // the methods of a 405
	Challenge string        `json:"-"` // the WWW-Authenticate header; default: Bearer, for a 401
	After     time.Duration `json:"-"` // the Retry-After of a 429 or a 503; default: 1s
	Again     string        `json:"-"` // why a client is rejected that may come again; "" if it may not
	Cause     error         `json:"-"` // the error that an answer on the subscribe route reports
}

// New returns a problem. It has no detail if the format is empty.
func New(status int, format string, args ...any) *Problem {
	return &Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: fmt.Sprintf(format, args...)}
}

// Field returns a 400 about one field.
func Field(field, format string, args ...any) *Problem {
	return New(http.StatusBadRequest, "%s: %s", Clip(field), fmt.Sprintf(format, args...)).OfField(field)
}

// MethodNotAllowed returns a 405.
func MethodNotAllowed(allow ...string) *Problem {
	p := New(http.StatusMethodNotAllowed, "send %s", strings.Join(allow, " or "))
	p.allow = allow
	return p
}

// RetryLater returns a 429 or a 503.
func RetryLater(status int, after time.Duration, format string, args ...any) *Problem {
	p := New(status, format, args...)
	p.After = after
	return p
}

// OfField sets the field at fault. It may be anything that a client sent.
func (p *Problem) OfField(field string) *Problem {
	p.Field = Clip(field)
	return p
}

// AtIndex sets the item at fault in a batch.
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

// Write sends the problem as an answer.
func (p *Problem) Write(w http.ResponseWriter) {
	body, err := json.Marshal(p)
	if err != nil { // no value of these types fails
		panic(err)
	}
	p.SetHeaders(w.Header())
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n'))
}

// SetHeaders sets the headers of the problem's answer in any form.
func (p *Problem) SetHeaders(h http.Header) {
	h.Set("Cache-Control", "no-store")
	if p.Challenge != "" {
		h.Set("WWW-Authenticate", p.Challenge)
	} else if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer")
	}
	switch p.Status {
	case http.StatusMethodNotAllowed:
		h.Set("Allow", strings.Join(p.allow, ", "))
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		seconds := max(1, (p.After+time.Second-1)/time.Second)
		h.Set("Retry-After", strconv.FormatInt(int64(seconds), 10))
	}
}

// Clip returns a text that a client sent, shortened so that an answer can repeat it.
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

// OfBody returns the problem of an error in reading a body.
func OfBody(err error) *Problem {
	var limit *http.MaxBytesError
	switch {
	case errors.As(err, &limit): // set here, or by request_body in the Caddyfile
		return TooLarge(limit.Limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return New(http.StatusRequestTimeout, "the body came too slowly")
	}
	return New(http.StatusBadRequest, "the body is cut off or cannot be read")
}

// TooLarge returns a 413 for a body of more than most bytes.
func TooLarge(most int64) *Problem {
	return New(http.StatusRequestEntityTooLarge, "the body must not be longer than %d bytes", most)
}

// NoConnection returns a 404 for an id that no connection has.
func NoConnection(id string) *Problem {
	return New(http.StatusNotFound, "there is no connection %s", Clip(id))
}
