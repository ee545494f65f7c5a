package ssepush_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/sse"
)

// client is a browser's EventSource, as far as a test needs one.
type client struct {
	t      *testing.T
	status int
	header http.Header
	proto  int // major version of HTTP

	id        string // of the newest event taken
	retry     time.Duration
	connected struct {
		Connection string
		User       *string
		Topics     []string
	}

	passPositions bool // take no sse:position: on a busy hub one may come at any time

	events chan event // closed when the stream has ended
	cancel context.CancelFunc
	done   chan struct{}
}

type event struct {
	sse.Message
	retry time.Duration
}

// stream sends a request and reads what comes as a stream.
func (s *site) stream(method, target, body string, headers ...string) *client {
	s.t.Helper()
	c, err := s.tryStream(limit, method, target, body, headers...)
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// tryStream is stream where it may go wrong. The answer has some time to begin.
func (s *site) tryStream(within time.Duration, method, target, body string, headers ...string) (*client, error) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := s.request(ctx, method, target, strings.NewReader(body), headers)
	slow := time.AfterFunc(within, cancel)
	resp, err := s.client.Do(r)
	if err != nil {
		cancel()
		return nil, err
	}
	slow.Stop()
	c := &client{
		t: s.t, status: resp.StatusCode, header: resp.Header, proto: resp.ProtoMajor,
		events: make(chan event), cancel: cancel, done: make(chan struct{}),
	}
	go func() {
		defer close(c.done)
		defer resp.Body.Close()
		reader := sse.NewReader(resp.Body, 0)
		for {
			m, err := reader.Next()
			if err != nil {
				close(c.events)
				return
			}
			select {
			case c.events <- event{m, reader.Retry()}:
			case <-ctx.Done():
				close(c.events)
				return
			}
		}
	}()
	s.t.Cleanup(c.close)
	return c, nil
}

// open subscribes as an EventSource does, and takes the first event.
func (s *site) open(target string, headers ...string) *client {
	s.t.Helper()
	return s.stream(http.MethodGet, target, "", append(headers, "Accept", "text/event-stream")...).begin()
}

// begin takes the first event.
func (c *client) begin() *client {
	c.t.Helper()
	if c.status != http.StatusOK {
		c.t.Fatalf("got status %d", c.status)
	}
	m := c.next()
	if err := json.Unmarshal([]byte(m.Data), &c.connected); err != nil || m.Type != "sse:connected" {
		c.t.Fatalf("the first event is %q", m)
	}
	return c
}

// close leaves.
func (c *client) close() {
	c.cancel()
	<-c.done
}

// next takes the next event.
func (c *client) next() sse.Message {
	c.t.Helper()
	select {
	case e, ok := <-c.events:
		if !ok {
			c.t.Fatal("the stream has ended")
		}
		c.id, c.retry = e.ID, e.retry
		if c.passPositions && e.Type == "sse:position" {
			return c.next()
		}
		return e.Message
	case <-time.After(limit):
		c.t.Fatal("waited in vain for an event")
	}
	return sse.Message{}
}

// want takes one event for each of the data, in this order, and nothing in between.
func (c *client) want(data ...string) {
	c.t.Helper()
	for _, d := range data {
		if m := c.next(); m.Data != d || strings.HasPrefix(m.Type, "sse:") {
			c.t.Fatalf("got %q, want data %q", m, d)
		}
	}
}

// wantEnd waits for the end of the stream.
func (c *client) wantEnd() {
	c.t.Helper()
	select {
	case e, ok := <-c.events:
		if ok {
			c.t.Fatalf("got %q, want the end", e.Message)
		}
	case <-time.After(limit):
		c.t.Fatal("waited in vain for the end of the stream")
	}
}
