package sitetest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// adminEndpoint returns this module's part of Caddy's admin endpoint.
func adminEndpoint(t *testing.T) http.Handler {
	t.Helper()
	module, err := caddy.GetModule("admin.api.sse_push")
	if err != nil {
		t.Fatal(err)
	}
	api := module.New()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	t.Cleanup(cancel)
	if err := api.(caddy.Provisioner).Provision(ctx); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	for _, route := range api.(caddy.AdminRouter).Routes() {
		mux.HandleFunc(route.Pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := route.Handler.ServeHTTP(w, r); err != nil {
				t.Error(err)
			}
		})
	}
	return mux
}

// ask sends a call to the admin endpoint; headers are names and values in turn.
func ask(t *testing.T, h http.Handler, method, target, body string, headers ...string) sitetest.Answer {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return sitetest.Answer{w.Code, w.Result().Header, w.Body.String()}
}

func askFor[T any](t *testing.T, h http.Handler, target string) (v T) {
	t.Helper()
	a := ask(t, h, "GET", target, "")
	if err := json.Unmarshal([]byte(a.Body), &v); err != nil || a.Status != http.StatusOK {
		t.Fatalf("%s: got %d %s", target, a.Status, a.Body)
	}
	return v
}

// The admin endpoint answers as the internal route does, whatever is asked.
func TestAdminIsTheInternalRoute(t *testing.T) {
	s, h := sitetest.Serve(t, sitetest.Route("limits {\nevent 1KiB\n}")), adminEndpoint(t)
	c := s.Open("/events?userId=u1&topic=room")
	s.Open("/events?userId=a%2F..%2F%2Fb&topic=room")
	for _, call := range []string{
		"connections", "connections?limit=1", "connections?user=u1", "connections?topic=room&limit=x", "connections?after=x",
		"connections/" + c.Connected.Connection, "connections/none", "connections/", "users", "users?limit=1", "users?after=b", "users/u1", "users/nobody",
		"users/a%2F..%2F%2Fb", "users/%2E%2E", "topics", "topics/room", "topics?x=1", "position", "health", "nothing", "nothing/else",
	} {
		internal, own := s.Do("GET", "/_sse/"+call, ""), ask(t, h, "GET", "/sse_push/hubs/default/"+call, "")
		if own.Status != internal.Status || own.Body != internal.Body || own.Header.Get("Content-Type") != internal.Header.Get("Content-Type") {
			t.Errorf("%s: got %d %s, the internal route has %d %s", call, own.Status, own.Body, internal.Status, internal.Body)
		}
	}
	for _, body := range []string{`{"user": "u1", "data": "x"`, `{"data": "x"}`, `{"user": null}`, `[]`, `{"user": "u1", "data": "` + strings.Repeat("x", 2000) + `"}`} {
		internal := s.Do("POST", "/_sse/publish", body, "Content-Type", sitetest.JsonType)
		own := ask(t, h, "POST", "/sse_push/hubs/default/publish", body, "Content-Type", sitetest.JsonType)
		if own.Status != internal.Status || own.Body != internal.Body || own.Status == http.StatusOK {
			t.Errorf("%.40s: got %d %s, the internal route has %d %s", body, own.Status, own.Body, internal.Status, internal.Body)
		}
	}
	a := ask(t, h, "POST", "/sse_push/hubs/default/publish", `[{"user": "u1", "data": "1"}, {"data": "2"}, {"topic": "room", "data": "3"}]`, "Content-Type", sitetest.JsonType)
	if a.Status != http.StatusOK || !strings.Contains(a.Body, "no target") {
		t.Errorf("got %d %s", a.Status, a.Body)
	}
	c.Want("1", "3")
	if a := ask(t, h, "DELETE", "/sse_push/hubs/default/connections/"+c.Connected.Connection, ""); a.Status != http.StatusNoContent {
		t.Errorf("got %d %s", a.Status, a.Body)
	}
	c.WantClosing("disconnected")
	if a := ask(t, h, "DELETE", "/sse_push/hubs/default/users/a%2F..%2F%2Fb", ""); a.Status != http.StatusNoContent {
		t.Errorf("got %d %s", a.Status, a.Body)
	}
	brokertest.Eventually(t, "all are gone", func() bool { return sitetest.Get[sitetest.ConnectionList](s, "/_sse/connections").Total == 0 })
}

