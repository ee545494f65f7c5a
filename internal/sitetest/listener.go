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

var lastRetry = regexp.MustCompile(`(?:^|\n)retry: (\d+)\n\n$`)

// WantRetry waits for the end of the stream, and returns the retry that its last event set.
func (l *Listener) WantRetry(t *testing.T) time.Duration {
	t.Helper()
	select {
	case <-l.Done:
	case <-time.After(Limit):
		t.Fatal("waited in vain for the end of the stream")
	}
	m := lastRetry.FindStringSubmatch(l.text)
	if m == nil || l.err != nil {
		t.Errorf("the stream ends with %q, %v", l.text, l.err)
		return 0
	}
	ms, _ := strconv.Atoi(m[1])
	return time.Duration(ms) * time.Millisecond
}
