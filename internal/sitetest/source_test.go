package sitetest_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/pool"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// shared returns a site that shares what an app streams at /clock.
func shared(app *sitetest.Streamer, more, options string) string {
	return `sse_push /clock {
		hub main
		anonymous
		internal /_sse {
			allow loopback
		}
		` + more + `
		source {
			` + options + `
		}
	}
	reverse_proxy ` + app.Address
}

// One stream of the app serves all who listen, with ids by which they can resume. A newcomer hears the newest event of each name.
func TestSourceForEveryone(t *testing.T) {
	app := sitetest.NewStreamer(t)
	s := sitetest.Serve(t, shared(app, "", "share everyone"))
	first := make(chan *sitetest.Client)
	go func() {
		first <- s.Open("/clock?zone=utc", "Cookie", "session=1", "Authorization", "Bearer x", "X-Forwarded-For", "203.0.113.9", "X-Key", "y")
	}()
	upstream := app.Next()
	a := <-first
	if got := upstream.Request; got.URL.String() != "/clock?zone=utc" || got.Host != s.Addr || got.Header.Get("Accept") != sitetest.EventStream {
		t.Errorf("the app was asked for %s of %s, accepting %q", got.URL, got.Host, got.Header.Get("Accept"))
	}
	for name, lines := range upstream.Request.Header {
		switch name {
		case "Accept", "Accept-Encoding", "Via", "X-Forwarded-Host", "X-Forwarded-Proto":
		case "X-Forwarded-For":
			if lines[0] != "0.0.0.0" {
				t.Errorf("the app sees the address %q", lines)
			}
		default:
			t.Errorf("the app sees %s: %q", name, lines)
		}
	}
	upstream.Send("id: 1\nevent: tick\ndata: one\n\nid: 2\nevent: tick\ndata: two\n\nevent: error\ndata: oops\n\n:\nretry: 86400000\nid: 3\ndata: three\n\n")
	for _, want := range []struct{ id, name, data string }{{"1", "tick", "one"}, {"2", "tick", "two"}, {"2", "error", "oops"}, {"3", "message", "three"}} {
		m := a.Next()
		if position, id, ok := strings.Cut(m.ID, "~"); m.Type != want.name || m.Data != want.data || !ok || id != want.id || position == "" {
			t.Errorf("got %+v, want %+v", m, want)
		}
	}
	if a.Retry > 10e9 {
		t.Errorf("the client is to wait %v", a.Retry)
	}
	b := s.Open("/clock?zone=utc", "Cookie", "session=2")
	b.Want("two", "oops", "three")
	upstream.Send("event: tick\ndata: four\n\n")
	a.Want("four")
	b.Want("four")
	if total, open, _ := app.Counts(); total != 1 || open != 1 {
		t.Errorf("the app got %d requests", total)
	}
	last := a.LastID
	a.Close()
	upstream.Send("data: five\n\n")
	b.Want("five")
	a = s.Resume("/clock?zone=utc", last)
	a.Want("five")
	upstream.Send("data: six\n\n")
	a.Want("six")
	b.Want("six")
	if total, _, _ := app.Counts(); total != 1 {
		t.Errorf("the app got %d requests", total)
	}
}

// Only a GET that asks for an event stream is shared.
func TestSourceIsNotFor(t *testing.T) {
	app := sitetest.NewStreamer(t)
	app.Answer = func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("X-Method", r.Method)
		w.Header().Set("X-Sse-Hold", "stream")
		_, _ = w.Write([]byte(r.Header.Get("X-Mine")))
		return true
	}
	s := sitetest.Serve(t, shared(app, "", "share everyone"))
	for _, c := range []struct{ method, accept string }{
		{"GET", "*/*"}, {"GET", "text/html, */*"}, {"GET", ""}, {"GET", "text/*"}, {"HEAD", sitetest.EventStream}, {"POST", sitetest.EventStream},
		{"PUT", sitetest.EventStream}, {"OPTIONS", sitetest.EventStream},
	} {
		headers := []string{"X-Mine", "mine"}
		if c.accept != "" {
			headers = append(headers, "Accept", c.accept)
		}
		a := s.Do(c.method, "/clock", "", headers...)
		if want := map[bool]string{true: "", false: "mine"}[c.method == "HEAD"]; a.Status != 200 || a.Header.Get("X-Method") != c.method || a.Body != want {
			t.Errorf("%+v: got %+v", c, a)
		}
	}
}

