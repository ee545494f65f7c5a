package sitetest_test

import (
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// A stream that ends while its client takes an event goes on with the rest of that event, and says then why it ends.
func TestClosingInTheMiddleOfAnEvent(t *testing.T) {
	sitetest.OverAll(t, func(t *testing.T, protocol, tls string) {
		s := sitetest.Serve(t, tls+sitetest.Route("limits {\nevent 16MiB\n}"))
		s.Via(protocol)
		resp, err := s.HTTP.Do(s.Request(t.Context(), http.MethodGet, "/events?userId=u1", nil, []string{"Accept", sitetest.EventStream}))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		publisher := s.In(t)
		publisher.Via(protocol)
		large := strings.Repeat("x", 12<<20) // more than the sockets and windows on the way hold
		publisher.Publish("user", "u1", "data", large)
		text, begun := make(chan string, 1), make(chan bool)
		go func() {
			head := make([]byte, 64<<10)
			_, _ = io.ReadFull(resp.Body, head)
			close(begun)
			rest, _ := io.ReadAll(resp.Body)
			text <- string(head) + string(rest)
		}()
		<-begun
		if a := publisher.Do(http.MethodDelete, "/_sse/users/u1", ""); a.Status != http.StatusNoContent {
			t.Fatalf("got %d %s", a.Status, a.Body)
		}
		select {
		case got := <-text:
			end := regexp.MustCompile(`^x+\nid: \S+\n\nevent: sse:closing\nretry: \d{4}\ndata: {"reason":"disconnected"}\n\n$`)
			tail := got[max(0, len(got)-200):]
			if !end.MatchString(tail) || !strings.Contains(got, "\n\ndata: "+large+"\nid: ") {
				t.Errorf("got %d bytes: %q … %q", len(got), got[:min(200, len(got))], tail)
			}
		case <-time.After(sitetest.Limit):
			t.Error("the stream does not end")
		}
		brokertest.Eventually(t, "it is gone", func() bool { return s.CountConnections() == 0 })
	})
}
