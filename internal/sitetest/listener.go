package sitetest

import (
	"context"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Listener reads a stream to its end.
type Listener struct {
	text  string
	err   error
	Ended time.Time
	Done  chan struct{}
}

// Listen subscribes, and reads up to the first event.
func (s *Site) Listen(target string, headers ...string) *Listener {
	s.T.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s.T.Cleanup(cancel)
	resp, err := s.HTTP.Do(s.Request(ctx, http.MethodGet, target, nil, append(headers, "Accept", "text/event-stream")))
	if err != nil {
		s.T.Fatal(err)
	}
	first := make([]byte, 1000)
	n, err := io.ReadAtLeast(resp.Body, first, 20)
	if err != nil || !strings.HasPrefix(string(first[:n]), "event: sse:connected") {
		s.T.Fatalf("got %d %q %v", resp.StatusCode, first[:n], err)
	}
	l := &Listener{Done: make(chan struct{})}
	go func() {
		defer close(l.Done)
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		l.text, l.err, l.Ended = string(b), err, time.Now()
	}()
	return l
}

// closing is the end of a stream that says why.
var closing = regexp.MustCompile(`(?:^|\n\n)event: sse:closing\nretry: (\d+)\ndata: {"reason":"([a-z]+)"}\n\n$`)

// WantClosing waits for the end of the stream, and returns the retry that its last event, sse:closing with a reason, has set.
func (l *Listener) WantClosing(t *testing.T, reason string) time.Duration {
	t.Helper()
	select {
	case <-l.Done:
	case <-time.After(Limit):
		t.Fatal("waited in vain for the end of the stream")
	}
	m := closing.FindStringSubmatch(l.text)
	if m == nil || m[2] != reason || l.err != nil {
		t.Errorf("the stream ends with %q, %v; want the reason %s", l.text, l.err, reason)
		return 0
	}
	ms, _ := strconv.Atoi(m[1])
	return time.Duration(ms) * time.Millisecond
}
