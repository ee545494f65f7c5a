package sitetest

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Model is a stand-in for an API that streams, such as that of a language model. Each request waits for what the test says.
type Model struct {
	T   *testing.T
	URL string

	Requests chan *Request
	Gone     atomic.Int64 // requests whose client went before their end
}

// Request is a request to a Model.
type Request struct {
	*http.Request
	Body string

	t    *testing.T
	mu   sync.Mutex // guards w
	w    http.ResponseWriter
	over chan struct{}
	once sync.Once
}

// StartModel starts a Model.
func StartModel(t *testing.T) *Model {
	t.Helper()
	m := &Model{T: t, Requests: make(chan *Request, 1000)}
	server := httptest.NewServer(http.HandlerFunc(m.serve))
	m.URL = server.URL
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return m
}

func (m *Model) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	q := &Request{Request: r, Body: string(body), t: m.T, w: w, over: make(chan struct{})}
	m.Requests <- q
	select {
	case <-q.over:
	case <-r.Context().Done():
		m.Gone.Add(1)
	}
	q.mu.Lock() // no write is under way
	q.w = nil
	q.mu.Unlock()
}

// Next returns the next request.
func (m *Model) Next() *Request {
	m.T.Helper()
	select {
	case q := <-m.Requests:
		return q
	case <-time.After(Limit):
		m.T.Fatal("waited in vain for a request")
		return nil
	}
}

// Answer begins an answer of a status and a Content-Type.
func (q *Request) Answer(status int, contentType string, headers ...string) *Request {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.w != nil {
		q.w.Header().Set("Content-Type", contentType)
		for i := 0; i < len(headers); i += 2 {
			q.w.Header().Set(headers[i], headers[i+1])
		}
		q.w.WriteHeader(status)
		_ = http.NewResponseController(q.w).Flush()
	}
	return q
}

// Write sends bytes, and reports whether there is still someone to send them to.
func (q *Request) Write(text string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.w == nil {
		return false
	}
	_, err := io.WriteString(q.w, text)
	return err == nil && http.NewResponseController(q.w).Flush() == nil
}

// Tokens sends an event for each text.
func (q *Request) Tokens(texts ...string) {
	q.t.Helper()
	for _, text := range texts {
		if !q.Write("data: " + text + "\n\n") {
			q.t.Fatalf("nobody takes %s", text)
		}
	}
}

// End ends the answer.
func (q *Request) End() { q.once.Do(func() { close(q.over) }) }

// Break ends the answer in the middle.
func (q *Request) Break() {
	q.mu.Lock()
	defer q.mu.Unlock()
	conn, _, err := http.NewResponseController(q.w).Hijack()
	if err != nil {
		q.t.Fatal(err)
	}
	conn.Close()
	q.w = nil
	q.once.Do(func() { close(q.over) })
}

// RelayTo returns the lines of a config that let relays go to the model and to more.
func (m *Model) RelayTo(more string) string {
	return fmt.Sprintf("relay {\nto %s private {\nheader Authorization \"Bearer key\"\n}\n%s\n}", m.URL, strings.TrimSpace(more))
}
