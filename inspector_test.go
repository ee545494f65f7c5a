package ssepush_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

const inspectorToken = "a token of some length"

func inspected() string {
	return route(`inspector /_inspect {
		token "` + inspectorToken + `" "another of some length"
	}`)
}

// signIn posts a token as the page does.
func (s *site) signIn(token string, headers ...string) answer {
	body, _ := json.Marshal(map[string]string{"token": token})
	return s.do("POST", "/_inspect/session", string(body), append([]string{"Origin", s.url, "X-SSE-Inspector", "1"}, headers...)...)
}

// session signs in, and returns the Cookie header.
func (s *site) session(token string) string {
	s.t.Helper()
	a := s.signIn(token)
	if a.status != http.StatusNoContent {
		s.t.Fatalf("signing in: got %d %s", a.status, a.body)
	}
	cookie, _, _ := strings.Cut(a.header.Get("Set-Cookie"), ";")
	return cookie
}

func TestInspectorPage(t *testing.T) {
	s := serve(t, inspected())
	files, err := os.ReadDir("inspector")
	if err != nil {
		t.Fatal(err)
	}
	paths := []string{""}
	for _, f := range files {
		if f.Name() != "index.html" {
			paths = append(paths, f.Name())
		}
	}
	for _, path := range paths {
		a := s.do("GET", "/_inspect/"+path, "")
		if a.status != http.StatusOK || len(a.body) < 100 {
			t.Errorf("%q: got %d, %d bytes", path, a.status, len(a.body))
		}
		policy := a.header.Get("Content-Security-Policy")
		if !strings.HasPrefix(policy, "default-src 'none'; ") || !strings.Contains(policy, "frame-ancestors 'none'") || strings.Contains(policy, "unsafe") ||
			a.header.Get("X-Content-Type-Options") != "nosniff" || a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%q: got %v", path, a.header)
		}
		for _, bad := range []string{"http:", "https:", "//", "style=", "onclick", "innerHTML", "outerHTML", "insertAdjacentHTML", "eval("} {
			for line := range strings.Lines(a.body) {
				text := strings.TrimPrefix(strings.ReplaceAll(line, "http://www.w3.org/2000/svg", ""), "//")
				if code, _, comment := strings.Cut(text, "// "); comment {
					text = code
				}
				if strings.Contains(text, bad) && !strings.HasPrefix(strings.TrimSpace(line), "//") {
					t.Errorf("%q holds %s: %s", path, bad, line)
				}
			}
		}
	}
	if a := s.do("POST", "/_inspect/", ""); a.status != http.StatusMethodNotAllowed {
		t.Errorf("POST: got %d", a.status)
	}
	s.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if a := s.do("GET", "/_inspect", ""); a.status != http.StatusPermanentRedirect || a.header.Get("Location") != "./_inspect/" {
		t.Errorf("without the slash: got %d %v", a.status, a.header)
	}
	for path, want := range map[string]int{
		"/_inspect/index.html": http.StatusUnauthorized, "/_inspect/../_inspect/x": http.StatusUnauthorized, "/_Inspect/": http.StatusNotFound,
		"/_inspecting": http.StatusOK, "/other": http.StatusOK,
	} {
		if a := s.do("GET", path, ""); a.status != want || want != http.StatusOK && a.body == "next" {
			t.Errorf("%s: got %d %q, want %d", path, a.status, a.body, want)
		}
	}
}

