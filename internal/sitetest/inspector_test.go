package sitetest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

const inspectorToken = "a token of some length"

func inspected() string {
	return sitetest.Route(`inspector /_inspect {
		token "` + inspectorToken + `" "another of some length"
	}`)
}

// signIn posts a token as the page does.
func signIn(s *sitetest.Site, token string, headers ...string) sitetest.Answer {
	body, _ := json.Marshal(map[string]string{"token": token})
	return s.Do("POST", "/_inspect/session", string(body), append([]string{"Origin", s.URL, "X-SSE-Inspector", "1"}, headers...)...)
}

// session signs in, and returns the Cookie header.
func session(s *sitetest.Site, token string) string {
	s.T.Helper()
	a := signIn(s, token)
	if a.Status != http.StatusNoContent {
		s.T.Fatalf("signing in: got %d %s", a.Status, a.Body)
	}
	cookie, _, _ := strings.Cut(a.Header.Get("Set-Cookie"), ";")
	return cookie
}

func TestInspectorPage(t *testing.T) {
	s := sitetest.Serve(t, inspected())
	files, err := os.ReadDir(sitetest.Repo("internal/inspector/page"))
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
		a := s.Do("GET", "/_inspect/"+path, "")
		if a.Status != http.StatusOK || len(a.Body) < 100 {
			t.Errorf("%q: got %d, %d bytes", path, a.Status, len(a.Body))
		}
		policy := a.Header.Get("Content-Security-Policy")
		if !strings.HasPrefix(policy, "default-src 'none'; ") || !strings.Contains(policy, "frame-ancestors 'none'") || strings.Contains(policy, "unsafe") ||
			a.Header.Get("X-Content-Type-Options") != "nosniff" || a.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%q: got %v", path, a.Header)
		}
		for _, bad := range []string{"http:", "https:", "//", "style=", "onclick", "innerHTML", "outerHTML", "insertAdjacentHTML", "eval("} {
			for line := range strings.Lines(a.Body) {
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
	if a := s.Do("POST", "/_inspect/", ""); a.Status != http.StatusMethodNotAllowed {
		t.Errorf("POST: got %d", a.Status)
	}
	s.HTTP.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if a := s.Do("GET", "/_inspect", ""); a.Status != http.StatusPermanentRedirect || a.Header.Get("Location") != "./_inspect/" {
		t.Errorf("without the slash: got %d %v", a.Status, a.Header)
	}
	for path, want := range map[string]int{
		"/_inspect/index.html": http.StatusUnauthorized, "/_inspect/../_inspect/x": http.StatusUnauthorized, "/_Inspect/": http.StatusNotFound,
		"/_inspecting": http.StatusOK, "/other": http.StatusOK,
	} {
		if a := s.Do("GET", path, ""); a.Status != want || want != http.StatusOK && a.Body == "next" {
			t.Errorf("%s: got %d %q, want %d", path, a.Status, a.Body, want)
		}
	}
}

// Nothing is told or done without a session, and no other page can use one.
func TestInspectorSession(t *testing.T) {
	s := sitetest.Serve(t, inspected())
	client := s.Open("/events?userId=ann")
	calls := map[string]string{
		"GET /_inspect/session": "", "GET /_inspect/stream": "", "GET /_inspect/connections": "", "GET /_inspect/users": "", "GET /_inspect/health": "",
		"POST /_inspect/publish": `{"broadcast":true,"data":"x"}`, "DELETE /_inspect/users/ann": "",
		"DELETE /_inspect/connections/" + client.Connected.Connection: "", "GET /_inspect/nothing": "",
	}
	own := []string{"Origin", s.URL, "X-SSE-Inspector", "1"}
	all := func(want int, headers ...string) {
		t.Helper()
		for call, body := range calls {
			method, path, _ := strings.Cut(call, " ")
			if a := s.Do(method, path, body, headers...); a.Status != want {
				t.Errorf("%s with %q: got %d %s, want %d", call, headers, a.Status, a.Body, want)
			}
		}
	}
	all(http.StatusUnauthorized, own...)
	all(http.StatusUnauthorized, append(own, "Authorization", "Bearer "+inspectorToken)...)

	cookie := session(s, inspectorToken)
	if strings.Contains(cookie, "token") || session(s, "another of some length") == cookie {
		t.Errorf("the session is %s", cookie)
	}
	for _, forged := range []string{cookie + "A", cookie[:len(cookie)-2], "sse_push_inspector=", "sse_push_inspector=" + strings.Repeat("A", 54), strings.Replace(cookie, "AAAA", "BBBB", 1)} {
		all(http.StatusUnauthorized, append(own, "Cookie", forged)...)
	}
	// A page elsewhere, the cookie with it.
	for _, headers := range [][]string{
		{"Origin", "https://evil.example", "X-SSE-Inspector", "1"},
		{"Origin", "null", "X-SSE-Inspector", "1"},
		{"Origin", s.URL, "X-SSE-Inspector", "1", "Sec-Fetch-Site", "same-site"},
		{"Origin", s.URL, "X-SSE-Inspector", "1", "Sec-Fetch-Site", "cross-site"},
	} {
		all(http.StatusForbidden, append(headers, "Cookie", cookie)...)
	}
	for _, headers := range [][]string{{"Origin", s.URL}, {"X-SSE-Inspector", "1"}, {}} {
		if a := s.Do("POST", "/_inspect/publish", `{"broadcast":true,"data":"x"}`, append(headers, "Cookie", cookie)...); a.Status != http.StatusForbidden {
			t.Errorf("publish with %q: got %d", headers, a.Status)
		}
	}

	// And now for good.
	signed := append(own, "Cookie", cookie, "Content-Type", "application/json")
	if a := s.Do("POST", "/_inspect/publish", `{"user":"ann","data":"by hand"}`, signed...); a.Status != http.StatusOK {
		t.Errorf("publish: got %d %s", a.Status, a.Body)
	}
	client.Want("by hand")
	if a := s.Do("GET", "/_inspect/connections", "", signed...); a.Status != http.StatusOK || !strings.Contains(a.Body, client.Connected.Connection) {
		t.Errorf("connections: got %d %s", a.Status, a.Body)
	}
	if a := s.Do("DELETE", "/_inspect/connections/"+client.Connected.Connection, "", signed...); a.Status != http.StatusNoContent {
		t.Errorf("disconnect: got %d %s", a.Status, a.Body)
	}
	client.WantClosing("disconnected")
	if a := s.Do("DELETE", "/_inspect/session", "", signed...); a.Status != http.StatusNoContent || !strings.Contains(a.Header.Get("Set-Cookie"), "Max-Age=0") {
		t.Errorf("signing out: got %d %v", a.Status, a.Header)
	}
	if strings.Contains(s.Log(), inspectorToken) {
		t.Error("the log has the token")
	}
}

// Guessing is slowed by address, and a right guess is answered no sooner.
func TestInspectorSlowsGuesses(t *testing.T) {
	s := sitetest.Serve(t, inspected())
	wrong := 0
	for range 20 {
		switch a := signIn(s, "not the token at all"); a.Status {
		case http.StatusUnauthorized:
			wrong++
		case http.StatusTooManyRequests:
			if a.Header.Get("Retry-After") == "" {
				t.Error("without Retry-After")
			}
		default:
			t.Fatalf("got %d %s", a.Status, a.Body)
		}
	}
	if wrong != 5 {
		t.Errorf("%d guesses were looked at, want 5", wrong)
	}
	if a := signIn(s, inspectorToken); a.Status != http.StatusTooManyRequests {
		t.Errorf("the right token: got %d", a.Status)
	}
	if n := strings.Count(s.Log(), `"inspector: sign-in refused","hub":"default","reason":`); n != 2 { // one for each reason
		t.Errorf("the log has %d lines:\n%s", n, s.Log())
	}
}

// The page's stream tells what the hub counts, and what goes by.
func TestInspectorStream(t *testing.T) {
	s := sitetest.Serve(t, inspected())
	cookie := session(s, inspectorToken)
	a := s.Open("/events?userId=" + "%3Cscript%3E")
	page := s.Stream("GET", "/_inspect/stream?user=ann", "", "Cookie", cookie)
	if page.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("got %d %v", page.Status, page.Header)
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
			m := page.Next()
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
	s.Publish("user", "ben", "data", "not chosen")
	s.Publish("user", "ann", "topic", "room", "event", "order", "id", "o1", "data", "chosen")
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
	a.Close()
	for snapshot.Connections != 0 {
		read("snapshot", &snapshot)
	}
	if a := s.Do("GET", "/_inspect/stream?topic=a/**/b", "", "Cookie", cookie); a.Status != http.StatusBadRequest {
		t.Errorf("a bad pattern: got %d %s", a.Status, a.Body)
	}
}

// A config without a token ends the sessions that began with it. An open page holds up neither a reload nor an exit.
func TestInspectorReload(t *testing.T) {
	sites := sitetest.ServeAll(t, inspected())
	s := sites[0]
	cookie, other := session(s, inspectorToken), session(s, "another of some length")
	page := s.Stream("GET", "/_inspect/stream", "", "Cookie", cookie)
	page.Next()
	begin := time.Now()
	if err := sitetest.Load(sites, strings.Replace(inspected(), `"`+inspectorToken+`"`, "", 1)); err != nil {
		t.Fatal(err)
	}
	for range page.Events { // to its end
	}
	if took := time.Since(begin); took > sitetest.Limit {
		t.Errorf("the stream has ended after %s", took)
	}
	s.Reconnect()
	if a := s.Do("GET", "/_inspect/session", "", "Cookie", cookie); a.Status != http.StatusUnauthorized {
		t.Errorf("the token that is gone: got %d", a.Status)
	}
	if a := s.Do("GET", "/_inspect/session", "", "Cookie", other); a.Status != http.StatusNoContent {
		t.Errorf("the token that stays: got %d", a.Status)
	}
	s.Stream("GET", "/_inspect/stream", "", "Cookie", other).Next() // left open: the test's end waits for Caddy's
}
