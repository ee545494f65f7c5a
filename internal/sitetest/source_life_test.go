package sitetest_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// wantSources waits until the hub has as many sources.
func wantSources(t *testing.T, n int) {
	t.Helper()
	brokertest.Eventually(t, "the hub has as many sources as it should", func() bool { return len(sources()) == n })
}

// A client that leaves before the app has answered ends the stream for nobody else, and keeps it for nobody.
func TestSourceLeftDuringFirstAnswer(t *testing.T) {
	for _, stay := range []bool{true, false} {
		t.Run(fmt.Sprintf("another stays: %t", stay), func(t *testing.T) {
			app, asked, answer := sitetest.NewStreamer(t), make(chan *http.Request, 10), make(chan bool)
			app.Answer = func(w http.ResponseWriter, r *http.Request) bool {
				asked <- r
				select {
				case <-answer:
					return false
				case <-r.Context().Done():
					return true
				}
			}
			s := sitetest.Serve(t, shared(app, "", "share everyone\nlinger 300ms"))
			ask := func() (leave func(), came <-chan *sitetest.Client) {
				ctx, cancel := context.WithCancel(t.Context())
				c := make(chan *sitetest.Client, 1)
				go func() {
					resp, err := s.HTTP.Do(s.Request(ctx, "GET", "/clock", nil, []string{"Accept", sitetest.EventStream}))
					if err == nil {
						resp.Body.Close()
					}
					c <- nil
				}()
				return cancel, c
			}
			leave, gone := ask()
			request := <-asked
			var other <-chan *sitetest.Client
			if stay {
				other = opening(s, "/clock")
				brokertest.Eventually(t, "two wait", func() bool { return sources()[0].Asking == 2 })
			}
			leave()
			<-gone
			if stay {
				brokertest.Eventually(t, "one has left", func() bool { return sources()[0].Asking == 1 })
				close(answer)
				app.Next().Send("data: one\n\n")
				(<-other).Begin().Want("one")
				if total, _, _ := app.Counts(); total != 1 {
					t.Errorf("the app got %d requests", total)
				}
				return
			}
			<-request.Context().Done()
			wantSources(t, 0)
			back := opening(s, "/clock")
			<-asked
			close(answer)
			app.Next().Send("data: one\n\n")
			(<-back).Begin().Want("one")
		})
	}
}

// The client that gets an answer which is no stream may leave in the middle of it. The app is then read no further, and the next client
// is answered by the app itself.
func TestSourceLeftDuringAnotherAnswer(t *testing.T) {
	app, asked := sitetest.NewStreamer(t), make(chan *http.Request, 10)
	app.Answer = func(w http.ResponseWriter, r *http.Request) bool {
		_, _ = w.Write([]byte("<p>wait</p>"))
		_ = http.NewResponseController(w).Flush()
		asked <- r
		<-r.Context().Done()
		return true
	}
	s := sitetest.Serve(t, shared(app, "", "share everyone"))
	for range 2 {
		ctx, leave := context.WithCancel(t.Context())
		resp, err := s.HTTP.Do(s.Request(ctx, "GET", "/clock", nil, []string{"Accept", sitetest.EventStream}))
		if err != nil {
			t.Fatal(err)
		}
		request := <-asked
		leave()
		resp.Body.Close()
		<-request.Context().Done()
		wantSources(t, 0)
	}
}

// When all have left, the stream of the app is kept for a while, and then closed at its next output. Until then, it is rejoined.
func TestSourceLingers(t *testing.T) {
	app := sitetest.NewStreamer(t)
	s := sitetest.Serve(t, shared(app, "", "share everyone\nlinger 300ms"))
	c, upstream := begun(s, app, "/clock", "data: one\n\n")
	c.Close()
	brokertest.Eventually(t, "the source lingers", func() bool { return sources()[0].State == "lingering" })
	upstream.Send("data: two\n\n")
	brokertest.Eventually(t, "the source has read it", func() bool { return sources()[0].Events == 2 })
	c = s.Open("/clock")
	c.Want("two")
	c.Close()
	brokertest.Eventually(t, "the source is ending", func() bool { return sources()[0].State == "ending" })
	c = s.Open("/clock") // the app is silent, and does not notice
	c.Want("two")
	upstream.Send("data: three\n\n")
	c.Want("three")
	if total, _, _ := app.Counts(); total != 1 || !upstream.IsOpen() {
		t.Errorf("the app got %d requests", total)
	}
	last := c.LastID
	c.Close()
	brokertest.Eventually(t, "the source is ending again", func() bool { return sources()[0].State == "ending" })
	upstream.Send("data: four\n\n")
	upstream.WantClosed()
	wantSources(t, 0)
	brokertest.Eventually(t, "the log says so", func() bool {
		return s.Logged("source begins", "/clock") && s.Logged("source ended", "nobody listens", `"events":4`)
	})
	coming := opening(s, "/clock", "Last-Event-ID", last) // of an earlier life
	upstream = app.Next()
	if id := upstream.Request.Header["Last-Event-Id"]; id != nil {
		t.Errorf("the app got the client's id %q", id)
	}
	upstream.Send("data: five\n\n")
	c = (<-coming).Begin()
	c.WantGap("upstream")
	c.Want("five")
	if total, _, most := app.Counts(); total != 2 || most != 1 {
		t.Errorf("the app got %d requests, %d at once", total, most)
	}
}

