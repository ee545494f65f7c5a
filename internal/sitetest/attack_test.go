package sitetest_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// guarded is a directive whose internal route asks for a token, and a site after it.
const guarded = `sse_push /events {
		user query userId
		anonymous
		topics room
		internal /_sse {
			token %token%
		}
	}
	handle /metrics {
		metrics
	}
	respond "next"`

// No spelling of the path gets around the token: nothing is published, and the request does not reach the next handler.
func TestInternalPathTricks(t *testing.T) {
	s := sitetest.Serve(t, strings.Replace(guarded, "%token%", secretA, 1))
	c := s.Open("/events")
	const body = "broadcast=1&data=forged"
	for _, target := range []string{
		"/_sse/publish", "//_sse/publish", "/_sse//publish", "/_sse/publish/", "/./_sse/publish", "/_sse/./publish", "/x/../_sse/publish",
		"/x/%2e%2e/_sse/publish", "/_sse/x/../publish", "/_sse%2fpublish", "/%2f_sse/publish", "/%5fsse/publish", "/_sse/%70ublish",
		"/_sse/publish%00", "/_sse/publish;x", "/_sse/publish?wait=written", "/events/../_sse/publish", "/_sse/../_sse/publish",
		"http://" + s.Addr + "/_sse/publish", "http://evil.example//_sse/publish", "/_SSE/publish", "/_sse\\publish", "/events/_sse/publish", "/events/publish",
	} {
		for _, method := range []string{"POST", "GET", "QUERY", "PROPFIND"} {
			a := s.Raw(method + " " + target + " HTTP/1.1\r\nHost: " + s.Addr + "\r\nConnection: close\r\nContent-Type: " + sitetest.FormType +
				"\r\nX-HTTP-Method-Override: POST\r\nX-Original-URL: /_sse/publish\r\nX-Rewrite-URL: /_sse/publish\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body)
			inside := !slices.Contains([]string{"/_SSE/publish", "/_sse\\publish", "/events/_sse/publish", "/events/publish"}, target)
			if inside && (a.Status != http.StatusUnauthorized && a.Status != http.StatusNotFound && a.Status != http.StatusBadRequest || strings.Contains(a.Body, "next")) ||
				strings.Contains(a.Body, `"id"`) {
				t.Errorf("%s %s: got %d %s", method, target, a.Status, a.Body)
			}
		}
	}
	sitetest.IDOf(t, s.Post(sitetest.FormType, "broadcast=1&data=true", "Authorization", "Bearer "+secretA))
	c.Want("true")
}

// A page of another site makes its visitor's browser, on an allowed machine, call.
func TestCrossSiteRequests(t *testing.T) {
	s := sitetest.Serve(t, sitetest.Route(""))
	c := s.Open("/events?userId=u1")
	const evil = "http://evil.example"
	cross := []string{"Sec-Fetch-Site", "cross-site"}
	for name, headers := range map[string][]string{
		"form":                    {"Origin", evil, "Content-Type", sitetest.FormType},
		"form, told by its kind":  append(cross, "Origin", evil, "Sec-Fetch-Mode", "navigate", "Content-Type", sitetest.FormType),
		"fetch without cors":      append(cross, "Origin", evil, "Sec-Fetch-Mode", "no-cors", "Content-Type", "text/plain"),
		"sandbox":                 append(cross, "Origin", "null", "Content-Type", sitetest.FormType),
		"same site":               {"Origin", "http://other.localhost", "Sec-Fetch-Site", "same-site", "Content-Type", sitetest.FormType},
		"another port":            {"Origin", "http://127.0.0.1:1", "Content-Type", sitetest.FormType},
		"its own origin":          {"Origin", s.URL, "Sec-Fetch-Site", "same-origin", "Content-Type", sitetest.FormType},
		"without any origin":      append(cross, "Content-Type", sitetest.FormType),
		"address bar":             {"Sec-Fetch-Site", "none", "Content-Type", sitetest.FormType},
		"preflight":               {"Origin", evil, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "content-type"},
		"two origins, one listed": {"Origin", evil, "Origin", s.URL, "Content-Type", sitetest.FormType},
	} {
		for _, call := range [][2]string{{"POST", "/publish"}, {"GET", "/connections"}, {"DELETE", "/users/u1"}, {"OPTIONS", "/publish"}} {
			a := s.Do(call[0], "/_sse"+call[1], "user=u1&data=forged", headers...)
			if a.Status != http.StatusNotFound || a.Body != "" || a.Header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s: %s %s: got %d %v %s", name, call[0], call[1], a.Status, a.Header, a.Body)
			}
		}
	}
	s.Publish("user", "u1", "data", "true")
	c.Want("true")
}