// sources returns what operators see of the sources of the one hub.
func sources() []pool.Source { return pool.Live()[0].SourceList() }

// opening asks for a stream, which may have to wait for the app.
func opening(s *sitetest.Site, target string, headers ...string) <-chan *sitetest.Client {
	c := make(chan *sitetest.Client, 1)
	go func() { c <- s.Stream("GET", target, "", append(headers, "Accept", sitetest.EventStream)...) }()
	return c
}

// begun has a client listen to a source that its request starts, and the app send it the event "one", in a text that may hold more.
func begun(s *sitetest.Site, app *sitetest.Streamer, target, text string, headers ...string) (*sitetest.Client, *sitetest.Streamed) {
	s.T.Helper()
	coming := opening(s, target, headers...)
	upstream := app.Next()
	upstream.Send(text)
	c := (<-coming).Begin()
	c.Want("one")
	return c, upstream
}

// Who shares a stream, and who does not.
func TestSourceKeys(t *testing.T) {
	session := []string{"Cookie", "session=1; theme=dark"}
	for _, c := range []struct {
		name, more, options string
		a, b                []string
		hosts               [2]string
		targets             [2]string
		share               bool
	}{
		{name: "one session", a: session, b: session, share: true},
		{name: "two sessions", a: session, b: []string{"Cookie", "session=2; theme=dark"}},
		{name: "a cookie more", a: session, b: []string{"Cookie", "session=1"}},
		{name: "a cookie that does not count", options: "cookies session", a: session, b: []string{"Cookie", "x=1; session=1"}, share: true},
		{name: "a cookie that counts", options: "cookies session", a: session, b: []string{"Cookie", "session=2"}},
		{name: "a cookie given twice", options: "cookies session", a: session, b: []string{"Cookie", "session=1; session=2"}},
		{name: "two tokens", a: []string{"Authorization", "Bearer 1"}, b: []string{"Authorization", "Bearer 2"}},
		{name: "one token", a: []string{"Authorization", "Bearer 1"}, b: []string{"Authorization", "Bearer 1"}, share: true},
		{name: "a token and a cookie", a: []string{"Authorization", "session=1"}, b: []string{"Cookie", "session=1"}},
		{name: "two queries", a: session, b: session, targets: [2]string{"/clock?a=1", "/clock?a=2"}},
		{name: "a forged user", more: "user query userId", a: session, b: []string{"Cookie", "session=2"}, targets: [2]string{"/clock?userId=u1", "/clock?userId=u1"}},
		{name: "no credentials but a forged user", more: "user query userId", targets: [2]string{"/clock?userId=u1", "/clock?userId=u1"}},
		{name: "no credentials"},
		{name: "no credentials that count", options: "cookies session", a: []string{"Cookie", "theme=dark"}, b: []string{"Cookie", "theme=dark"}},
		{name: "everyone", options: "share everyone", a: session, b: []string{"Cookie", "session=2"}, share: true},
		{name: "everyone, two queries", options: "share everyone", targets: [2]string{"/clock?a=1", "/clock?a=2"}},
		{name: "a parameter that does not count", options: "share everyone\nquery a", targets: [2]string{"/clock?a=1&b=1", "/clock?b=2&a=1"}, share: true},
		{name: "a parameter that counts", options: "share everyone\nquery a", targets: [2]string{"/clock?a=1&b=1", "/clock?a=1&a=2"}},
		{name: "two hosts", options: "share everyone", hosts: [2]string{"a.example", "b.example"}},
		{name: "two hosts of a session", a: session, b: session, hosts: [2]string{"a.example", "b.example"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			app := sitetest.NewStreamer(t)
			s := sitetest.Serve(t, shared(app, c.more, c.options))
			ask := func(i int, headers []string) <-chan *sitetest.Client {
				target := c.targets[i]
				if target == "" {
					target = "/clock"
				}
				if c.hosts[i] != "" {
					headers = append(slices.Clone(headers), "Host", c.hosts[i])
				}
				return opening(s, target, headers...)
			}
			a := ask(0, c.a)
			one := app.Next()
			one.Send("data: one\n\n")
			first := <-a
			b := ask(1, c.b)
			if !c.share {
				two := app.Next()
				two.Send("data: two\n\n")
				second := <-b
				for client, want := range map[*sitetest.Client]string{first: "one", second: "two"} {
					for {
						if m := client.Next(); m.Type == "sse:connected" {
							continue
						} else if m.Data != want {
							t.Errorf("got %q, want %q", m, want)
						}
						break
					}
				}
				return
			}
			(<-b).Begin().Want("one")
			first.Begin().Want("one")
			if total, _, _ := app.Counts(); total != 1 {
				t.Errorf("the app got %d requests", total)
			}
		})
	}
}