// The app's stream is opened again when it ends, from the last id that was read. Only a break in the middle of an event is a gap.
func TestSourceOpensAgain(t *testing.T) {
	app := sitetest.NewStreamer(t)
	s := sitetest.Serve(t, shared(app, "", "share everyone"))
	c, upstream := begun(s, app, "/clock", "retry: 1\nid: 7\ndata: one\n\n")
	for i, end := range []func(){
		upstream.End,
		func() { upstream.Break() },
		func() { upstream.Send("id: 8\n\ndata: half"); upstream.Break() },
		func() { upstream.Send("id: 9\ndata: half\n"); upstream.End() },
	} {
		end()
		upstream = app.Next()
		if got, want := upstream.Request.Header.Get("Last-Event-ID"), []string{"7", "7", "8", "8"}[i]; got != want {
			t.Errorf("%d: the app was asked for what follows %q, want %q", i, got, want)
		}
		upstream.Send("data: more\n\n")
		if i >= 2 {
			c.WantGap("upstream")
		}
		c.Want("more")
	}
	if got := sources()[0]; got.Reopened != 4 || got.State != "open" || got.LastError != "" {
		t.Errorf("got %+v", got)
	}
	if total, _, most := app.Counts(); total != 5 || most != 1 {
		t.Errorf("the app got %d requests, %d at once", total, most)
	}
}

// What the app answers when its stream is opened again decides how it goes on: an error that may pass is waited out, others end the
// source, so that its clients come again and get the answer themselves.
func TestSourceIsRefusedAgain(t *testing.T) {
	html, gzip := http.Header{"Content-Type": {"text/html"}}, http.Header{"Content-Type": {sitetest.EventStream}, "Content-Encoding": {"gzip"}}
	for _, c := range []struct {
		status int
		header http.Header
		ends   bool
	}{
		{status: 500}, {status: 503}, {status: 429}, {status: 500, header: html}, {status: 204, ends: true}, {status: 401, ends: true}, {status: 404, ends: true},
		{status: 302, ends: true}, {status: 200, header: html, ends: true}, {status: 200, header: gzip, ends: true},
	} {
		t.Run(fmt.Sprint(c.status, c.header), func(t *testing.T) {
			app := sitetest.NewStreamer(t)
			s := sitetest.Serve(t, shared(app, "", "share everyone"))
			client, upstream := begun(s, app, "/clock", "retry: 1\ndata: one\n\n")
			refusing := make(chan bool, 1)
			refusing <- true
			app.Answer = func(w http.ResponseWriter, r *http.Request) bool {
				select {
				case <-refusing:
					maps.Copy(w.Header(), c.header)
					w.WriteHeader(c.status)
					return true
				default:
					return false
				}
			}
			upstream.End()
			if c.ends {
				client.WantClosing("source")
				wantSources(t, 0)
				return
			}
			app.Next().Send("data: two\n\n")
			client.Want("two")
			client.Close()
		})
	}
}

// Whatever the app sends, Caddy and the other streams live on.
func TestSourceBadInput(t *testing.T) {
	const tail = "data: end\n\n"
	for _, c := range []struct {
		name, text string
		want       []string // type and data
		again      bool     // the stream is opened again, after a gap
	}{
		{name: "10 MB without a newline", text: "data: " + strings.Repeat("x", 10<<20), again: true},
		{name: "an event that is too large", text: strings.Repeat("data: "+strings.Repeat("x", 1000)+"\n", 100) + "\n", again: true},
		{name: "invalid UTF-8", text: "event: \xff\ndata: \xc3\xff\n\n", want: []string{"\uFFFD \uFFFD\uFFFD"}},
		{name: "retry of a year", text: "retry: 31536000000\ndata: a\n\n", want: []string{"message a"}},
		{name: "events of the hub's own", text: "event: sse:gap\ndata: a\n\nevent: sse:rejected\ndata: b\n\n"},
		{name: "an id of 10 kB", text: "id: " + strings.Repeat("x", 10<<10) + "\ndata: a\n\n", want: []string{"message a"}},
		{name: "a control character in an id", text: "id: \x01\ndata: a\n\n", want: []string{"message a"}},
		{name: "NUL", text: "id: \x00\ndata: \x00\nevent: \x00\n\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			app := sitetest.NewStreamer(t)
			s := sitetest.Serve(t, shared(app, "", "share everyone\nevent 64KiB"))
			coming := opening(s, "/clock")
			upstream := app.Next()
			upstream.Send("retry: 1\n")
			client := (<-coming).Begin()
			for part := range strings.SplitSeq(c.text, "\x02") {
				upstream.Send(part)
			}
			if c.again {
				upstream.WantClosed()
				upstream = app.Next()
				client.WantGap("upstream")
				brokertest.Eventually(t, "the log says why", func() bool { return s.Logged("the stream of a source has failed", "an event is longer than event") })
			}
			for _, want := range c.want {
				m := client.Next()
				if got := m.Type + " " + m.Data; got != want || strings.Contains(m.ID, "~") {
					t.Errorf("got %q with the id %q, want %q", got, m.ID, want)
				}
			}
			upstream.Send(tail)
			client.Want("end")
		})
	}
}
