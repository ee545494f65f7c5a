package sitetest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// Streamer is an app whose answers a test writes, stream by stream.
type Streamer struct {
	T       *testing.T
	Address string

	// Answer, if set, answers a request itself and reports true, or leaves it to the test.
	Answer func(w http.ResponseWriter, r *http.Request) bool

	opened chan *Streamed
	mu     sync.Mutex // guards all below
	total  int
	open   int
	most   int
}

// Streamed is one stream of a Streamer.
type Streamed struct {
	Request *http.Request
	t       *testing.T
	text    chan string
	gone    chan struct{} // closed when the handler has returned
}

// NewStreamer starts an app.
func NewStreamer(t *testing.T) *Streamer {
	s := &Streamer{T: t, opened: make(chan *Streamed, 100)}
	server := httptest.NewServer(s)
	s.Address = strings.TrimPrefix(server.URL, "http://")
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return s
}

// ServeHTTP implements http.Handler.
func (s *Streamer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.total, s.open = s.total+1, s.open+1
	s.most = max(s.most, s.open)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.open--
	}()
	if s.Answer != nil && s.Answer(w, r) {
		return
	}
	st := &Streamed{Request: r, t: s.T, text: make(chan string), gone: make(chan struct{})}
	defer close(st.gone)
	w.Header().Set("Content-Type", EventStream)
	w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(w).Flush()
	s.opened <- st
	for {
		select {
		case text, ok := <-st.text:
			if !ok {
				return
			}
			if text == broken {
				panic(http.ErrAbortHandler)
			}
			_, _ = io.WriteString(w, text)
			_ = http.NewResponseController(w).Flush()
		case <-r.Context().Done():
			return
		}
	}
}

// broken is not written, but breaks a stream off.
const broken = "\x00broken"

// Next returns the next stream that is opened.
func (s *Streamer) Next() *Streamed {
	s.T.Helper()
	select {
	case st := <-s.opened:
		return st
	case <-time.After(Limit):
		s.T.Fatal("waited in vain for a request to the app")
	}
	return nil
}

// Counts returns how many requests the app has got, how many are open, and how many were at most.
func (s *Streamer) Counts() (total, open, most int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total, s.open, s.most
}

// Send writes text to the stream.
func (st *Streamed) Send(text string) {
	st.t.Helper()
	select {
	case st.text <- text:
	case <-st.gone:
		st.t.Fatalf("%q: the stream is over", text)
	case <-time.After(Limit):
		st.t.Fatalf("%q: waited in vain for the stream to take it", text)
	}
}

// End ends the stream as it should.
func (st *Streamed) End() { close(st.text) }

// Break breaks the stream off.
func (st *Streamed) Break() { st.Send(broken) }

// WantClosed waits until the proxy has closed the stream.
func (st *Streamed) WantClosed() {
	st.t.Helper()
	select {
	case <-st.gone:
	case <-time.After(Limit):
		st.t.Fatal("waited in vain for the proxy to close the stream")
	}
}

// IsOpen reports whether the stream goes on.
func (st *Streamed) IsOpen() bool {
	select {
	case <-st.gone:
		return false
	default:
		return true
	}
}