// Nothing is told or done without a session, and no other page can use one.
func TestInspectorSession(t *testing.T) {
	s := serve(t, inspected())
	client := s.open("/events?userId=ann")
	calls := map[string]string{
		"GET /_inspect/session": "", "GET /_inspect/stream": "", "GET /_inspect/connections": "", "GET /_inspect/users": "", "GET /_inspect/health": "",
		"POST /_inspect/publish": `{"broadcast":true,"data":"x"}`, "DELETE /_inspect/users/ann": "",
		"DELETE /_inspect/connections/" + client.connected.Connection: "", "GET /_inspect/nothing": "",
	}
	own := []string{"Origin", s.url, "X-SSE-Inspector", "1"}
	all := func(want int, headers ...string) {
		t.Helper()
		for call, body := range calls {
			method, path, _ := strings.Cut(call, " ")
			if a := s.do(method, path, body, headers...); a.status != want {
				t.Errorf("%s with %q: got %d %s, want %d", call, headers, a.status, a.body, want)
			}
		}
	}
	all(http.StatusUnauthorized, own...)
	all(http.StatusUnauthorized, append(own, "Authorization", "Bearer "+inspectorToken)...)

	cookie := s.session(inspectorToken)
	if strings.Contains(cookie, "token") || s.session("another of some length") == cookie {
		t.Errorf("the session is %s", cookie)
	}
	for _, forged := range []string{cookie + "A", cookie[:len(cookie)-2], "sse_push_inspector=", "sse_push_inspector=" + strings.Repeat("A", 54), strings.Replace(cookie, "AAAA", "BBBB", 1)} {
		all(http.StatusUnauthorized, append(own, "Cookie", forged)...)
	}
	// A page elsewhere, the cookie with it.
	for _, headers := range [][]string{
		{"Origin", "https://evil.example", "X-SSE-Inspector", "1"},
		{"Origin", "null", "X-SSE-Inspector", "1"},
		{"Origin", s.url, "X-SSE-Inspector", "1", "Sec-Fetch-Site", "same-site"},
		{"Origin", s.url, "X-SSE-Inspector", "1", "Sec-Fetch-Site", "cross-site"},
	} {
		all(http.StatusForbidden, append(headers, "Cookie", cookie)...)
	}
	for _, headers := range [][]string{{"Origin", s.url}, {"X-SSE-Inspector", "1"}, {}} {
		if a := s.do("POST", "/_inspect/publish", `{"broadcast":true,"data":"x"}`, append(headers, "Cookie", cookie)...); a.status != http.StatusForbidden {
			t.Errorf("publish with %q: got %d", headers, a.status)
		}
	}

	// And now for good.
	signed := append(own, "Cookie", cookie, "Content-Type", "application/json")
	if a := s.do("POST", "/_inspect/publish", `{"user":"ann","data":"by hand"}`, signed...); a.status != http.StatusOK {
		t.Errorf("publish: got %d %s", a.status, a.body)
	}
	client.want("by hand")
	if a := s.do("GET", "/_inspect/connections", "", signed...); a.status != http.StatusOK || !strings.Contains(a.body, client.connected.Connection) {
		t.Errorf("connections: got %d %s", a.status, a.body)
	}
	if a := s.do("DELETE", "/_inspect/connections/"+client.connected.Connection, "", signed...); a.status != http.StatusNoContent {
		t.Errorf("disconnect: got %d %s", a.status, a.body)
	}
	client.wantEnd()
	if a := s.do("DELETE", "/_inspect/session", "", signed...); a.status != http.StatusNoContent || !strings.Contains(a.header.Get("Set-Cookie"), "Max-Age=0") {
		t.Errorf("signing out: got %d %v", a.status, a.header)
	}
	if strings.Contains(s.log(), inspectorToken) {
		t.Error("the log has the token")
	}
}

// Guessing is slowed, by address, and who guesses right is told no sooner.
func TestInspectorSlowsGuesses(t *testing.T) {
	s := serve(t, inspected())
	wrong := 0
	for range 20 {
		switch a := s.signIn("not the token at all"); a.status {
		case http.StatusUnauthorized:
			wrong++
		case http.StatusTooManyRequests:
			if a.header.Get("Retry-After") == "" {
				t.Error("without Retry-After")
			}
		default:
			t.Fatalf("got %d %s", a.status, a.body)
		}
	}
	if wrong != 5 {
		t.Errorf("%d guesses were looked at, want 5", wrong)
	}
	if a := s.signIn(inspectorToken); a.status != http.StatusTooManyRequests {
		t.Errorf("the right token: got %d", a.status)
	}
	if n := strings.Count(s.log(), `"inspector: sign-in refused","hub":"default","reason":`); n != 2 { // one for each reason
		t.Errorf("the log has %d lines:\n%s", n, s.log())
	}
}

