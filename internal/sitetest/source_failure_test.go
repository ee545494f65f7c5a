package sitetest_test

import (
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// failing has an app answer with a status, while it is not 0.
func failing(app *sitetest.Streamer) *atomic.Int64 {
	var status atomic.Int64
	app.Answer = func(w http.ResponseWriter, _ *http.Request) bool {
		n := int(status.Load())
		if n != 0 {
			w.WriteHeader(n)
		}
		return n != 0
	}
	return &status
}

// An app that has no time is waited for. Its clients stay, and the log has one line of it.
func TestSourceOfBusyApp(t *testing.T) {
	for _, busy := range []int64{408, 425} {
		t.Run(strconv.Itoa(int(busy)), func(t *testing.T) {
			app := sitetest.NewStreamer(t)
			status := failing(app)
			s := sitetest.Serve(t, shared(app, "", "share everyone"))
			c, upstream := begun(s, app, "/clock", "retry: 1\ndata: one\n\n")
			status.Store(busy)
			upstream.End()
			brokertest.Eventually(t, "the app has been asked twice", func() bool { return sources()[0].Reopened >= 3 })
			if got := sources()[0]; !strings.Contains(got.LastError, strconv.Itoa(int(busy))) {
				t.Errorf("got %+v", got)
			}
			status.Store(0)
			app.Next().Send("data: two\n\n")
			c.Want("two")
			if n := strings.Count(s.Log(), "the stream of a source has failed"); n != 1 {
				t.Errorf("the log has %d lines of it", n)
			}
		})
	}
}

// If the app's stream is over for good, its clients come again, and each gets the app's answer.
func TestSourceOfAppThatHasChanged(t *testing.T) {
	app := sitetest.NewStreamer(t)
	status := failing(app)
	s := sitetest.Serve(t, shared(app, "", "share everyone"))
	first, upstream := begun(s, app, "/clock", "retry: 1\ndata: one\n\n")
	clients := []*sitetest.Client{first, s.Open("/clock"), s.Open("/clock")}
	status.Store(http.StatusUnauthorized)
	upstream.End()
	for i, c := range clients {
		if i > 0 {
			c.Want("one") // as it is replayed
		}
		c.WantClosing("source")
		if a := s.Do("GET", "/clock", "", "Accept", sitetest.EventStream, "Last-Event-ID", c.LastID); a.Status != http.StatusUnauthorized {
			t.Errorf("got %d %s", a.Status, a.Body)
		}
	}
}
