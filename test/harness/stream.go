package harness

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/sse"
)

// Stream is an open event stream, read as EventSource reads it.
type Stream struct {
	t      testing.TB
	res    *http.Response
	reader *sse.Reader
	leave  context.CancelFunc

	mu     sync.Mutex // guards what follows
	events []sse.Message
	read   int // events that Next has returned
	lastID string
	err    error
}

// Connected is the data of sse:connected.
type Connected struct {
	Connection string
	User       *string
	Topics     []string
}

// Open opens a stream. Headers are given as name, value.
func Open(t testing.TB, url string, headers ...string) *Stream {
	t.Helper()
	res, leave := get(t, url, headers)
	t.Cleanup(leave)
	s := &Stream{t: t, res: res, leave: leave, reader: sse.NewReader(res.Body, 0)}
	if res.StatusCode != http.StatusOK || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		t.Fatalf("opening %s: %s, %s", url, res.Status, res.Header.Get("Content-Type"))
	}
	go s.listen()
	return s
}

// get asks for a stream, as EventSource does.
func get(t testing.TB, url string, headers []string) (res *http.Response, leave context.CancelFunc) {
	t.Helper()
	ctx, leave := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	hangs := time.AfterFunc(Patience, leave)
	defer hangs.Stop()
	// A transport of its own, so that Leave closes the connection. With TLS it speaks HTTP/2 if the server does, as browsers do.
	transport := &http.Transport{
		DisableKeepAlives: true, DisableCompression: true, ForceAttemptHTTP2: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}
	res, err = transport.RoundTrip(req)
	if err != nil {
		leave()
		t.Fatalf("opening %s: %v", url, err)
	}
	return res, leave
}

// Status is what a request for a stream is answered with. It does not wait for the stream's end.
func Status(t testing.TB, url string, headers ...string) int {
	t.Helper()
	res, leave := get(t, url, headers)
	defer leave()
	defer res.Body.Close()
	return res.StatusCode
}

func (s *Stream) listen() {
	defer s.res.Body.Close()
	for {
		e, err := s.reader.Next()
		s.mu.Lock()
		s.lastID = s.reader.LastEventID()
		if err == nil {
			s.events = append(s.events, e)
		} else {
			s.err = err
		}
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// Header is that of the answer.
func (s *Stream) Header() http.Header { return s.res.Header }

// Leave closes the connection.
func (s *Stream) Leave() { s.leave() }

// LastEventID is what a client would resume with.
func (s *Stream) LastEventID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lastID
}

// NextAny waits for the next event, the server's own ones included.
func (s *Stream) NextAny() sse.Message {
	s.t.Helper()
	var e sse.Message
	var end error
	ok := false
	brokertest.Until(func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		if ok = s.read < len(s.events); ok {
			e = s.events[s.read]
			s.read++
		}
		end = s.err
		return ok || end != nil
	})
	if !ok {
		s.t.Fatalf("after %.2000q no event came in %v; the stream's end: %v", s.events, Patience, end)
	}
	return e
}

// Next waits for the next event of an app.
func (s *Stream) Next() sse.Message {
	s.t.Helper()
	for {
		if e := s.NextAny(); !strings.HasPrefix(e.Type, "sse:") {
			return e
		}
	}
}

// Expect waits for the next events of apps, and compares their data.
func (s *Stream) Expect(data ...string) {
	s.t.Helper()
	for _, want := range data {
		if got := s.Next(); got.Data != want {
			s.t.Fatalf("got the event %q, want the data %q", got, want)
		}
	}
}

// Connected waits for the first event.
func (s *Stream) Connected() Connected {
	s.t.Helper()
	e := s.NextAny()
	var c Connected
	if e.Type != "sse:connected" {
		s.t.Fatalf("first came %q, not sse:connected", e)
	}
	if err := json.Unmarshal([]byte(e.Data), &c); err != nil {
		s.t.Fatalf("data of sse:connected: %v", err)
	}
	return c
}

// Ended waits for the end of the stream.
func (s *Stream) Ended() {
	s.t.Helper()
	brokertest.Eventually(s.t, "the stream ends", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.err != nil
	})
}
