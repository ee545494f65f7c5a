package sitetest_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// Client libraries call the id by different names, and send it in the query or in a body.
func TestLastEventIDNames(t *testing.T) {
	s := sitetest.ServeAll(t, sitetest.Route("hub main"), app("hub main\nupstream", `
	route /events {
		header X-SSE-Hold stream
		header X-SSE-User u1
		respond 200
	}`))
	ids := s[0].PublishEach(sitetest.ToU1, "1", "2", "3")
	for _, name := range []string{"last_event_id", "lastEventId", "lastEventID", "Last-Event-ID", "last-event-id"} {
		t.Run(name, func(t *testing.T) {
			s, upstream := s[0].In(t), s[1].In(t)
			param := name + "=" + url.QueryEscape(ids[1]+"~the app's")
			object := fmt.Sprintf(`{"userId": "u1", %q: %q}`, name, ids[1])
			for _, c := range []*sitetest.Client{
				s.Open("/events?userId=u1&" + param),
				s.Stream("POST", "/events?userId=u1", param, "Content-Type", sitetest.FormType).Begin(),
				s.Stream("QUERY", "/events?userId=u1", param, "Content-Type", sitetest.FormType).Begin(),
				s.Stream("POST", "/events", object, "Content-Type", "application/json").Begin(),
				s.Stream("QUERY", "/events", object, "Content-Type", "application/json").Begin(),
				upstream.Open("/events?" + param),
			} {
				if c.LastID != ids[1] {
					t.Errorf("connected: got id %q, want %q", c.LastID, ids[1])
				}
				c.Want("3")
				c.Close()
			}
		})
	}
}

// A page's fixed id loses to what its client has heard since, by whichever way the client says so.
func TestNewestLastEventIDCounts(t *testing.T) {
	s := sitetest.Serve(t, sitetest.Route("history {\nevents 10\n}"))
	gone := s.Publish("user", "u1", "data", "gone")
	s.PublishEach(sitetest.ToU1, sitetest.Numbered(12, 0)...)
	ids := s.PublishEach(sitetest.ToU1, "1", "2", "3", "4")
	epoch, _, _ := strings.Cut(ids[0], ".")
	foreign, ahead := "2s.1", epoch+".zzzz"
	for _, with := range []struct{ query, header string }{
		{"last_event_id=" + ids[0], ids[2]},
		{"last_event_id=" + ids[2], ids[0]}, // the page was opened anew, and its worker sends an old header
		{"last_event_id=" + ids[0] + "&lastEventId=" + ids[2], ""},
		{"lastEventId=" + ids[2] + "&last_event_id=" + ids[0] + "&lastEventID=" + ids[1], ids[0]},
		{"last_event_id=" + ids[2] + "&last_event_id=" + ids[1], ""},
		{"last_event_id=" + ids[2], foreign},
		{"last_event_id=" + foreign, ids[2]},
		{"last_event_id=" + ids[2], gone},
		{"last_event_id=" + gone, ids[2]},
		{"last_event_id=" + ids[2], ahead},
		{"last_event_id=" + ids[2], "garbage"},
		{"last_event_id=garbage&lastEventId=&lastEventID=" + ids[2], ""},
		{strings.Repeat("lastEventId="+ids[0]+"&lastEventId="+foreign+"&", 500) + "lastEventId=" + ids[2], gone}, // one more with each reconnect
	} {
		t.Run(clip(with.query)+" "+with.header, func(t *testing.T) {
			s := s.In(t)
			c := s.Open("/events?userId=u1&"+with.query, "Last-Event-ID", with.header)
			if c.LastID != ids[2] {
				t.Errorf("connected: got id %q, want %q", c.LastID, ids[2])
			}
			c.Want("4")
			c.Close()
		})
	}
	for reason, c := range map[string]*sitetest.Client{
		"unknown": s.Open("/events?userId=u1&last_event_id="+foreign+"&lastEventId=garbage", "Last-Event-ID", ahead),
		"trimmed": s.Open("/events?userId=u1&last_event_id="+gone+"&lastEventId=garbage", "Last-Event-ID", foreign),
	} {
		if c.LastID != "" {
			t.Errorf("connected: got id %q before the gap", c.LastID)
		}
		if g := c.WantGap(reason); reason == "trimmed" && g.From != gone {
			t.Errorf("got %+v, want it to be from %q", g, gone)
		}
	}
}

func clip(s string) string { return s[:min(len(s), 60)] }