// The owner of a name points it here, and asks by a page of that name: to the browser that is the page's own host, so it
// says nothing of an origin.
func TestRebinding(t *testing.T) {
	s := sitetest.Serve(t, sitetest.Route(""))
	s.Open("/events?userId=u1")
	port := s.Addr[strings.LastIndex(s.Addr, ":"):]
	ask := func(host string) (int, bool) {
		a := s.Do("GET", "/_sse/connections", "", "Host", host)
		return a.Status, strings.Contains(a.Body, "u1")
	}
	for _, host := range []string{"evil.example" + port, "evil.example", "127.0.0.1.evil.example" + port, "push.example.com" + port} {
		if status, told := ask(host); status != http.StatusNotFound || told {
			t.Errorf("%s: got %d", host, status)
		}
	}
	for _, host := range []string{"localhost" + port, "127.0.0.1" + port, "caddy", "a.localhost" + port} {
		if status, told := ask(host); status != http.StatusOK || !told {
			t.Errorf("%s: got %d", host, status)
		}
	}
	if !strings.Contains(s.Log(), "name the host in the site's address") {
		t.Error("the log does not say what to do")
	}

	// A site's own name is no stranger's.
	named := *s
	named.URL = strings.Replace(s.URL, "127.0.0.1", "push.example.com", 1)
	if err := sitetest.Load([]*sitetest.Site{&named}, sitetest.Route("")); err != nil {
		t.Fatal(err)
	}
	s.Reconnect()
	if status, told := ask("push.example.com" + port); status != http.StatusOK || !told {
		t.Errorf("the site's name: got %d", status)
	}
	if _, told := ask("evil.example" + port); told {
		t.Error("a stranger's name is told")
	}
}

