package sitetest

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/sse"
)

// Client is a browser's EventSource, as far as the tests need one.
type Client struct {
	T      *testing.T
	Status int
	Header http.Header
	Proto  int // major version of HTTP

	LastID    string // of the newest event taken
	Retry     time.Duration
	Connected struct {
		Connection string
		User       *string
		Topics     []string
	}

	PassPositions bool // take no sse:position: on a busy hub one may come at any time

	Events chan Event // closed when the stream has ended
	cancel context.CancelFunc
	done   chan struct{}
}

type Event struct {
	sse.Message
	Retry time.Duration
}

// Stream sends a request and reads what comes as a stream.
func (s *Site) Stream(method, target, body string, headers ...string) *Client {
	s.T.Helper()
	c, err := s.TryStream(Limit, method, target, body, headers...)
	if err != nil {
		s.T.Fatal(err)
	}
	return c
}

// TryStream is Stream, but returns an error. It gives the answer that long to begin.
func (s *Site) TryStream(within time.Duration, method, target, body string, headers ...string) (*Client, error) {
	s.T.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := s.Request(ctx, method, target, strings.NewReader(body), headers)
	slow := time.AfterFunc(within, cancel)
	resp, err := s.HTTP.Do(r)
	if err != nil {
		cancel()
		return nil, err
	}
	slow.Stop()
	c := &Client{
		T: s.T, Status: resp.StatusCode, Header: resp.Header, Proto: resp.ProtoMajor,
		Events: make(chan Event), cancel: cancel, done: make(chan struct{}),
	}
	go func() {
		defer close(c.done)
		defer resp.Body.Close()
		reader := sse.NewReader(resp.Body, 0)
		for {
			m, err := reader.Next()
			if err != nil {
				close(c.Events)
				return
			}
			select {
			case c.Events <- Event{m, reader.Retry()}:
			case <-ctx.Done():
				close(c.Events)
				return
			}
		}
	}()
	s.T.Cleanup(c.Close)
	return c, nil
}

// Open subscribes as an EventSource does, and takes the first event.
func (s *Site) Open(target string, headers ...string) *Client {
	s.T.Helper()
	return s.Stream(http.MethodGet, target, "", append(headers, "Accept", "text/event-stream")...).Begin()
}

// Begin takes the first event, which has to be sse:connected.
func (c *Client) Begin() *Client {
	c.T.Helper()
	if c.Status != http.StatusOK {
		c.T.Fatalf("got status %d", c.Status)
	}
	m := c.Next()
	if err := json.Unmarshal([]byte(m.Data), &c.Connected); err != nil || m.Type != "sse:connected" {
		c.T.Fatalf("the first event is %q", m)
	}
	return c
}

// Close ends the stream, and returns when its reader has ended.
func (c *Client) Close() {
	c.cancel()
	<-c.done
}

// Next takes the next event.
func (c *Client) Next() sse.Message {
	c.T.Helper()
	select {
	case e, ok := <-c.Events:
		if !ok {
			c.T.Fatal("the stream has ended")
		}
		c.LastID, c.Retry = e.ID, e.Retry
		if c.PassPositions && e.Type == "sse:position" {
			return c.Next()
		}
		return e.Message
	case <-time.After(Limit):
		c.T.Fatal("waited in vain for an event")
	}
	return sse.Message{}
}

// Want takes one event for each of data, in this order, and fails if another one comes in between.
func (c *Client) Want(data ...string) {
	c.T.Helper()
	for _, d := range data {
		if m := c.Next(); m.Data != d || strings.HasPrefix(m.Type, "sse:") {
			c.T.Fatalf("got %q, want data %q", m, d)
		}
	}
}

// WantEnd waits for the end of the stream.
func (c *Client) WantEnd() {
	c.T.Helper()
	select {
	case e, ok := <-c.Events:
		if ok {
			c.T.Fatalf("got %q, want the end", e.Message)
		}
	case <-time.After(Limit):
		c.T.Fatal("waited in vain for the end of the stream")
	}
}

// WantClosing takes the last event of a stream that the hub ends for one of these reasons, and waits for the end.
func (c *Client) WantClosing(reasons ...string) {
	c.T.Helper()
	before := c.LastID
	m := c.Next()
	var said struct{ Reason string }
	if err := json.Unmarshal([]byte(m.Data), &said); err != nil || m.Type != "sse:closing" || !slices.Contains(reasons, said.Reason) || m.ID != before || c.Retry < time.Second {
		c.T.Errorf("got %q with the id %q and retry %s, want sse:closing: %s", m, m.ID, c.Retry, reasons)
	}
	c.WantEnd()
}

const EventStream = "text/event-stream"

// Resume reconnects with a last id, as an EventSource does.
func (s *Site) Resume(target, id string) *Client {
	s.T.Helper()
	return s.Open(target, "Last-Event-ID", id)
}

type gap struct {
	Reason, From, To string
	Delay            int64
}

// WantGap takes a gap of a reason, and checks what every gap must have.
func (c *Client) WantGap(reason string) (g gap) {
	c.T.Helper()
	m := c.Next()
	if err := json.Unmarshal([]byte(m.Data), &g); err != nil || m.Type != "sse:gap" || g.Reason != reason {
		c.T.Fatalf("got %q, want a gap: %s", m, reason)
	}
	if m.ID == "" || g.To != m.ID || g.Delay < 0 {
		c.T.Errorf("got gap %q", m)
	}
	return g
}