func TestAdminHubs(t *testing.T) {
	const two = `sse_push /events {
		hub main
		anonymous
	}
	sse_push /other {
		hub "<b>/2"
		anonymous
		history {
			events 3
		}
	}`
	s, h := sitetest.Serve(t, two), adminEndpoint(t)
	s.Open("/events")
	type list struct {
		Hubs []struct {
			Hub, Status string
			Connections int
		}
		Total int
		Next  string
	}
	got := askFor[list](t, h, "/sse_push/hubs")
	if got.Total != 2 || len(got.Hubs) != 2 || got.Hubs[0].Hub != "<b>/2" || got.Hubs[1].Hub != "main" || got.Hubs[1].Connections != 1 || got.Hubs[1].Status != "ready" {
		t.Errorf("got %+v", got)
	}
	first := askFor[list](t, h, "/sse_push/hubs?limit=1")
	rest := askFor[list](t, h, "/sse_push/hubs?limit=1&after="+url.QueryEscape(first.Next))
	if len(first.Hubs) != 1 || len(rest.Hubs) != 1 || rest.Hubs[0].Hub != "main" || rest.Next != "" {
		t.Errorf("got %+v and %+v", first, rest)
	}
	if one := askFor[struct{ Hub string }](t, h, "/sse_push/hubs/%3Cb%3E%2F2"); one.Hub != "<b>/2" {
		t.Errorf("got %+v", one)
	}
	for target, want := range map[string]string{
		"GET /sse_push/hubs/none":                            "there is no hub none; the hubs are: \\u003cb\\u003e/2, main",
		"GET /sse_push/hubs/none/connections":                "there is no hub none",
		"POST /sse_push/hubs":                                "send GET or HEAD",
		"POST /sse_push/hubs/main":                           "send GET or HEAD",
		"GET /sse_push/hubs?limit=0":                         "limit",
		"GET /sse_push/hubs?x=1":                             "not a parameter",
		"GET /sse_push/hubs/main?x=1":                        "not a parameter",
		"GET /sse_push/hubs/main/explain":                    "give who",
		"GET /sse_push/hubs/main/explain?event=":             "give who",
		"GET /sse_push/hubs/main/explain?event=%3Cscript%3E": "event: must be an event's id",
		"GET /sse_push/hubs/main/tail?after=x":               "after",
		"GET /sse_push/hubs/main/tail?limit=0":               "limit",
		"GET /sse_push/hubs/main/tail?topic=a**":             "topic",
		"POST /sse_push/hubs/main/tail":                      "send GET",
	} {
		method, path, _ := strings.Cut(target, " ")
		a := ask(t, h, method, path, "")
		if a.Status < 400 || a.Status > 405 || !strings.Contains(a.Body, want) || a.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: got %d %s", target, a.Status, a.Body)
		}
	}
}

