package sitetest_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

const clientName = "0123456789abcdef-ABCDEF_"

// soundsLikeInstruction reports whether an app may take a header for an instruction, however it is spelled.
func soundsLikeInstruction(name string) bool {
	return strings.HasPrefix(strings.NewReplacer("_", "-", ".", "-").Replace(strings.ToLower(name)), "x-sse-")
}

// echo returns a site whose app says what it was sent: method, path, body, every header that it might take for an
// instruction, and every trailer.
func echo(t *testing.T, lines string) string {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var got []string
		for name, values := range r.Header {
			if soundsLikeInstruction(name) {
				got = append(got, fmt.Sprint(name, "=", strings.Join(values, "|")))
			}
		}
		for name, values := range r.Trailer {
			got = append(got, fmt.Sprint("trailer ", name, "=", strings.Join(values, "|")))
		}
		slices.Sort(got)
		if id := r.Header.Get("X-SSE-Connection"); id != "" {
			w.Header().Set("X-SSE-Publish", "connection="+id+"&data=answer")
		}
		fmt.Fprintf(w, "%s %s %s %s", r.Method, r.URL.Path, body, strings.Join(got, " "))
	}))
	t.Cleanup(app.Close)
	return `sse_push /events {
		user ticket ` + secretA + `
		user cookie id
		anonymous
		topics room
		two_way
		publish_header connection
		internal /_sse {
			allow loopback
		}
		` + lines + `
	}
	reverse_proxy ` + strings.TrimPrefix(app.URL, "http://")
}

// postTo posts as a page of the site itself does.
func postTo(s *sitetest.Site, id string, headers ...string) sitetest.Answer {
	s.T.Helper()
	return s.Do(http.MethodPost, "/events/"+id, "hello", append(headers, "Origin", s.URL)...)
}

// A page posts to its own connection; the app hears who it is, and answers to that connection alone.
func TestTwoWay(t *testing.T) {
	sitetest.OverAll(t, func(t *testing.T, protocol, tls string) {
		s := sitetest.Serve(t, tls+echo(t, ""))
		s.Via(protocol)
		c := s.Open("/events?client="+clientName, "Cookie", "id=u1")
		other := s.Open("/events", "Cookie", "id=u1")
		id := c.Connected.Connection
		a := postTo(s, id, "Cookie", "id=u1")
		if want := "POST /events/" + id + " hello X-Sse-Connection=" + id + " X-Sse-User=u1"; a.Status != 200 || a.Body != want {
			t.Fatalf("got %d %q, want %q", a.Status, a.Body, want)
		}
		c.Want("answer")
		s.Publish("user", "u1", "data", "to both")
		other.Want("to both")
		c.Want("to both")

		nobody := s.Open("/events")
		if a := postTo(s, nobody.Connected.Connection); a.Status != 200 || strings.Contains(a.Body, "X-Sse-User") {
			t.Errorf("without a user: got %d %s", a.Status, a.Body)
		}
	})
}

// The id is the same again for the same user and client on the same route, and for no other; what was sent to it meanwhile
// is not lost.
func TestClientKeepsItsConnection(t *testing.T) {
	body := echo(t, "")
	s := sitetest.Serve(t, body)
	open := func(user, name string, headers ...string) *sitetest.Client {
		return s.Open("/events?client="+name, append(headers, "Cookie", "id="+user)...)
	}
	c := open("u1", clientName)
	id := c.Connected.Connection
	if len(id) != 38 || strings.Contains(id, clientName) {
		t.Errorf("got %q", id)
	}
	s.Publish("connection", id, "data", "1")
	c.Want("1")
	c.Close()
	s.Publish("connection", id, "data", "2")
	back := open("u1", clientName, "Last-Event-ID", c.LastID)
	if back.Connected.Connection != id {
		t.Errorf("got %q, want %q", back.Connected.Connection, id)
	}
	back.Want("2")

	for _, pair := range [][2]string{{"u2", clientName}, {"u1", clientName + "x"}, {"", clientName}} {
		if o := open(pair[0], pair[1]); o.Connected.Connection == id {
			t.Errorf("%q has the same", pair)
		}
	}
	if err := sitetest.Load([]*sitetest.Site{s}, body); err != nil {
		t.Fatal(err)
	}
	s.Reconnect()
	newer := open("u1", clientName)
	if newer.Connected.Connection != id {
		t.Error("another one after a reload")
	}
	if m := back.Next(); m.Type != "sse:superseded" || back.Retry != time.Hour {
		t.Errorf("got %q, retry %s", m, back.Retry)
	}
	back.WantEnd()
	brokertest.Eventually(t, "the end in the log", func() bool { return strings.Contains(s.Log(), `"reason":"superseded"`) })

	for _, bad := range []string{"short", strings.Repeat("x", 65), "with%20a%20space%20in%20it", clientName + "&client=" + clientName, ""} {
		if a := s.Do(http.MethodGet, "/events?client="+bad, "", "Accept", sitetest.EventStream); a.Status != 400 || !strings.Contains(a.Body, `"field":"client"`) {
			t.Errorf("%q: got %d %s", bad, a.Status, a.Body)
		}
	}
}

