package ssepush_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// guarded is a directive whose internal route asks for a token, and a site behind it.
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

// No spelling of the path gets around the token: nothing is published, and nothing of it comes to the site behind.
func TestInternalPathTricks(t *testing.T) {
	s := serve(t, strings.Replace(guarded, "%token%", secretA, 1))
	c := s.open("/events")
	const body = "broadcast=1&data=forged"
	for _, target := range []string{
		"/_sse/publish", "//_sse/publish", "/_sse//publish", "/_sse/publish/", "/./_sse/publish", "/_sse/./publish", "/x/../_sse/publish",
		"/x/%2e%2e/_sse/publish", "/_sse/x/../publish", "/_sse%2fpublish", "/%2f_sse/publish", "/%5fsse/publish", "/_sse/%70ublish",
		"/_sse/publish%00", "/_sse/publish;x", "/_sse/publish?wait=written", "/events/../_sse/publish", "/_sse/../_sse/publish",
		"http://" + s.addr + "/_sse/publish", "http://evil.example//_sse/publish", "/_SSE/publish", "/_sse\\publish", "/events/_sse/publish", "/events/publish",
	} {
		for _, method := range []string{"POST", "GET", "QUERY", "PROPFIND"} {
			a := s.raw(method + " " + target + " HTTP/1.1\r\nHost: " + s.addr + "\r\nConnection: close\r\nContent-Type: " + formType +
				"\r\nX-HTTP-Method-Override: POST\r\nX-Original-URL: /_sse/publish\r\nX-Rewrite-URL: /_sse/publish\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body)
			inside := !slices.Contains([]string{"/_SSE/publish", "/_sse\\publish", "/events/_sse/publish", "/events/publish"}, target)
			if inside && (a.status != http.StatusUnauthorized && a.status != http.StatusNotFound && a.status != http.StatusBadRequest || strings.Contains(a.body, "next")) ||
				strings.Contains(a.body, `"id"`) {
				t.Errorf("%s %s: got %d %s", method, target, a.status, a.body)
			}
		}
	}
	idOf(t, s.post(formType, "broadcast=1&data=true", "Authorization", "Bearer "+secretA))
	c.want("true")
}

// A page of another site makes its visitor's browser, on an allowed machine, call.
func TestCrossSiteRequests(t *testing.T) {
	s := serve(t, route(""))
	c := s.open("/events?userId=u1")
	const evil = "http://evil.example"
	cross := []string{"Sec-Fetch-Site", "cross-site"}
	for name, headers := range map[string][]string{
		"form":                    {"Origin", evil, "Content-Type", formType},
		"form, told by its kind":  append(cross, "Origin", evil, "Sec-Fetch-Mode", "navigate", "Content-Type", formType),
		"fetch without cors":      append(cross, "Origin", evil, "Sec-Fetch-Mode", "no-cors", "Content-Type", "text/plain"),
		"sandbox":                 append(cross, "Origin", "null", "Content-Type", formType),
		"same site":               {"Origin", "http://other.localhost", "Sec-Fetch-Site", "same-site", "Content-Type", formType},
		"another port":            {"Origin", "http://127.0.0.1:1", "Content-Type", formType},
		"its own origin":          {"Origin", s.url, "Sec-Fetch-Site", "same-origin", "Content-Type", formType},
		"without any origin":      append(cross, "Content-Type", formType),
		"address bar":             {"Sec-Fetch-Site", "none", "Content-Type", formType},
		"preflight":               {"Origin", evil, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "content-type"},
		"two origins, one listed": {"Origin", evil, "Origin", s.url, "Content-Type", formType},
	} {
		for _, call := range [][2]string{{"POST", "/publish"}, {"GET", "/connections"}, {"DELETE", "/users/u1"}, {"OPTIONS", "/publish"}} {
			a := s.do(call[0], "/_sse"+call[1], "user=u1&data=forged", headers...)
			if a.status != http.StatusNotFound || a.body != "" || a.header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s: %s %s: got %d %v %s", name, call[0], call[1], a.status, a.header, a.body)
			}
		}
	}
	s.publish("user", "u1", "data", "true")
	c.want("true")
}

