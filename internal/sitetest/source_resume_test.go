package sitetest_test

import (
	"net/url"
	"testing"

	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// A client that names its last id in the URL, as clients/js does, hears the same source as before, from that id on. The app does not
// see the id.
func TestSourceResumesByParameter(t *testing.T) {
	for _, share := range []string{"share everyone", "share session"} {
		t.Run(share, func(t *testing.T) {
			app := sitetest.NewStreamer(t)
			s := sitetest.Serve(t, shared(app, "", share+"\nreplay off"))
			first := make(chan *sitetest.Client)
			go func() { first <- s.Open("/clock?last_event_id=abc.5&zone=utc", "Cookie", "session=1") }()
			upstream := app.Next()
			if got := upstream.Request.URL.String(); got != "/clock?zone=utc" {
				t.Errorf("the app was asked for %s", got)
			}
			c := <-first
			c.WantGap("unknown")
			upstream.Send("data: 1\n\ndata: 2\n\n")
			c.Want("1")
			last := url.QueryEscape(c.LastID)
			c.Want("2")
			c.Close()
			for _, query := range []string{"zone=utc&last_event_id=" + last, "Last-Event-ID=" + last + "&zone=utc"} {
				s.Open("/clock?"+query, "Cookie", "session=1").Want("2")
			}
			// Its first id is fixed in the page. The header has the newer one.
			fixed := s.Open("/clock?zone=utc&last_event_id=abc.5", "Cookie", "session=1", "Last-Event-ID", c.LastID)
			upstream.Send("data: 3\n\n")
			fixed.Want("3")
			s.Open("/clock?zone=utc&lastEventId="+url.QueryEscape(c.LastID), "Cookie", "session=1").Want("3")
			if total, _, _ := app.Counts(); total != 1 {
				t.Errorf("the app got %d requests", total)
			}
		})
	}
}