// The id is the same with the same key, as on another node, and another one with any other.
func TestClientKey(t *testing.T) {
	id := func(lines string) string {
		sites := sitetest.ServeAll(t, echo(t, lines)) // stops what was served before
		return sites[0].Open("/events?client="+clientName, "Cookie", "id=u1").Connected.Connection
	}
	known := id("hub a\nclient_key " + secretA)
	t.Setenv("SSE_PUSH_TEST_KEY", secretA)
	for lines, same := range map[string]bool{
		"hub a\nclient_key {env.SSE_PUSH_TEST_KEY}": true, "hub a\nclient_key " + secretB: false, "hub a": false, "hub b\nclient_key " + secretA: false,
	} {
		if got := id(lines); (got == known) != same {
			t.Errorf("%s: got %s beside %s", lines, got, known)
		}
	}
}

// A request that is not from the connection's own user, or not from a page of this site, gets nowhere and learns nothing.
func TestTwoWayRefuses(t *testing.T) {
	s := sitetest.Serve(t, echo(t, "cors_origins https://listed.example"))
	c := s.Open("/events?client="+clientName, "Cookie", "id=u1")
	id := c.Connected.Connection
	changed := id[:30] + map[bool]string{true: "B", false: "A"}[id[30] == 'A'] + id[31:]
	own := []string{"Origin", s.URL, "Cookie", "id=u1"}
	for name, test := range map[string]struct {
		path    string
		headers []string
		status  int
	}{
		"the caller's own":               {id, own, 200},
		"a listed page":                  {id, []string{"Origin", "https://listed.example", "Cookie", "id=u1"}, 200},
		"same-origin, without an Origin": {id, []string{"Sec-Fetch-Site", "same-origin", "Cookie", "id=u1"}, 200},
		"by a ticket":                    {id + "?ticket=" + ticketFor("u1", time.Minute), []string{"Origin", s.URL}, 200},

		"another user":              {id, []string{"Origin", s.URL, "Cookie", "id=u2"}, 404},
		"nobody":                    {id, []string{"Origin", s.URL}, 404},
		"a bad ticket":              {id + "?ticket=x", own, 401},
		"one that is not there":     {strings.Repeat("A", 22), own, 404},
		"one that is made up":       {changed, own, 404},
		"one of the same form":      {strings.Repeat("A", 38), own, 404},
		"the client's name for it":  {clientName, own, 404},
		"another page":              {id, []string{"Origin", "https://evil.example", "Cookie", "id=u1"}, 403},
		"a sandboxed page":          {id, []string{"Origin", "null", "Cookie", "id=u1"}, 403},
		"two origins":               {id, append([]string{"Origin", "https://evil.example"}, own...), 403},
		"another port":              {id, []string{"Origin", "http://127.0.0.1:1", "Cookie", "id=u1"}, 403},
		"no page":                   {id, []string{"Cookie", "id=u1"}, 403},
		"another page, no Origin":   {id, []string{"Sec-Fetch-Site", "cross-site", "Cookie", "id=u1"}, 403},
		"a typed address":           {id, []string{"Sec-Fetch-Site", "none", "Cookie", "id=u1"}, 403},
		"a page of another site":    {id, []string{"Sec-Fetch-Site", "same-site", "Cookie", "id=u1"}, 403},
		"an origin that begins so":  {id, []string{"Origin", s.URL + ".evil.example", "Cookie", "id=u1"}, 403},
		"a name no header can hold": {id + "?ticket=" + ticketFor("u1 ", time.Minute), []string{"Origin", s.URL}, 403},
	} {
		a := s.Do(http.MethodPost, "/events/"+test.path, "hello", test.headers...)
		if a.Status != test.status || (a.Status == 200) != strings.Contains(a.Body, "X-Sse-Connection="+id) {
			t.Errorf("%s: got %d %s", name, a.Status, a.Body)
		}
	}
	c.Close()
	brokertest.Eventually(t, "the client has left", func() bool { return s.CountConnections() == 0 })
	if a := postTo(s, id, "Cookie", "id=u1"); a.Status != 404 {
		t.Errorf("afterwards: got %d %s", a.Status, a.Body)
	}

	preflight := s.Do(http.MethodOptions, "/events/"+id, "", "Origin", "https://listed.example", "Access-Control-Request-Method", "POST")
	if preflight.Status != 204 || preflight.Header.Get("Access-Control-Allow-Origin") != "https://listed.example" {
		t.Errorf("preflight: got %+v", preflight)
	}
	preflight = s.Do(http.MethodOptions, "/events/"+id, "", "Origin", "https://evil.example", "Access-Control-Request-Method", "POST")
	if preflight.Status != 403 || preflight.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("another page's preflight: got %+v", preflight)
	}
}