// What is no event stream goes to the client that asked, as it is. Those who wait are told to come again, each at another time.
func TestSourceAnswers(t *testing.T) {
	answer := func(status int, headers ...string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			for i := 0; i < len(headers); i += 2 {
				w.Header().Set(headers[i], headers[i+1])
			}
			w.WriteHeader(status)
			if status != http.StatusNoContent {
				_, _ = w.Write([]byte("the body"))
			}
		}
	}
	for _, c := range []struct {
		name   string
		answer func(http.ResponseWriter)
		status int
	}{
		{"204", answer(204), 204},
		{"401", answer(401, "WWW-Authenticate", "Basic"), 401},
		{"500", answer(500), 500},
		{"HTML", answer(200, "Content-Type", "text/html"), 200},
		{"redirect", answer(302, "Location", "/login"), 302},
		{"encoded", answer(200, "Content-Type", sitetest.EventStream, "Content-Encoding", "br"), 200},
		{"206", answer(206, "Content-Type", sitetest.EventStream), 206},
		{"an answer that breaks off", func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("the body"))
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, 200},
		{"no answer", func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, 502},
	} {
		t.Run(c.name, func(t *testing.T) {
			app, asked, answer := sitetest.NewStreamer(t), make(chan bool, 10), make(chan bool)
			app.Answer = func(w http.ResponseWriter, r *http.Request) bool {
				asked <- true
				<-answer
				w.Header().Set("Set-Cookie", "a=1")
				c.answer(w)
				return true
			}
			s := sitetest.Serve(t, shared(app, "", "")+"\n")
			s.HTTP.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			first := make(chan sitetest.Answer, 1)
			go func() {
				resp, err := s.HTTP.Do(s.Request(t.Context(), "GET", "/clock", nil, []string{"Accept", sitetest.EventStream, "Cookie", "session=1"}))
				if err != nil {
					t.Error(err)
					first <- sitetest.Answer{}
					return
				}
				defer resp.Body.Close()
				first <- sitetest.Answer{Status: resp.StatusCode, Header: resp.Header}
			}()
			<-asked
			var others []<-chan *sitetest.Client
			for range 5 {
				others = append(others, opening(s, "/clock", "Cookie", "session=1"))
			}
			brokertest.Eventually(t, "they wait", func() bool { return len(sources()) == 1 && sources()[0].Asking == 6 })
			close(answer)
			if a := <-first; a.Status != c.status || c.status != 502 && a.Header.Get("Set-Cookie") != "a=1" {
				t.Errorf("got %+v", a)
			}
			retries := map[time.Duration]bool{}
			for _, other := range others {
				client := <-other
				if m := client.Next(); m.Type != "sse:rejected" {
					t.Errorf("one who waits got %q", m)
				}
				client.WantEnd()
				retries[client.Retry] = true
			}
			if len(retries) < 3 {
				t.Errorf("they are to come again after %v", retries)
			}
		})
	}
}
