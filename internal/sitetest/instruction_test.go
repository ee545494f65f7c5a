package sitetest_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// A client that lists an instruction in Connection would have the next hop remove the proxy's own.
func TestConnectionCannotNameInstructions(t *testing.T) {
	s := sitetest.Serve(t, echo(t, ""))
	id := s.Open("/events", "Cookie", "id=u1").Connected.Connection
	for _, lines := range []string{
		"Connection: close, X-SSE-User", "Connection: x-sse-user,close", "Connection: close\r\nConnection: X-SSE-User , X-SSE-Connection",
		"Connection: close,, X_SSE_User,\tX-Sse-Connection\t", "Connection: close\r\nProxy-Connection: X-SSE-User",
	} {
		a := s.Raw(fmt.Sprintf("POST /events/%s HTTP/1.1\r\nHost: %s\r\nOrigin: %s\r\nCookie: id=u1\r\n%s\r\nContent-Length: 5\r\n\r\nhello", id, s.Addr, s.URL, lines))
		if want := "POST /events/" + id + " hello X-Sse-Connection=" + id + " X-Sse-User=u1"; a.Status != 200 || a.Body != want {
			t.Errorf("%q: got %d %q, want %q", lines, a.Status, a.Body, want)
		}
	}
	// What else it lists still does not reach the app.
	a := s.Raw(fmt.Sprintf("POST /x HTTP/1.1\r\nHost: %s\r\nConnection: close, X-SSE-User, X-Mine\r\nX-Mine: x\r\nX-SSE-User: admin\r\nContent-Length: 0\r\n\r\n", s.Addr))
	if a.Status != 200 || a.Body != "POST /x  " {
		t.Errorf("got %d %q", a.Status, a.Body)
	}
}

// Trailers come after the body, when the headers have been looked at: they carry no instructions all the same.
func TestTrailersCarryNoInstructions(t *testing.T) {
	sitetest.OverAll(t, func(t *testing.T, protocol, tls string) {
		s := sitetest.Serve(t, tls+echo(t, ""))
		s.Via(protocol)
		id := s.Open("/events", "Cookie", "id=u1").Connected.Connection
		own := " X-Sse-Connection=" + id + " X-Sse-User=u1"
		for path, instructions := range map[string]string{"/events/" + id: own, "/anything": ""} {
			ctx, cancel := context.WithTimeout(context.Background(), sitetest.Limit)
			defer cancel()
			r := s.Request(ctx, http.MethodPost, path, io.MultiReader(strings.NewReader("hello")), []string{"Origin", s.URL, "Cookie", "id=u1"})
			r.Trailer = http.Header{"X-Sse-User": {"admin"}, "X_SSE_User": {"admin"}, "X-Sse-Connection": {"other"}, "Checksum": {"7"}}
			resp, err := s.HTTP.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if want := "POST " + path + " hello" + instructions + " trailer Checksum=7"; err != nil || strings.Join(strings.Fields(string(b)), " ") != want {
				t.Errorf("%s: got %q, %v, want %q", path, b, err, want)
			}
		}
	})
}

// A trailer need not be announced.
func TestUnannouncedTrailers(t *testing.T) {
	s := sitetest.Serve(t, echo(t, ""))
	id := s.Open("/events", "Cookie", "id=u1").Connected.Connection
	for _, announced := range []string{"", "Trailer: X-SSE-User\r\n", "Trailer: Checksum\r\n", "Trailer: x-sse-user, Checksum\r\nTE: trailers\r\n"} {
		a := s.Raw(fmt.Sprintf("POST /events/%s HTTP/1.1\r\nHost: %s\r\nOrigin: %s\r\nCookie: id=u1\r\nConnection: close\r\n%sTransfer-Encoding: chunked\r\n\r\n"+
			"5\r\nhello\r\n0\r\nX-SSE-User: admin\r\nx_sse_user: admin\r\nChecksum: 7\r\n\r\n", id, s.Addr, s.URL, announced))
		if !strings.HasPrefix(a.Body, "POST /events/"+id+" hello X-Sse-Connection="+id+" X-Sse-User=u1") || strings.Contains(a.Body, "admin") ||
			(announced != "") != strings.Contains(a.Body, "trailer Checksum=7") {
			t.Errorf("%q: got %d %q", announced, a.Status, a.Body)
		}
	}
}

