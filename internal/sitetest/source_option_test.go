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

// What a newcomer hears of the past, and one whose id is of another log.
func TestSourceReplay(t *testing.T) {
	for replay, want := range map[string][]string{"last": {"3", "4"}, "off": nil, "1": {"4"}, "3": {"2", "3", "4"}, "100": {"1", "2", "3", "4"}} {
		t.Run(replay, func(t *testing.T) {
			app := sitetest.NewStreamer(t)
			s := sitetest.Serve(t, shared(app, "", "share everyone\nreplay "+replay))
			coming := opening(s, "/clock")
			upstream := app.Next()
			c := (<-coming).Begin()
			upstream.Send("event: a\ndata: 1\n\ndata: 2\n\nevent: a\ndata: 3\n\nid: x\ndata: 4\n\n")
			c.Want("1", "2", "3", "4")
			last := c.LastID
			fresh, foreign := s.Open("/clock"), s.Resume("/clock", "abc.5")
			foreign.WantGap("unknown")
			fresh.Want(want...)
			foreign.Want(want...)
			upstream.Send("data: 5\n\n")
			fresh.Want("5")
			foreign.Want("5")
			s.Resume("/clock", last).Want("5")
		})
	}
}

// `replay last` keeps the newest event of 16 names.
func TestSourceReplayBound(t *testing.T) {
	app := sitetest.NewStreamer(t)
	s := sitetest.Serve(t, shared(app, "", "share everyone"))
	coming := opening(s, "/clock")
	upstream := app.Next()
	c := (<-coming).Begin()
	var want []string
	for i := range 20 {
		upstream.Send(fmt.Sprintf("event: name%d\ndata: %d\n\n", i, i))
		c.Want(fmt.Sprint(i))
		if i >= 4 {
			want = append(want, fmt.Sprint(i))
		}
	}
	n := s.Open("/clock")
	n.Want(want...)
	upstream.Send("data: end\n\n")
	n.Want("end")
}

// No more sources than allowed are opened, of the hub or by the clients of one address.
func TestSourceLimits(t *testing.T) {
	for options, want := range map[string]int{"max 2": 2, "per_client 2": 2, "": 5, "per_client off": 7} {
		t.Run(options, func(t *testing.T) {
			app := sitetest.NewStreamer(t)
			s := sitetest.Serve(t, shared(app, "", options))
			for i := range 7 {
				coming := opening(s, "/clock", "Cookie", fmt.Sprintf("session=%d", i))
				if i < want {
					app.Next()
					(<-coming).Begin()
					continue
				}
				c := <-coming
				if m := c.Next(); m.Type != "sse:rejected" || c.Retry == 0 {
					t.Errorf("%d: got %q", i, m)
				}
			}
			s.Open("/clock", "Cookie", "session=0")
			if total, _, _ := app.Counts(); total != want {
				t.Errorf("the app got %d requests", total)
			}
		})
	}
}

// An app that does not answer in time is asked no longer.
func TestSourceFirstAnswer(t *testing.T) {
	app := sitetest.NewStreamer(t)
	given := make(chan bool)
	app.Answer = func(_ http.ResponseWriter, r *http.Request) bool {
		<-r.Context().Done()
		close(given)
		return true
	}
	s := sitetest.Serve(t, shared(app, "", "share everyone\nfirst_answer 500ms"))
	c := <-opening(s, "/clock")
	if m := c.Next(); m.Type != "sse:rejected" || c.Retry < time.Second {
		t.Errorf("got %q", m)
	}
	c.WantEnd()
	<-given
	wantSources(t, 0)
	if !s.Logged("the app has not answered in time", "/clock") {
		t.Error("the log does not tell of it")
	}
}

// Headers of the app's answer reach no client; those of an answer for everyone that is no stream reach the one who asked, without
// cookies.
func TestSourceHeaders(t *testing.T) {
	app := sitetest.NewStreamer(t)
	status := http.StatusOK
	app.Answer = func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Set-Cookie", "a=1")
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("X-App", "1")
		w.Header().Set("X-SSE-Topics", "secret")
		if status != http.StatusOK {
			w.WriteHeader(status)
			return true
		}
		return false
	}
	s := sitetest.Serve(t, shared(app, "cors_origins https://app.example", "share everyone\nlinger 300ms"))
	coming := opening(s, "/clock", "Origin", "https://app.example")
	app.Next()
	c := <-coming
	if h := c.Header; h.Get("Set-Cookie") != "" || h.Get("X-App") != "" || h.Get("X-Sse-Topics") != "" ||
		h.Get("Access-Control-Allow-Origin") != "https://app.example" || h.Get("Content-Type") != sitetest.EventStream {
		t.Errorf("got %v", h)
	}
	c.Close()
	brokertest.Eventually(t, "the source is ending", func() bool { return len(sources()) == 1 && sources()[0].State == "ending" })
	status = http.StatusForbidden
	a := s.Do("GET", "/clock?other", "", "Accept", sitetest.EventStream, "Origin", "https://app.example")
	if h := a.Header; a.Status != 403 || h.Get("Set-Cookie") != "" || h.Get("X-App") != "1" || len(h["Access-Control-Allow-Origin"]) != 1 ||
		h.Get("Access-Control-Allow-Origin") != "https://app.example" {
		t.Errorf("got %+v", a)
	}
	if a := s.Do("GET", "/clock?third", "", "Accept", sitetest.EventStream, "Origin", "https://evil.example"); a.Status != 403 || a.Header.Get("X-App") != "" {
		t.Errorf("a page of another origin got %+v", a)
	}
	if a := s.Do("OPTIONS", "/clock", "", "Access-Control-Request-Method", "GET", "Origin", "https://app.example"); a.Status != 204 || a.Header.Get("X-App") != "" {
		t.Errorf("the preflight got %+v", a)
	}
}