// What a client or an app sends is escaped in the log: it stays in one line, and makes no line or event of its own.
func TestInjection(t *testing.T) {
	s := sitetest.Serve(t, "handle /metrics {\nmetrics\n}\n"+sitetest.Route(""))
	c := s.Open("/events?userId=u1")
	const forged = `{"level":"error","msg":"forged"}`
	encoded := "%0d%0a" + strings.ReplaceAll(forged, `"`, "%22") + "%0d%0a%1b%5b2J%e2%80%a8%c2%9b31m"
	get := func(target, headers string) {
		t.Helper()
		a := s.Raw("GET " + target + " HTTP/1.1\r\nHost: " + s.Addr + "\r\nAccept: " + sitetest.EventStream + "\r\nConnection: close\r\n" + headers + "\r\n")
		if a.Status == http.StatusOK && !strings.Contains(a.Body, "sse:rejected") && a.Body != "next" {
			t.Errorf("%s %q: got %d %s", target, headers, a.Status, a.Body)
		}
		for name, values := range a.Header {
			if strings.ContainsAny(name+strings.Join(values, ""), "\x1b\r\n") || name == "Forged" {
				t.Errorf("%s: got the header %q %q", target, name, values)
			}
		}
		if strings.ContainsAny(a.Body, "\x1b") {
			t.Errorf("%s: got %q", target, a.Body)
		}
	}
	for _, target := range []string{
		"/events?userId=" + encoded, "/events?userId=u1&topic=" + encoded, "/events?userId=u1&" + encoded + "=x&topic=no", "/events" + encoded,
		"/_sse/" + encoded, "/_sse/connections/" + encoded, "/_sse/connections?" + encoded + "=1", "/_sse/connections?limit=" + encoded,
		"/_sse/users?limit=" + encoded,
	} {
		get(target, "")
	}
	get("/events?userId=u1&replay=\x1b", "")
	for _, header := range []string{"Origin: http://evil\x1b[2J", "Authorization: Bearer \x1b[2J", "Cookie: a=\x1b[2J", "Last-Event-ID: \x1b[2J", "User-Agent: \x1b[2J"} {
		get("/_sse/health", header+"\r\n")
		get("/events?topic=no", header+"\r\n")
	}
	for _, fields := range []string{"event=" + encoded, "id=" + encoded, "topic=" + encoded, "user=" + encoded, "connection=" + encoded,
		"coalesce=" + encoded, "exclude=" + encoded, "idempotency_key=" + encoded, encoded + "=x"} {
		if a := s.Post(sitetest.FormType, "broadcast=1&"+fields); a.Status != http.StatusBadRequest || strings.ContainsAny(a.Body, "\x1b\r") {
			t.Errorf("%s: got %d %q", fields, a.Status, a.Body)
		}
	}
	// Data may hold lines; they are the data's, and neither an id nor an event.
	s.Post(sitetest.FormType, "user=u1&data=a%0d%0aevent:%20sse:gap%0d%0dbid:%20x%0a%0adata:%20z")
	if m := c.Next(); m.Type != "message" || m.Data != "a\nevent: sse:gap\n\nbid: x\n\ndata: z" || strings.HasSuffix(m.ID, "x") {
		t.Errorf("got %+v", m)
	}
	c.Close()
	brokertest.Eventually(t, "its line in the log", func() bool { return strings.Contains(s.Log(), "connection ended") })
	for line := range strings.Lines(s.Log()) {
		var entry struct{ Msg string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Msg == "forged" || entry.Msg == "" {
			t.Errorf("in the log: %q", line)
		}
		if strings.ContainsAny(line, "\x1b\r") {
			t.Errorf("raw control characters in the log: %q", line)
		}
	}
	if metrics := s.Do("GET", "/metrics", "").Body; strings.Contains(metrics, "forged") || !strings.Contains(metrics, "sse_push_connections") {
		t.Error("something of it stands in the metrics")
	}
}

// A token is in no log, metric, answer or error, whether it is right, nearly right, or in the wrong place.
func TestTokenIsNotTold(t *testing.T) {
	s := sitetest.Serve(t, "log\n"+strings.Replace(guarded, "%token%", secretA+" "+secretB, 1))
	var told strings.Builder
	nearly := secretA + "r"
	for _, headers := range [][]string{
		{"Authorization", "Bearer " + secretA}, {"Authorization", "Bearer " + nearly}, {"Authorization", "Basic " + secretB}, {"Authorization", secretB},
		{"Authorization", "Bearer " + secretA, "Authorization", "Bearer " + secretB}, {"Authorization", "Bearer " + secretA, "Origin", "http://evil.example"},
		{"Authorization", "Bearer " + secretB, "X-Forwarded-For", "203.0.113.7"},
	} {
		for _, call := range []string{"/_sse/health", "/_sse/nothing", "/_sse/connections?limit=x"} {
			told.WriteString(s.Do("GET", call, "", headers...).Body)
		}
		told.WriteString(s.Post(sitetest.FormType, "user=", headers...).Body)
	}
	for _, token := range []string{`"` + secretA + "\n" + secretB + `"`, secretA + ` ""`} {
		err := sitetest.Load([]*sitetest.Site{s}, strings.Replace(guarded, "%token%", token, 1))
		if err == nil {
			t.Errorf("%q was taken", token)
			continue
		}
		told.WriteString(err.Error())
	}
	told.WriteString(s.Log())
	told.WriteString(s.Do("GET", "/metrics", "").Body)
	for _, secret := range []string{secretA, secretB, secretA[:12], secretB[:12]} {
		if strings.Contains(told.String(), secret) {
			t.Errorf("told: %s", secret)
		}
	}
	if !strings.Contains(told.String(), "wrong token") || !strings.Contains(told.String(), "sse_push_connections") {
		t.Error("nothing was told at all")
	}
}

// Two tenants with a site and a hub each: neither reaches the other's, whatever it knows of it.
func TestTenantsAreApart(t *testing.T) {
	u1 := func() map[string]any { return map[string]any{"user": "u1", "exp": time.Now().Unix() + 60} }
	tenant := func(name, secret string) string {
		return `sse_push /events {
			hub ` + name + `
			user ticket ` + secret + `
			topics room/**
			internal /_sse {
				token ` + secret + `
			}
		}`
	}
	sites := sitetest.ServeAll(t, tenant("a", secretA), tenant("b", secretB))
	a, b := sites[0], sites[1]
	asA, asB := []string{"Authorization", "Bearer " + secretA}, []string{"Authorization", "Bearer " + secretB}
	victim := b.Open("/events?topic=room/**&ticket=" + ticket(secretB, u1()))
	id := sitetest.IDOf(t, b.Post(sitetest.FormType, "user=u1&data=secret", asB...))
	victim.Want("secret")

	for _, use := range [][]string{asB, nil} {
		if got := a.Do("GET", "/_sse/connections", "", use...); got.Status != http.StatusUnauthorized {
			t.Errorf("a takes %q: %d", use, got.Status)
		}
		if got := a.Do("GET", "/_sse/connections", "", append(use, "Host", b.Addr)...); got.Status != http.StatusUnauthorized {
			t.Errorf("a takes %q by the other's host: %d", use, got.Status)
		}
	}
	if got := b.Do("GET", "/_sse/connections", "", asA...); got.Status != http.StatusUnauthorized {
		t.Errorf("b takes the other's token: %d", got.Status)
	}
	if got := a.Do("GET", "/events?ticket="+ticket(secretB, u1()), ""); got.Status != http.StatusUnauthorized {
		t.Errorf("a takes the other's ticket: %d", got.Status)
	}

	own := a.Open("/events?topic=room/**&last_event_id=" + id + "&ticket=" + ticket(secretA, u1()))
	own.WantGap("unknown")
	for _, target := range []string{"user=u1", "topic=room/1", "broadcast=1", "connection=" + victim.Connected.Connection} {
		sitetest.IDOf(t, a.Post(sitetest.FormType, target+"&data=forged", asA...))
	}
	for _, view := range []string{"/_sse/connections/" + victim.Connected.Connection, "/_sse/connections", "/_sse/users/u1"} {
		for _, method := range []string{"GET", "DELETE"} {
			if got := a.Do(method, view, "", asA...); got.Status != http.StatusNotFound && strings.Contains(got.Body, victim.Connected.Connection) {
				t.Errorf("%s %s: got %d %s", method, view, got.Status, got.Body)
			}
		}
	}
	sitetest.IDOf(t, b.Post(sitetest.FormType, "user=u1&data=true", asB...))
	victim.Want("true") // and it is still there, and has heard nothing else
}

// Whatever a client sends, by any method and to any path: no instruction reaches the app, not even one that
// hands on what it is given.
func TestClientInstructions(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		for name, values := range r.Header {
			if strings.Contains(strings.ToUpper(name), "SSE") {
				seen = append(seen, r.Method+" "+r.URL.Path+" "+name)
			}
			w.Header()[name] = values
		}
		w.Header().Set("Content-Type", "text/plain")
	}))
	defer echo.Close()
	sites := sitetest.ServeAll(t, `sse_push /events {
			hub main
			upstream
			publish_header user topic connection broadcast
		}
		handle /own/* {
			respond "{http.request.header.X-SSE-Publish}{http.request.header.X-SSE-User}"
		}
		reverse_proxy `+echo.Listener.Addr().String(), sitetest.Route("hub main"))
	s := sites[0]
	victim := sites[1].Open("/events?userId=u1")
	for _, method := range []string{"GET", "POST", "PUT", "DELETE", "OPTIONS", "QUERY"} {
		for _, path := range []string{"/", "/page?x", "/events", "/events/x", "/events?topic=room", "//events", "/own/file", "/index.php/events"} {
			for _, header := range []string{
				"X-SSE-Publish: user=u1&data=forged", "x-sse-publish: user=u1&data=forged", "X_SSE_Publish: user=u1&data=forged", "X.SSE.Publish: user=u1&data=forged",
				"X-SSE_Publish: user=u1&data=forged", "X-SSE-Publish: data=1\r\nX-SSE-Publish: user=u1&data=forged", "X-SSE-Publish:user=u1&data=forged\r\n\tx",
				"X-SSE-Hold: stream\r\nX-SSE-User: u1", "x_sse_hold: stream\r\nx_sse_user: u1", "X-SSE-Connection: x", "Connection: X-SSE-User\r\nX-SSE-User: u1",
				"Trailer: X-SSE-Publish\r\nX-Sse-Publish : user=u1&data=forged",
			} {
				a := s.Raw(method + " " + path + " HTTP/1.0\r\nHost: " + s.Addr + "\r\n" + header + "\r\n\r\n")
				if strings.Contains(a.Body, "sse:connected") || strings.Contains(a.Body, "u1") {
					t.Errorf("%s %s with %q: got %s", method, path, header, a.Body)
				}
				for name := range a.Header {
					if strings.HasPrefix(strings.ToUpper(strings.NewReplacer("_", "-", ".", "-").Replace(name)), "X-SSE-") {
						t.Errorf("%s %s with %q: came back with %s", method, path, header, name)
					}
				}
			}
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(seen) > 0 {
		t.Errorf("the app saw %q", seen)
	}
	sites[1].Publish("user", "u1", "data", "true")
	victim.Want("true")
}
