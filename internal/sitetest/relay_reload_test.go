package sitetest_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// A call that came before a reload, and whose body comes after it, starts nothing that the new config does not allow.
func TestRelayStartedDuringReload(t *testing.T) {
	m, other := sitetest.StartModel(t), sitetest.StartModel(t)
	both := strings.Replace(m.RelayTo(""), "relay {", "relay {\nto "+other.URL+" private", 1)
	sites := sitetest.ServeAll(t, sitetest.Route(both))
	s := sites[0]
	body := func(m *sitetest.Model) string {
		return fmt.Sprintf(`{"user": "u1", "request": {"url": "%s/v1/chat"}}`, m.URL)
	}
	call := func(body string) func() sitetest.Answer {
		conn, reader := s.Dial(fmt.Sprintf("POST /_sse/relays HTTP/1.1\r\nHost: %s\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", s.Addr, len(body)))
		if a := sitetest.ReadAnswer(t, reader); a.Status != http.StatusContinue { // it is about to be read
			t.Fatalf("got %d %s", a.Status, a.Body)
		}
		return func() sitetest.Answer {
			if _, err := io.WriteString(conn, body); err != nil {
				t.Fatal(err)
			}
			return sitetest.ReadAnswer(t, reader)
		}
	}
	gone, stays := call(body(m)), call(body(other))
	sitetest.MustLoad(t, sites, sitetest.Route(other.RelayTo("")))
	if a := gone(); a.Status != http.StatusForbidden || sitetest.ProblemOf(t, a).Field != "request.url" {
		t.Errorf("got %d %s", a.Status, a.Body)
	}
	if a := stays(); a.Status != http.StatusAccepted {
		t.Errorf("got %d %s", a.Status, a.Body)
	}
	other.Next().End()
	select {
	case <-m.Requests:
		t.Error("the relay was started")
	default:
	}
}
