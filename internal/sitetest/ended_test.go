package sitetest_test

import (
	"net/http"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// The log says why the hub has ended a stream, and blames no call for what none has done.
func TestWhyStreamsEnd(t *testing.T) {
	logged := func(s *sitetest.Site, c *sitetest.Client, reason string) {
		s.T.Helper()
		brokertest.Eventually(s.T, "the log says: "+reason, func() bool {
			return s.Logged(`"connection ended"`, `"connection":"`+c.Connected.Connection+`"`, `"reason":"`+reason+`"`)
		})
	}
	t.Run("relay", func(t *testing.T) {
		m := sitetest.StartModel(t)
		s := sitetest.Serve(t, sitetest.Route(m.RelayTo("")))
		startRelay(s, m, "chat", "")
		c := s.Open("/events?userId=u1&relay=chat")
		m.Next().Answer(200, "text/event-stream").End()
		wantRelayEnd(c, "complete", 0)
		logged(s, c, "the relay has ended")
	})
	t.Run("source", func(t *testing.T) {
		app := sitetest.NewStreamer(t)
		status := failing(app)
		s := sitetest.Serve(t, shared(app, "", "share everyone"))
		c, upstream := begun(s, app, "/clock", "retry: 1\ndata: one\n\n")
		status.Store(http.StatusUnauthorized)
		upstream.End()
		c.WantClosing("source")
		logged(s, c, "source")
	})
	t.Run("reload", func(t *testing.T) {
		sites := sitetest.ServeAll(t, sitetest.Route("hub main"))
		s := sites[0]
		c := s.Open("/events?userId=u1")
		sitetest.MustLoad(t, sites, "sse_push /elsewhere {\nhub main\nuser query userId\n}")
		c.WantClosing("reloaded")
		logged(s, c, "reloaded")
	})
}