// The app is asked as the site's handlers before the directive have it.
func TestSourceAsTheSiteHasIt(t *testing.T) {
	app := sitetest.NewStreamer(t)
	s := sitetest.Serve(t, `
	vars tenant t1
	handle_path /api/* {
		rewrite /v2{uri}
		request_header X-Before yes
		`+strings.Replace(shared(app, "", ""), "/clock", "/v2/clock", 1)+` {
			header_up X-Tenant {vars.tenant}
			header_up X-Original {http.request.orig_uri}
			header_up X-Scheme {http.request.scheme}
		}
	}`)
	coming := opening(s, "/api/clock?a=1", "Cookie", "session=1", "User-Agent", "test", "Range", "bytes=0-", "If-None-Match", "x", "X-SSE-User", "admin",
		"Last-Event-ID", "forged", "Accept-Encoding", "br")
	upstream := app.Next()
	r := upstream.Request
	for name, want := range map[string]string{
		"X-Tenant": "t1", "X-Original": "/api/clock?a=1", "X-Scheme": "http", "X-Before": "yes", "User-Agent": "test", "Cookie": "session=1",
		"X-Forwarded-For": "127.0.0.1", "Accept-Encoding": "identity", "Range": "", "If-None-Match": "", "X-Sse-User": "", "Last-Event-Id": "",
	} {
		if got := r.Header.Get(name); got != want {
			t.Errorf("the app got %s: %q, want %q", name, got, want)
		}
	}
	if r.URL.String() != "/v2/clock?a=1" {
		t.Errorf("the app was asked for %s", r.URL)
	}
	(<-coming).Begin()
}

// What handlers before the directive have set as variables may come from a client, and so does not reach the app with a request for
// everyone. Where the site's files are does.
func TestSourceForEveryoneHasNoVars(t *testing.T) {
	app := sitetest.NewStreamer(t)
	s := sitetest.Serve(t, `
	vars session {http.request.cookie.session}
	root * /srv/app
	`+shared(app, "", "share everyone")+` {
		header_up X-Session {vars.session}
		header_up X-Root {vars.root}
	}`)
	coming := opening(s, "/clock", "Cookie", "session=secret")
	r := app.Next().Request
	if session, root := r.Header.Get("X-Session"), r.Header.Get("X-Root"); session != "" || root != "/srv/app" {
		t.Errorf("the app got the session %q and the root %q", session, root)
	}
	(<-coming).Begin()
}

// The app is asked for everyone with the parameters that count, and no other: one client's are not to be heard by all. If the site has
// rewritten the query, that has them too, and counts as it is.
func TestSourceForEveryoneHasItsQuery(t *testing.T) {
	app := sitetest.NewStreamer(t)
	s := sitetest.Serve(t, `
	@rewritten path /r/*
	handle @rewritten {
		rewrite /feed?feed=1&{query}
		`+strings.Replace(shared(app, "", "share everyone\nquery room"), "/clock", "/feed", 1)+`
	}
	`+shared(app, "", "share everyone\nquery room")+` {
		header_up X-Original {http.request.orig_uri}
	}`)
	coming := opening(s, "/clock?callback=evil&room=a&room=b&ROOM=c")
	r := app.Next().Request
	if original := r.Header.Get("X-Original"); r.URL.String() != "/clock?room=a&room=b" || original != r.URL.String() {
		t.Errorf("the app was asked for %s, by %s", r.URL, original)
	}
	(<-coming).Begin()
	s.Open("/clock?room=a&room=b&callback=other") // the same source

	for _, query := range []string{"room=a", "room=a&feed=2"} {
		coming := opening(s, "/r/feed?"+query)
		if got := app.Next().Request.URL.RawQuery; got != "feed=1&"+query {
			t.Errorf("the app was asked for %s", got)
		}
		(<-coming).Begin()
	}
}