// The page's stream tells what the hub counts, and what goes by.
func TestInspectorStream(t *testing.T) {
	s := serve(t, inspected())
	cookie := s.session(inspectorToken)
	a := s.open("/events?userId=" + "%3Cscript%3E")
	page := s.stream("GET", "/_inspect/stream?user=ann", "", "Cookie", cookie)
	if page.header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("got %d %v", page.status, page.header)
	}
	var snapshot struct {
		Hub                      string
		Connections, Users, Held int
		Published, Delivered     uint64
		Catchups                 map[string]uint64
		Delays                   []uint64
		Bounds                   []float64
		Slowest                  []struct{ User string }
		Health                   string
	}
	read := func(kind string, into any) {
		t.Helper()
		for {
			m := page.next()
			if m.Type != kind {
				continue
			}
			if err := json.Unmarshal([]byte(m.Data), into); err != nil {
				t.Fatalf("%v in %s", err, m.Data)
			}
			return
		}
	}
	read("snapshot", &snapshot)
	if snapshot.Hub != "default" || snapshot.Connections != 1 || snapshot.Users != 1 || snapshot.Catchups["new"] != 1 || snapshot.Health != "" ||
		len(snapshot.Delays) != len(snapshot.Bounds)+1 {
		t.Errorf("got %+v", snapshot)
	}
	s.publish("user", "ben", "data", "not chosen")
	s.publish("user", "ann", "topic", "room", "event", "order", "id", "o1", "data", "chosen")
	var tail struct {
		Events []struct {
			ID, Event, Data string
			Size            int
			Users, Topics   []string
		}
		Missed uint64
	}
	read("tail", &tail)
	if len(tail.Events) != 1 || tail.Missed != 0 {
		t.Fatalf("got %+v", tail)
	}
	if e := tail.Events[0]; e.Event != "order" || e.Data != "chosen" || e.Size != 6 || !strings.HasSuffix(e.ID, "~o1") || fmt.Sprint(e.Users, e.Topics) != "[ann] [room]" {
		t.Errorf("got %+v", e)
	}
	for snapshot.Published != 2 {
		read("snapshot", &snapshot)
	}
	a.close()
	for snapshot.Connections != 0 {
		read("snapshot", &snapshot)
	}
	if a := s.do("GET", "/_inspect/stream?topic=a/**/b", "", "Cookie", cookie); a.status != http.StatusBadRequest {
		t.Errorf("a bad pattern: got %d %s", a.status, a.body)
	}
}

// A config that takes a token away ends what began with it, and who looks holds up neither a reload nor an exit.
func TestInspectorReload(t *testing.T) {
	sites := serveAll(t, inspected())
	s := sites[0]
	cookie, other := s.session(inspectorToken), s.session("another of some length")
	page := s.stream("GET", "/_inspect/stream", "", "Cookie", cookie)
	page.next()
	begin := time.Now()
	if err := load(sites, strings.Replace(inspected(), `"`+inspectorToken+`"`, "", 1)); err != nil {
		t.Fatal(err)
	}
	for range page.events { // to its end
	}
	if took := time.Since(begin); took > limit {
		t.Errorf("the stream has ended after %s", took)
	}
	s.reconnect()
	if a := s.do("GET", "/_inspect/session", "", "Cookie", cookie); a.status != http.StatusUnauthorized {
		t.Errorf("the token that is gone: got %d", a.status)
	}
	if a := s.do("GET", "/_inspect/session", "", "Cookie", other); a.status != http.StatusNoContent {
		t.Errorf("the token that stays: got %d", a.status)
	}
	s.stream("GET", "/_inspect/stream", "", "Cookie", other).next() // left open: the test's end waits for Caddy's
}