// The owner of a name points it here, and asks by a page of that name: to the browser that is the page's own host, so it
// says nothing of an origin.
func TestRebinding(t *testing.T) {
	s := serve(t, route(""))
	s.open("/events?userId=u1")
	port := s.addr[strings.LastIndex(s.addr, ":"):]
	ask := func(host string) (int, bool) {
		a := s.do("GET", "/_sse/connections", "", "Host", host)
		return a.status, strings.Contains(a.body, "u1")
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
	if !strings.Contains(s.log(), "name the host in the site's address") {
		t.Error("the log does not say what to do")
	}

	// A site's own name is no stranger's.
	named := *s
	named.url = strings.Replace(s.url, "127.0.0.1", "push.example.com", 1)
	if err := load([]*site{&named}, route("")); err != nil {
		t.Fatal(err)
	}
	s.reconnect()
	if status, told := ask("push.example.com" + port); status != http.StatusOK || !told {
		t.Errorf("the site's name: got %d", status)
	}
	if _, told := ask("evil.example" + port); told {
		t.Error("a stranger's name is told")
	}
}

// What a client, or an app, sends is in the log as it is to be: escaped, in one line, and no line or event of its own.
func TestInjection(t *testing.T) {
	s := serve(t, "handle /metrics {\nmetrics\n}\n"+route(""))
	c := s.open("/events?userId=u1")
	const forged = `{"level":"error","msg":"forged"}`
	encoded := "%0d%0a" + strings.ReplaceAll(forged, `"`, "%22") + "%0d%0a%1b%5b2J%e2%80%a8%c2%9b31m"
	get := func(target, headers string) {
		t.Helper()
		a := s.raw("GET " + target + " HTTP/1.1\r\nHost: " + s.addr + "\r\nAccept: " + eventStream + "\r\nConnection: close\r\n" + headers + "\r\n")
		if a.status == http.StatusOK && !strings.Contains(a.body, "sse:rejected") && a.body != "next" {
			t.Errorf("%s %q: got %d %s", target, headers, a.status, a.body)
		}
		for name, values := range a.header {
			if strings.ContainsAny(name+strings.Join(values, ""), "\x1b\r\n") || name == "Forged" {
				t.Errorf("%s: got the header %q %q", target, name, values)
			}
		}
		if strings.ContainsAny(a.body, "\x1b") {
			t.Errorf("%s: got %q", target, a.body)
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
		if a := s.post(formType, "broadcast=1&"+fields); a.status != http.StatusBadRequest || strings.ContainsAny(a.body, "\x1b\r") {
			t.Errorf("%s: got %d %q", fields, a.status, a.body)
		}
	}
	// Data may hold lines; they are the data's, and neither an id nor an event.
	s.post(formType, "user=u1&data=a%0d%0aevent:%20sse:gap%0d%0dbid:%20x%0a%0adata:%20z")
	if m := c.next(); m.Type != "message" || m.Data != "a\nevent: sse:gap\n\nbid: x\n\ndata: z" || strings.HasSuffix(m.ID, "x") {
		t.Errorf("got %+v", m)
	}
	c.close()
	waitFor(t, "its line in the log", func() bool { return strings.Contains(s.log(), "connection ended") })
	for line := range strings.Lines(s.log()) {
		var entry struct{ Msg string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Msg == "forged" || entry.Msg == "" {
			t.Errorf("in the log: %q", line)
		}
		if strings.ContainsAny(line, "\x1b\r") {
			t.Errorf("raw control characters in the log: %q", line)
		}
	}
	if metrics := s.do("GET", "/metrics", "").body; strings.Contains(metrics, "forged") || !strings.Contains(metrics, "sse_push_connections") {
		t.Error("something of it stands in the metrics")
	}
}

// A token is in no log, metric, answer or error, whether it is right, nearly right, or in the wrong place.
func TestTokenIsNotTold(t *testing.T) {
	s := serve(t, "log\n"+strings.Replace(guarded, "%token%", secretA+" "+secretB, 1))
	var told strings.Builder
	nearly := secretA + "r"
	for _, headers := range [][]string{
		{"Authorization", "Bearer " + secretA}, {"Authorization", "Bearer " + nearly}, {"Authorization", "Basic " + secretB}, {"Authorization", secretB},
		{"Authorization", "Bearer " + secretA, "Authorization", "Bearer " + secretB}, {"Authorization", "Bearer " + secretA, "Origin", "http://evil.example"},
		{"Authorization", "Bearer " + secretB, "X-Forwarded-For", "203.0.113.7"},
	} {
		for _, call := range []string{"/_sse/health", "/_sse/nothing", "/_sse/connections?limit=x"} {
			told.WriteString(s.do("GET", call, "", headers...).body)
		}
		told.WriteString(s.post(formType, "user=", headers...).body)
	}
	for _, token := range []string{`"` + secretA + "\n" + secretB + `"`, secretA + ` ""`} {
		err := load([]*site{s}, strings.Replace(guarded, "%token%", token, 1))
		if err == nil {
			t.Errorf("%q was taken", token)
			continue
		}
		told.WriteString(err.Error())
	}
	told.WriteString(s.log())
	told.WriteString(s.do("GET", "/metrics", "").body)
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
	sites := serveAll(t, tenant("a", secretA), tenant("b", secretB))
	a, b := sites[0], sites[1]
	asA, asB := []string{"Authorization", "Bearer " + secretA}, []string{"Authorization", "Bearer " + secretB}
	victim := b.open("/events?topic=room/**&ticket=" + ticket(secretB, u1()))
	id := idOf(t, b.post(formType, "user=u1&data=secret", asB...))
	victim.want("secret")

	for _, use := range [][]string{asB, nil} {
		if got := a.do("GET", "/_sse/connections", "", use...); got.status != http.StatusUnauthorized {
			t.Errorf("a takes %q: %d", use, got.status)
		}
		if got := a.do("GET", "/_sse/connections", "", append(use, "Host", b.addr)...); got.status != http.StatusUnauthorized {
			t.Errorf("a takes %q by the other's host: %d", use, got.status)
		}
	}
	if got := b.do("GET", "/_sse/connections", "", asA...); got.status != http.StatusUnauthorized {
		t.Errorf("b takes the other's token: %d", got.status)
	}
	if got := a.do("GET", "/events?ticket="+ticket(secretB, u1()), ""); got.status != http.StatusUnauthorized {
		t.Errorf("a takes the other's ticket: %d", got.status)
	}

	own := a.open("/events?topic=room/**&last_event_id=" + id + "&ticket=" + ticket(secretA, u1()))
	own.wantGap("unknown")
	for _, target := range []string{"user=u1", "topic=room/1", "broadcast=1", "connection=" + victim.connected.Connection} {
		idOf(t, a.post(formType, target+"&data=forged", asA...))
	}
	for _, view := range []string{"/_sse/connections/" + victim.connected.Connection, "/_sse/connections", "/_sse/users/u1"} {
		for _, method := range []string{"GET", "DELETE"} {
			if got := a.do(method, view, "", asA...); got.status != http.StatusNotFound && strings.Contains(got.body, victim.connected.Connection) {
				t.Errorf("%s %s: got %d %s", method, view, got.status, got.body)
			}
		}
	}
	idOf(t, b.post(formType, "user=u1&data=true", asB...))
	victim.want("true") // and it is still there, and has heard nothing else
}

// Whatever a client sends, by whichever method, to whichever path: no instruction reaches the app behind, not even one that
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
	sites := serveAll(t, `sse_push /events {
			hub main
			upstream
			publish_header user topic connection broadcast
		}
		handle /own/* {
			respond "{http.request.header.X-SSE-Publish}{http.request.header.X-SSE-User}"
		}
		reverse_proxy `+echo.Listener.Addr().String(), route("hub main"))
	s := sites[0]
	victim := sites[1].open("/events?userId=u1")
	for _, method := range []string{"GET", "POST", "PUT", "DELETE", "OPTIONS", "QUERY"} {
		for _, path := range []string{"/", "/page?x", "/events", "/events/x", "/events?topic=room", "//events", "/own/file", "/index.php/events"} {
			for _, header := range []string{
				"X-SSE-Publish: user=u1&data=forged", "x-sse-publish: user=u1&data=forged", "X_SSE_Publish: user=u1&data=forged", "X.SSE.Publish: user=u1&data=forged",
				"X-SSE_Publish: user=u1&data=forged", "X-SSE-Publish: data=1\r\nX-SSE-Publish: user=u1&data=forged", "X-SSE-Publish:user=u1&data=forged\r\n\tx",
				"X-SSE-Hold: stream\r\nX-SSE-User: u1", "x_sse_hold: stream\r\nx_sse_user: u1", "X-SSE-Connection: x", "Connection: X-SSE-User\r\nX-SSE-User: u1",
				"Trailer: X-SSE-Publish\r\nX-Sse-Publish : user=u1&data=forged",
			} {
				a := s.raw(method + " " + path + " HTTP/1.0\r\nHost: " + s.addr + "\r\n" + header + "\r\n\r\n")
				if strings.Contains(a.body, "sse:connected") || strings.Contains(a.body, "u1") {
					t.Errorf("%s %s with %q: got %s", method, path, header, a.body)
				}
				for name := range a.header {
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
	sites[1].publish("user", "u1", "data", "true")
	victim.want("true")
}

// How long a wrong secret takes to be refused says nothing of the right one: all are compared, in constant time, and by
// nothing else.
func TestSecretsAreComparedInConstantTime(t *testing.T) {
	secret := []string{"sum", "mac", "signature", "secret", "secrets", "tokens"}
	names := func(n ast.Node) bool {
		found := false
		ast.Inspect(n, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && (calls(call, "subtle.ConstantTimeCompare") || calls(call, "secret.Equal") || calls(call, "len")) {
				return false
			}
			if id, ok := n.(*ast.Ident); ok && slices.Contains(secret, id.Name) {
				found = true
			}
			return true
		})
		return found
	}
	for _, where := range []struct{ file, function, by string }{
		{"guard.go", "checkToken", "secret.Match"}, {"inspectorsession.go", "signIn", "secret.Match"}, {"ticket.go", "read", "secret.Equal"},
		{"internal/secret/secret.go", "Match", "subtle.ConstantTimeCompare"}, {"internal/secret/secret.go", "Equal", "subtle.ConstantTimeCompare"},
	} {
		file, function := where.file, where.function
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		compared := 0
		for _, decl := range parsed.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Name.Name != function {
				continue
			}
			ast.Inspect(f, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.RangeStmt:
					if names(n.X) {
						ast.Inspect(n.Body, func(n ast.Node) bool {
							switch n.(type) {
							case *ast.BranchStmt, *ast.ReturnStmt:
								t.Errorf("%s: %s stops at the first secret that fits", file, function)
							}
							return true
						})
					}
				case *ast.BinaryExpr:
					if (n.Op == token.EQL || n.Op == token.NEQ) && (names(n.X) || names(n.Y)) {
						t.Errorf("%s: %s compares a secret with %s", file, function, n.Op)
					}
				case *ast.CallExpr:
					if calls(n, where.by) {
						compared++
					}
					for _, other := range []string{"bytes.Equal", "bytes.Compare", "strings.Compare", "strings.EqualFold", "slices.Contains", "slices.Index", "slices.Equal"} {
						if calls(n, other) && slices.ContainsFunc(n.Args, func(arg ast.Expr) bool { return names(arg) }) {
							t.Errorf("%s: %s compares a secret by %s", file, function, other)
						}
					}
				}
				return true
			})
		}
		if compared != 1 {
			t.Errorf("%s: %s compares %d times in constant time", file, function, compared)
		}
	}
}

// calls reports whether a call is of a function, such as "len" or "bytes.Equal".
func calls(call *ast.CallExpr, name string) bool {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name == name
	case *ast.SelectorExpr:
		pkg, ok := f.X.(*ast.Ident)
		return ok && pkg.Name+"."+f.Sel.Name == name
	}
	return false
}