// Of an answer's instructions nothing reaches a client: no header, no trailer, no name in a list.
func TestAnswersShowNoInstructions(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("hold") {
			w.Header().Set("X-SSE-Hold", "stream")
		}
		w.Header().Set("Trailer", "X-SSE-User, Checksum")
		w.Header().Set("X-SSE-Topics", "room")
		io.WriteString(w, "data: first\n\n")
		w.(http.Flusher).Flush()
		w.Header().Set("X-SSE-User", "u1")
		w.Header().Set("Checksum", "7")
		w.Header().Set(http.TrailerPrefix+"X-SSE-Publish", "broadcast=1")
	}))
	t.Cleanup(server.Close)
	behind := "reverse_proxy " + strings.TrimPrefix(server.URL, "http://")
	for name, directive := range map[string]string{"publish_header": "anonymous\npublish_header user", "two_way": "anonymous\ntwo_way", "upstream": "upstream"} {
		t.Run(name, func(t *testing.T) {
			s := sitetest.Serve(t, app(directive, `header /listed Connection "X-SSE-Publish, X_SSE_User"
				header /listed Trailer X-SSE-Hold
				respond /listed "a page"
				`+behind))
			targets := []string{"/listed", "/page"}
			if name == "upstream" {
				targets = append(targets, "/events")
			}
			for _, target := range targets {
				conn, reader := s.Dial("GET " + target + " HTTP/1.1\r\nHost: " + s.Addr + "\r\nTE: trailers\r\nConnection: close\r\n\r\n")
				b, err := io.ReadAll(reader)
				conn.Close()
				if text := strings.ToLower(string(b)); err != nil || strings.Contains(text, "x-sse") || strings.Contains(text, "x_sse") {
					t.Errorf("%s: got %v\n%s", target, err, b)
				}
			}
			if name == "upstream" {
				c := s.Open("/events?hold")
				if text := fmt.Sprint(c.Header); c.Next().Data != "first" || strings.Contains(text, "X-Sse") {
					t.Errorf("got %s", text)
				}
			}
		})
	}
}

// Trailers of a GET that goes on to an app that holds streams are no different.
func TestUpstreamTrailers(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := httputil.DumpRequest(r, true)
		if err == nil {
			fmt.Fprintf(w, "%s%v", b, r.Trailer)
		}
	}))
	t.Cleanup(server.Close)
	s := sitetest.Serve(t, "sse_push /events {\nupstream\n}\nreverse_proxy "+strings.TrimPrefix(server.URL, "http://"))
	a := s.Raw("GET /events HTTP/1.1\r\nHost: " + s.Addr + "\r\nConnection: close, X-SSE-User\r\nTrailer: X-SSE-User\r\nTransfer-Encoding: chunked\r\n\r\n" +
		"5\r\nhello\r\n0\r\nX-SSE-User: admin\r\n\r\n")
	if a.Status != 200 || !strings.Contains(a.Body, "hello") || strings.Contains(a.Body, "admin") {
		t.Errorf("got %d %s", a.Status, a.Body)
	}
}

// Two directives handle one request: neither removes what the other adds for the app or expects from it.
func TestInstructionsOfTwoDirectives(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/streams" {
			w.Header().Set("X-SSE-Hold", "stream")
			w.Header().Set("X-SSE-User", "u2")
		}
		w.Header().Set("X-SSE-Publish", "user=watcher&data="+r.URL.Path[1:4])
		fmt.Fprintf(w, "%s %q", r.Header["X-Sse-User"], r.Header["X-Sse-Topics"])
	}))
	t.Cleanup(app.Close)
	const (
		twoWays   = "sse_push /events {\nhub main\nuser query userId\ntwo_way\ninternal /_sse {\nallow loopback\n}\n}\n"
		streams   = "sse_push /streams {\nhub main\nupstream\n}\n"
		publishes = "sse_push /others {\nhub main\nanonymous\npublish_header user\n}\n"
	)
	for name, directives := range map[string]string{
		"publish_header last": twoWays + streams + publishes, "publish_header first": publishes + streams + twoWays,
		"publish_header in the middle": streams + publishes + twoWays,
	} {
		t.Run(name, func(t *testing.T) {
			s := sitetest.Serve(t, "route {\n"+directives+"reverse_proxy "+strings.TrimPrefix(app.URL, "http://")+"\n}")
			watcher := s.Open("/events?userId=watcher")
			c := s.Open("/events?userId=u1&client=" + clientName)
			a := s.Do(http.MethodPost, "/events/"+c.Connected.Connection+"?userId=u1", "hello", "Origin", s.URL, "X-SSE-User", "admin", "X-SSE-Topics", "**")
			if a.Status != http.StatusOK || a.Body != `[u1] []` {
				t.Errorf("the app was sent %d %s", a.Status, a.Body)
			}
			watcher.Want("eve")
			if held := s.Open("/streams"); held.Connected.User == nil || *held.Connected.User != "u2" || held.Header.Get("X-SSE-Publish") != "" {
				t.Errorf("got %+v, %v", held.Connected, held.Header)
			}
			watcher.Want("str")
			a = s.Do(http.MethodGet, "/pages", "", "X-SSE-User", "admin")
			if a.Body != `[] []` || a.Header.Get("X-SSE-Publish") != "" {
				t.Errorf("a client that claims to be somebody: %s, %v", a.Body, a.Header)
			}
			watcher.Want("pag")
			s.Publish("user", "watcher", "data", "and no more")
			watcher.Want("and no more")
		})
	}
}