// Every origin may subscribe, but none may post with another's cookies.
func TestTwoWayWithEveryOrigin(t *testing.T) {
	s := sitetest.Serve(t, echo(t, "cors_origins *"))
	id := s.Open("/events", "Cookie", "id=u1").Connected.Connection
	if a := s.Do(http.MethodPost, "/events/"+id, "", "Origin", "https://evil.example", "Cookie", "id=u1"); a.Status != 403 {
		t.Errorf("got %d %s", a.Status, a.Body)
	}
}

// A route does not post to connections of another route, or of another site's hub.
func TestTwoWayKeepsApart(t *testing.T) {
	site := func(hub, path string) string {
		return strings.Replace(echo(t, "hub "+hub), "/events", path, 1)
	}
	sites := sitetest.ServeAll(t, site("a", "/events"), site("b", "/events"), site("a", "/other"))
	id := sites[0].Open("/events?client="+clientName, "Cookie", "id=u1").Connected.Connection
	if a := postTo(sites[0], id, "Cookie", "id=u1"); a.Status != 200 {
		t.Errorf("its own: got %d", a.Status)
	}
	if a := postTo(sites[1], id, "Cookie", "id=u1"); a.Status != 404 {
		t.Errorf("another hub: got %d", a.Status)
	}
	if a := sites[2].Do(http.MethodPost, "/other/"+id, "", "Origin", sites[2].URL, "Cookie", "id=u1"); a.Status != 404 {
		t.Errorf("another route: got %d", a.Status)
	}
}

// What a client says of itself in our words does not reach the app, whatever the route, the method and the spelling.
func TestTwoWayStripsInstructions(t *testing.T) {
	s := sitetest.ServeWith(t, "expected_underscore_headers X_SSE_User X-SSE_USER X_SSE_CONNECTION\nexpected_dot_headers x.sse.user", echo(t, ""))[0]
	id := s.Open("/events?client="+clientName, "Cookie", "id=u1").Connected.Connection
	spellings := []string{"X-SSE-User", "x-sse-user", "X_SSE_User", "X-SSE_USER", "x.sse.user", "X-Sse-Connection", "X_SSE_CONNECTION", "X-SSE-Anything"}
	var forged strings.Builder
	for _, name := range spellings {
		fmt.Fprintf(&forged, "%s: admin\r\n%s: root\r\n", name, name)
	}
	for _, path := range []string{"/events/" + id, "/events/" + id + "/deeper", "/EVENTS/" + id, "//events/" + id, "/events/%2e%2e/events/" + id, "/anything"} {
		for _, method := range []string{"POST", "GET", "PUT", "PATCH", "DELETE", "OPTIONS", "X"} {
			a := s.Raw(fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\nOrigin: %s\r\nCookie: id=u1\r\nConnection: close\r\n%sContent-Length: 0\r\n\r\n",
				method, path, s.Addr, s.URL, forged.String()))
			if a.Status != 200 || strings.Contains(a.Body, "admin") || strings.Contains(a.Body, "root") {
				t.Errorf("%s %s: got %d %s", method, path, a.Status, a.Body)
			}
			if own := method == "POST" && path == "/events/"+id; own != strings.Contains(a.Body, "X-Sse-User=u1") {
				t.Errorf("%s %s: got %s", method, path, a.Body)
			}
		}
	}
}

// The app gets the request as it was rewritten, and the connection is found all the same.
func TestTwoWayRewritten(t *testing.T) {
	s := sitetest.Serve(t, "rewrite * /index.php\n"+echo(t, ""))
	id := s.Open("/events", "Cookie", "id=u1").Connected.Connection
	if a := postTo(s, id, "Cookie", "id=u1"); a.Status != 200 || !strings.HasPrefix(a.Body, "POST /index.php hello X-Sse-Connection="+id) {
		t.Errorf("got %d %s", a.Status, a.Body)
	}
}

func TestTwoWayWithoutIt(t *testing.T) {
	s := sitetest.Serve(t, strings.Replace(echo(t, ""), "two_way", "", 1))
	id := s.Open("/events", "Cookie", "id=u1").Connected.Connection
	if a := postTo(s, id, "Cookie", "id=u1", "X-SSE-User", "admin"); a.Status != 200 || strings.Contains(a.Body, "X-Sse") {
		t.Errorf("got %d %s", a.Status, a.Body)
	}
}
