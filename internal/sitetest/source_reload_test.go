package sitetest_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// Reloads drop no stream, lose no event and open the app's stream no second time.
func TestSourceReloads(t *testing.T) {
	app := sitetest.NewStreamer(t)
	sites := sitetest.ServeAll(t, shared(app, "", "share everyone"))
	s := sites[0]
	coming := opening(s, "/clock")
	upstream := app.Next()
	c := (<-coming).Begin()
	for i := range 20 {
		sitetest.MustLoad(t, sites, shared(app, fmt.Sprintf("heartbeat %ds", 20+i), "share everyone"))
		data := fmt.Sprint(i)
		upstream.Send("data: " + data + "\n\n")
		c.Want(data)
		n := s.Open("/clock")
		n.Want(data)
		n.Close()
	}
	if total, _, _ := app.Counts(); total != 1 {
		t.Errorf("the app got %d requests", total)
	}
}

// After a reload, a stream that is opened again takes the way that the new config says, through all of its handlers. The request is
// the client's, even if the client came by the old config.
func TestSourceOpensByNewConfig(t *testing.T) {
	old, app := sitetest.NewStreamer(t), sitetest.NewStreamer(t)
	behind := func(app *sitetest.Streamer, more string) string {
		return strings.Replace(shared(app, more, "linger 300ms"), "reverse_proxy", "vars from new\nrequest_header X-Before yes\nreverse_proxy", 1)
	}
	sites := sitetest.ServeAll(t, shared(old, "", "linger 300ms"))
	s := sites[0]
	c, upstream := begun(s, old, "/clock?a=1", "retry: 1\nid: 5\ndata: one\n\n", "Cookie", "session=1", "X-Mine", "1")
	sitetest.MustLoad(t, sites, behind(app, "heartbeat 20s"))
	upstream.Send("data: two\n\n")
	c.Want("two")
	upstream.End()
	upstream = app.Next()
	for name, want := range map[string]string{"Cookie": "session=1", "X-Mine": "1", "X-Before": "yes", "Last-Event-Id": "5"} {
		if got := upstream.Request.Header.Get(name); got != want {
			t.Errorf("the new app got %s: %q, want %q", name, got, want)
		}
	}
	if got := upstream.Request.URL.String(); got != "/clock?a=1" {
		t.Errorf("the new app was asked for %s", got)
	}
	upstream.Send("data: three\n\n")
	c.Want("three")
	other := s.Open("/clock?a=1", "Cookie", "session=1", "X-Mine", "2")
	other.Want("three")
	upstream.End()
	upstream = app.Next()
	if got := upstream.Request.Header.Get("X-Mine"); got != "2" {
		t.Errorf("the request is not that of the newest client, but of %q", got)
	}
	other.Close()
	brokertest.Eventually(t, "the other has left", func() bool { return sources()[0].Listeners == 1 })
	upstream.Send("data: four\n\n")
	c.Want("four")
	upstream.End()
	upstream = app.Next()
	if got := upstream.Request.Header.Get("X-Mine"); got != "1" {
		t.Errorf("the request is that of %q, who has left", got)
	}
}

// A stream is opened anew after its greatest age, between two events.
func TestSourceAge(t *testing.T) {
	app := sitetest.NewStreamer(t)
	s := sitetest.Serve(t, shared(app, "", "share everyone\nmax_age 1s"))
	c, upstream := begun(s, app, "/clock", "id: 1\ndata: one\n\n")
	upstream.Send("data: half")
	// It is not opened anew before the event is whole.
	brokertest.Eventually(t, "the stream is older than it may be", func() bool { return time.Since(sources()[0].Since) > 2*time.Second })
	if n := sources()[0].Reopened; n != 0 {
		t.Errorf("it was opened anew %d times in the middle of an event", n)
	}
	upstream.Send("\n\n")
	c.Want("half")
	upstream.WantClosed()
	upstream = app.Next()
	if upstream.Request.Header.Get("Last-Event-ID") != "1" {
		t.Errorf("got %v", upstream.Request.Header)
	}
	upstream.WantClosed() // though it is silent
	app.Next().Send("data: two\n\n")
	c.Want("two")
	// The app may see the new request a moment before the end of the old one.
	brokertest.Eventually(t, "one stream is open", func() bool {
		total, open, _ := app.Counts()
		return total == 3 && open == 1
	})
}

// A source whose route is gone, or shares with others than before, ends with its streams.
func TestSourceEndsWithItsRoute(t *testing.T) {
	for name, change := range map[string]func(app *sitetest.Streamer) string{
		"no directive": func(app *sitetest.Streamer) string { return "reverse_proxy " + app.Address },
		"no source":    func(app *sitetest.Streamer) string { return "sse_push /clock {\nhub main\nanonymous\n}" },
		"another path": func(app *sitetest.Streamer) string {
			return strings.Replace(shared(app, "", "share everyone"), "/clock", "/c", 1)
		},
		"other sharers": func(app *sitetest.Streamer) string { return shared(app, "", "") },
		"other queries": func(app *sitetest.Streamer) string { return shared(app, "", "share everyone\nquery a") },
	} {
		t.Run(name, func(t *testing.T) {
			app := sitetest.NewStreamer(t)
			sites := sitetest.ServeAll(t, shared(app, "", "share everyone"))
			coming := opening(sites[0], "/clock")
			upstream := app.Next()
			c := (<-coming).Begin()
			sitetest.MustLoad(t, sites, change(app))
			c.WantClosing("source", "draining", "reloaded") // whichever notices first
			upstream.WantClosed()
		})
	}
}

// Logout ends the sources that a user's proof has opened.
func TestSourceLogout(t *testing.T) {
	app := sitetest.NewStreamer(t)
	lines, _ := whoami(t)
	s := sitetest.Serve(t, shared(app, "user authorize /whoami", "linger 1m")+"\n"+lines)
	streams := map[string]*sitetest.Streamed{}
	clients := map[string]*sitetest.Client{}
	for _, user := range []string{"u1", "u2"} {
		coming := opening(s, "/clock", "Cookie", "id="+user)
		streams[user] = app.Next()
		clients[user] = (<-coming).Begin()
		if got := streams[user].Request.Header.Get("Cookie"); got != "id="+user {
			t.Errorf("%s: the app got the cookie %q", user, got)
		}
	}
	if a := s.Do(http.MethodDelete, "/_sse/users/u1", ""); a.Status >= 300 {
		t.Fatalf("got %+v", a)
	}
	clients["u1"].WantClosing("disconnected")
	streams["u1"].WantClosed()
	wantSources(t, 1)
	streams["u2"].Send("data: still here\n\n")
	clients["u2"].Want("still here")
}