// A tail follows what a hub delivers, with filters. A call that asks for later events waits for them.
func TestAdminTail(t *testing.T) {
	s, h := sitetest.Serve(t, sitetest.Route("")), adminEndpoint(t)
	type tail struct {
		Events []struct {
			ID, Event, Data string
			Users, Topics   []string
			Broadcast       bool
		}
		Next string
		Gap  bool
	}
	at := func(after, filter string) tail {
		return askFor[tail](t, h, "/sse_push/hubs/default/tail?after="+after+filter)
	}
	start := askFor[tail](t, h, "/sse_push/hubs/default/tail").Next
	s.Publish("user", "u1", "data", "1")
	s.Publish("topic", "public/a", "data", "2", "event", "named", "id", "7")
	s.Publish("broadcast", "true", "data", "three")
	all := at(start, "")
	if len(all.Events) != 3 || all.Gap || all.Events[0].Users[0] != "u1" || all.Events[1].Topics[0] != "public/a" || all.Events[1].Event != "named" ||
		!strings.HasSuffix(all.Events[1].ID, "~7") || !all.Events[2].Broadcast {
		t.Errorf("got %+v", all)
	}
	for filter, want := range map[string]string{"&user=u1": "1", "&topic=public/*": "2", "&event=named": "2", "&text=thr": "three"} {
		if got := at(start, filter); len(got.Events) != 1 || got.Events[0].Data != want {
			t.Errorf("%s: got %+v", filter, got)
		}
	}
	if one := at(start, "&limit=1"); len(one.Events) != 1 || one.Next != one.Events[0].ID {
		t.Errorf("got %+v", one)
	}
	later := make(chan tail)
	go func() { later <- at(all.Next, "&user=u2") }()
	s.Publish("user", "u1", "data", "not for u2")
	s.Publish("user", "u2", "data", "for u2")
	if got := <-later; len(got.Events) != 1 || got.Events[0].Data != "for u2" {
		t.Errorf("got %+v", got)
	}
	if got := at("1.1", ""); !got.Gap || len(got.Events) != 5 {
		t.Errorf("got %+v", got)
	}
}

// Explain says why a user did not get an event, by what the routes grant.
func TestAdminExplain(t *testing.T) {
	s, h := sitetest.Serve(t, sitetest.Route("")), adminEndpoint(t)
	c := s.Open("/events?userId=u1&topic=room")
	type explanation struct{ Verdict, Detail string }
	explain := func(who, event string) explanation {
		return askFor[explanation](t, h, fmt.Sprintf("/sse_push/hubs/default/explain?who=%s&event=%s", url.QueryEscape(who), event))
	}
	want := func(who, event, verdict string) {
		t.Helper()
		if got := explain(who, event); got.Verdict != verdict {
			t.Errorf("%s of %s: got %+v, want %s", who, event, got, verdict)
		}
	}
	sent := s.Publish("topic", "room", "data", "1")
	c.Want("1")
	want("u1", sent, "sent")
	want(c.Connected.Connection, sent, "sent")
	want("u1", s.Publish("topic", "public/news", "data", "2"), "not_subscribed")
	want("u1", s.Publish("topic", "user/u1/x", "data", "3"), "not_subscribed")
	want("u1", s.Publish("topic", "user/u2/x", "data", "4"), "not_granted")
	want("u1", s.Publish("user", "u2", "data", "5"), "not_addressed")
	want("u2", s.Publish("user", "u2", "data", "6"), "not_connected")
	want("u1", s.Publish("user", "u1", "data", "7", "exclude[]", c.Connected.Connection), "excluded")
	want("u1", "1.1", "unknown")
	want("<script>", sent, "not_connected")
	c.Close()
	brokertest.Eventually(t, "it is gone", func() bool { return explain("u1", "").Verdict == "not_connected" })
	want("u1", sent, "sent")
}

// A tail that waits does not hold up a reload.
func TestAdminTailEndsWithTheConfig(t *testing.T) {
	s := sitetest.Serve(t, sitetest.Route(""))
	module, err := caddy.GetModule("admin.api.sse_push")
	if err != nil {
		t.Fatal(err)
	}
	api := module.New()
	ctx, replace := caddy.NewContext(caddy.Context{Context: t.Context()})
	if err := api.(caddy.Provisioner).Provision(ctx); err != nil {
		t.Fatal(err)
	}
	handler := api.(caddy.AdminRouter).Routes()[1].Handler
	position := sitetest.Get[struct{ Position string }](s, "/_sse/position").Position
	done := make(chan struct{})
	w := httptest.NewRecorder()
	go func() {
		defer close(done)
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/sse_push/hubs/default/tail?after="+position, nil)
		if err := handler.ServeHTTP(w, r); err != nil {
			t.Error(err)
		}
	}()
	replace()
	<-done
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), position) {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}
