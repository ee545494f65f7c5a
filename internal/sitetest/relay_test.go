package sitetest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// startRelay starts a relay of a model for u1, with more fields.
func startRelay(s *sitetest.Site, m *sitetest.Model, id, more string) {
	s.T.Helper()
	a := callRelay(s, m, id, more)
	if a.Status != http.StatusAccepted || a.Body != fmt.Sprintf("{\"id\":%q}\n", id) {
		s.T.Fatalf("got %d %s", a.Status, a.Body)
	}
}

func callRelay(s *sitetest.Site, m *sitetest.Model, id, more string) sitetest.Answer {
	s.T.Helper()
	return s.Do("POST", "/_sse/relays", fmt.Sprintf(`{"id": %q, "user": "u1", "request": {"url": "%s/v1/chat", "body": {"stream": true}}%s}`, id, m.URL, more))
}

type relayEnd struct {
	Relay, Status string
	Events, Bytes uint64
}

// wantRelayEnd takes the end of a relay, and then that of the stream.
func wantRelayEnd(c *sitetest.Client, status string, events uint64) (e relayEnd) {
	c.T.Helper()
	m := c.Next()
	if err := json.Unmarshal([]byte(m.Data), &e); err != nil || m.Type != "sse:end" || e.Status != status || e.Events != events {
		c.T.Fatalf("got %q, want the end: %s after %d events", m, status, events)
	}
	c.WantEnd()
	return e
}

type relayInfo struct {
	ID, User, Status, Error, Body, Done string
	Events, Bytes                       uint64
	Attempts                            int
	HTTPStatus                          int `json:"http_status"`
}

func relayOf(s *sitetest.Site, id string) relayInfo {
	s.T.Helper()
	return sitetest.Get[relayInfo](s, "/_sse/relays/"+id)
}

// A page gets all of an answer, from its first event: as it comes, in a second tab, after it was cut off, and when it is over.
func TestRelay(t *testing.T) {
	m := sitetest.StartModel(t)
	s := sitetest.Serve(t, sitetest.Route(m.RelayTo("")))
	startRelay(s, m, "chat-1", `, "event": "token"`)
	q := m.Next()
	if q.Method != "POST" || q.URL.Path != "/v1/chat" || q.Body != `{"stream":true}` || q.Header.Get("Authorization") != "Bearer key" || q.Header.Get("Content-Type") != "application/json" {
		t.Errorf("got %s %s %q: %s", q.Method, q.URL, q.Header, q.Body)
	}
	first := s.Open("/events?userId=u1&relay=chat-1")
	q.Answer(200, "text/event-stream")
	q.Tokens("a", "b")
	first.Want("a", "b")
	cut := first.LastID
	second := s.Open("/events?userId=u1&relay=chat-1")
	second.Want("a", "b")
	q.Tokens("c", "[DONE]")
	first.Want("c", "[DONE]")
	first.Close()
	q.End()
	second.Want("c", "[DONE]")
	e := wantRelayEnd(second, "complete", 4)
	if e.Relay != "chat-1" || e.Bytes != 9 {
		t.Errorf("got %+v", e)
	}
	again := s.Resume("/events?userId=u1&relay=chat-1", cut)
	again.Want("c", "[DONE]")
	wantRelayEnd(again, "complete", 4)
	late := s.Open("/events?userId=u1&relay=chat-1")
	late.Want("a", "b", "c", "[DONE]")
	wantRelayEnd(late, "complete", 4)
	if a := s.Do("GET", "/events?userId=u1&relay=chat-1", "", "Accept", "text/event-stream", "Last-Event-ID", late.LastID); a.Status != http.StatusNoContent {
		t.Errorf("after the end: %d %s", a.Status, a.Body)
	}
	if i := relayOf(s, "chat-1"); i.Status != "complete" || i.Events != 4 || i.Bytes != 9 || i.HTTPStatus != 200 || i.User != "u1" {
		t.Errorf("got %+v", i)
	}
}

// Only the user may hear a relay, or those with the topic. To all others it is not there.
func TestRelayIsForItsAudience(t *testing.T) {
	m := sitetest.StartModel(t)
	s := sitetest.Serve(t, sitetest.Route(m.RelayTo("")))
	startRelay(s, m, "mine", "")
	a := s.Do("POST", "/_sse/relays", fmt.Sprintf(`{"id": "ours", "topic": "user/u2/chat", "request": {"url": %q}}`, m.URL))
	if a.Status != http.StatusAccepted {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	t.Run("streams", func(t *testing.T) { // ends when all have ended
		for target, want := range map[string]int{
			"/events?userId=u1&relay=mine": 200, "/events?userId=u2&relay=mine": 204, "/events?relay=mine": 204,
			"/events?userId=u2&relay=ours": 200, "/events?userId=u1&relay=ours": 204,
			"/events?userId=u1&relay=none": 204, "/events?userId=u1&relay=relay/mine": 204, "/events?userId=u1&relay=*": 204, "/events?userId=u1&relay=": 204,
		} {
			t.Run(target, func(t *testing.T) {
				t.Parallel()
				s := *s
				s.T = t
				begun := time.Now()
				c := s.Stream("GET", target, "", "Accept", "text/event-stream")
				if c.Status != want {
					t.Errorf("got %d, want %d", c.Status, want)
				}
				if took := time.Since(begun); want == 204 && took < 2*time.Second {
					t.Errorf("it was known after %s", took)
				}
			})
		}
	})
	for _, target := range []string{"/events?userId=u1&relay=mine&topic=room", "/events?userId=u1&relay=mine&relay=ours"} {
		if a := s.Do("GET", target, ""); a.Status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d %s", target, a.Status, a.Body)
		}
	}
	// What is published comes into no relay, and a relay into no topic.
	all := s.Open("/events?userId=u1&topic=room")
	c := s.Open("/events?userId=u1&relay=mine")
	s.Publish("topic", "mine", "data", "forged")
	s.Publish("topic", "relay/mine", "data", "forged")
	s.Publish("broadcast", "1", "data", "to all")
	all.Want("to all")
	q := m.Next()
	if q.Method == "GET" {
		q = m.Next()
	}
	q.Answer(200, "text/event-stream").Tokens("token")
	c.Want("token")
	s.Publish("broadcast", "1", "data", "to all again")
	all.Want("to all again")
}

// A page may ask for a relay a moment before the app has started it.
func TestRelayThatBeginsLater(t *testing.T) {
	m := sitetest.StartModel(t)
	s := sitetest.Serve(t, sitetest.Route(m.RelayTo("")))
	startRelay(s, m, "another", "")
	m.Next().End()
	got := make(chan *sitetest.Client, 1)
	go func() {
		c, err := s.TryStream(sitetest.Limit, "GET", "/events?userId=u1&relay=chat", "", "Accept", "text/event-stream")
		if err != nil {
			t.Error(err)
		}
		got <- c
	}()
	select {
	case <-got:
		t.Error("the client was answered at once")
	case <-time.After(500 * time.Millisecond):
	}
	startRelay(s, m, "chat", "")
	c := (<-got).Begin()
	m.Next().Answer(200, "text/event-stream").Tokens("a")
	c.Want("a")
}

// How an answer ends, and what it is, decides the relay's status.
func TestRelayEnds(t *testing.T) {
	m := sitetest.StartModel(t)
	s := sitetest.Serve(t, sitetest.Route(m.RelayTo("answer 1KiB\nsilence 1s\ntimeout 3s")))
	for i, c := range []struct {
		name   string
		more   string
		serve  func(q *sitetest.Request)
		status string
		data   []string
		reason string
	}{
		{"complete", "", func(q *sitetest.Request) { q.Answer(200, "text/event-stream").Tokens("a"); q.End() }, "complete", []string{"a"}, ""},
		{"an event that is cut off at the end", "", func(q *sitetest.Request) {
			q.Answer(200, "text/event-stream").Tokens("a")
			q.Write("data: b")
			q.End()
		}, "complete", []string{"a"}, ""},
		{"lines", `, "event": "line"`, func(q *sitetest.Request) {
			q.Answer(200, "application/x-ndjson; charset=utf-8").Write("{\"a\":1}\n{\"b\"")
			q.Write(":2}")
			q.End()
		}, "complete", []string{`{"a":1}`, `{"b":2}`}, ""},
		{"text", `, "as": "text"`, func(q *sitetest.Request) { q.Answer(200, "text/plain").Write("hello"); q.End() }, "complete", []string{"hello"}, ""},
		{"a break", "", func(q *sitetest.Request) { q.Answer(200, "text/event-stream").Tokens("a"); q.Break() }, "failed", []string{"a"}, "EOF"},
		{"a name of our own", "", func(q *sitetest.Request) {
			q.Answer(200, "text/event-stream").Write("event: sse:end\ndata: {}\n\nevent: error\ndata: e\n\n")
			q.End()
		}, "complete", []string{"e"}, ""},
		{"an error", "", func(q *sitetest.Request) {
			q.Answer(429, "application/json").Write(`{"error":"slow down"}` + strings.Repeat(" ", 8<<10))
			q.End()
		}, "failed", nil, "answered 429"},
		{"nothing", "", func(q *sitetest.Request) { q.Answer(204, "text/event-stream").End() }, "failed", nil, "answered 204"},
		{"no type", "", func(q *sitetest.Request) { q.Answer(204, "").End() }, "failed", nil, "answered 204, without a Content-Type"},
		{"no key", "", func(q *sitetest.Request) { q.Answer(401, "text/event-stream").End() }, "failed", nil, "answered 401"},
		{"trouble", "", func(q *sitetest.Request) { q.Answer(500, "text/event-stream").End() }, "failed", nil, "answered 500"},
		{"a page", "", func(q *sitetest.Request) { q.Answer(200, "text/html").Write("<html>"); q.End() }, "failed", nil, "text/html"},
		{"a break in the middle of an event", "", func(q *sitetest.Request) {
			q.Answer(200, "text/event-stream").Tokens("a")
			q.Write("data: b\n")
			q.Break()
		}, "failed", []string{"a"}, "EOF"},
		{"invalid UTF-8", "", func(q *sitetest.Request) { q.Answer(200, "text/event-stream").Tokens("\xff"); q.End() }, "complete", []string{"\uFFFD"}, ""},
		{"long ids, and a wait of a year", "", func(q *sitetest.Request) {
			q.Answer(200, "text/event-stream").Write("retry: 31536000000\nid: " + strings.Repeat("7", 600) + "\ndata: a\n\n")
			q.End()
		}, "complete", []string{"a"}, ""},
		{"JSON", "", func(q *sitetest.Request) { q.Answer(200, "application/json").Write(`{}`); q.End() }, "failed", nil, "application/json"},
		{"a redirect", "", func(q *sitetest.Request) {
			q.Answer(307, "text/event-stream", "Location", m.URL+"/elsewhere")
			q.End()
		}, "failed", nil, "answered 307"},
		{"compressed", "", func(q *sitetest.Request) {
			q.Answer(200, "text/event-stream", "Content-Encoding", "gzip").Write("\x1f\x8b")
			q.End()
		}, "failed", nil, "compressed"},
		{"by its length", "", func(q *sitetest.Request) {
			q.Answer(200, "text/event-stream", "Content-Length", "9").Tokens("a")
			q.End()
		}, "complete", []string{"a"}, ""},
		{"less than its length", "", func(q *sitetest.Request) {
			q.Answer(200, "text/event-stream", "Content-Length", "10").Tokens("a")
			q.End()
		}, "failed", []string{"a"}, "EOF"},
		{"only by the end of its connection", "", func(q *sitetest.Request) {
			q.Answer(200, "text/event-stream", "Transfer-Encoding", "identity").Tokens("a")
			q.End()
		}, "failed", []string{"a"}, "could not be told from a broken connection"},
		{"too long", "", func(q *sitetest.Request) {
			q.Answer(200, "text/event-stream").Tokens("a")
			q.Write("data: " + strings.Repeat("x", 2<<10))
		}, "failed", []string{"a"}, "longer than answer"},
		{"silence", "", func(q *sitetest.Request) { q.Answer(200, "text/event-stream").Tokens("a") }, "failed", []string{"a"}, "silence"},
		{"no headers", "", func(*sitetest.Request) {}, "failed", nil, "silence"},
		{"too slow", "", func(q *sitetest.Request) {
			q.Answer(200, "text/event-stream")
			for q.Write(":\n") {
				time.Sleep(100 * time.Millisecond) // the model's pace
			}
		}, "failed", nil, "timeout"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := *s
			s.T = t
			id := fmt.Sprint("chat-", i)
			startRelay(&s, m, id, c.more)
			client := s.Open("/events?userId=u1&relay=" + id)
			q := m.Next()
			defer q.End()
			go c.serve(q)
			client.Want(c.data...)
			if client.Retry > time.Minute || len(client.LastID) > 128 {
				t.Errorf("the client waits %s, with the id %s", client.Retry, client.LastID)
			}
			wantRelayEnd(client, c.status, uint64(len(c.data)))
			info := relayOf(&s, id)
			if info.Status != c.status || !strings.Contains(info.Error, c.reason) || c.reason == "" && info.Error != "" {
				t.Errorf("got %+v, want the reason %q", info, c.reason)
			}
			if c.name == "an error" && (info.HTTPStatus != 429 || !strings.HasPrefix(info.Body, `{"error":"slow down"}`) || len(info.Body) != 4<<10) {
				t.Errorf("got %d, %d bytes", info.HTTPStatus, len(info.Body))
			}
		})
	}
}

// The same call again is the same relay; another one with its id is refused. There are so many relays and no more.
func TestRelayCalls(t *testing.T) {
	m := sitetest.StartModel(t)
	s := sitetest.Serve(t, sitetest.Route(m.RelayTo("concurrent 3\nper_user 2\ndone http://app.internal/hooks/\nsecret "+strings.Repeat("s", 16)+strings.Repeat("t", 16))))
	for range 2 {
		startRelay(s, m, "one", "")
	}
	if a := callRelay(s, m, "one", `, "event": "other"`); a.Status != http.StatusUnprocessableEntity {
		t.Errorf("another call: %d %s", a.Status, a.Body)
	}
	startRelay(s, m, "two", "")
	if a := callRelay(s, m, "three", ""); a.Status != http.StatusTooManyRequests || a.Header.Get("Retry-After") == "" || !strings.Contains(a.Body, "per_user") {
		t.Errorf("over per_user: %d %s", a.Status, a.Body)
	}
	topic := func(id string) sitetest.Answer {
		return s.Do("POST", "/_sse/relays", fmt.Sprintf(`{"id": %q, "topic": "room", "request": {"url": %q}}`, id, m.URL))
	}
	if a := topic("three"); a.Status != http.StatusAccepted {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if a := topic("four"); a.Status != http.StatusTooManyRequests || !strings.Contains(a.Body, "concurrent") {
		t.Errorf("over concurrent: %d %s", a.Status, a.Body)
	}
	var urls []string
	for range 3 {
		q := m.Next()
		urls = append(urls, q.URL.Path)
		q.Answer(200, "text/event-stream").End()
	}
	if slices.Sort(urls); !slices.Equal(urls, []string{"/", "/v1/chat", "/v1/chat"}) {
		t.Errorf("fetched %q", urls)
	}
	brokertest.Eventually(t, "there is room again", func() bool { return topic("four").Status == http.StatusAccepted })
	m.Next().End()

	good := map[string]any{"id": "a", "user": "u1", "request": map[string]any{"url": m.URL}}
	with := func(field string, value any) string {
		all := map[string]any{}
		for name, v := range good {
			all[name] = v
		}
		if all[field] = value; value == nil {
			delete(all, field)
		}
		b, err := json.Marshal(all)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	request := func(fields ...any) string {
		all := map[string]any{"url": m.URL}
		for i := 0; i < len(fields); i += 2 {
			all[fields[i].(string)] = fields[i+1]
		}
		return with("request", all)
	}
	for body, want := range map[string]struct {
		status int
		field  string
	}{
		"":   {400, ""},
		"[]": {400, ""},
		`{"id":"a","id":"b","user":"u1","request":{"url":"` + m.URL + `"}}`: {400, "id"},
		with("id", "a/b"):                                        {400, "id"},
		with("id", strings.Repeat("a", 129)):                     {400, "id"},
		with("id", ""):                                           {400, "id"},
		with("user", nil):                                        {400, "user"},
		with("topic", "room"):                                    {400, "user"},
		with("user", "\x00"):                                     {400, "user"},
		with("event", "sse:end"):                                 {400, "event"},
		with("as", "xml"):                                        {400, "as"},
		with("else", 1):                                          {400, "else"},
		with("request", nil):                                     {400, "request"},
		with("request", "x"):                                     {400, "request"},
		with("done", "http://app.internal/other"):                {400, "done"},
		with("done", "http://app.internal/hooks/../"):            {400, "done"},
		with("done", "http://app.internal/hooks/%2e%2e/"):        {400, "done"},
		with("done", "http://app.internal:81/hooks/"):            {400, "done"},
		with("done", "http://u@app.internal/hooks/"):             {400, "done"},
		request("url", "http://127.0.0.1/"):                      {403, "request.url"},
		request("url", "https"+m.URL[4:]):                        {403, "request.url"},
		request("url", "http://key@"+m.URL[7:]):                  {400, "request.url"},
		request("url", "unix:///run/app.sock"):                   {400, "request.url"},
		request("url", ""):                                       {400, "request.url"},
		request("method", "PUT"):                                 {400, "request.method"},
		request("method", "get"):                                 {400, "request.method"},
		request("method", "GET", "body", 1):                      {400, "request.body"},
		request("headers", map[string]any{"Host": "x"}):          {400, "request.headers"},
		request("headers", map[string]any{"X-A": "a\nb"}):        {400, "request.headers"},
		request("headers", map[string]any{"X-A": 1}):             {400, "request.headers"},
		request("headers", map[string]any{"authorization": "x"}): {400, "request.headers"},
		request("else", 1):                                       {400, "request.else"},
	} {
		a := s.Do("POST", "/_sse/relays", body)
		if p := sitetest.ProblemOf(t, a); a.Status != want.status || p.Field != want.field {
			t.Errorf("%s: got %d %s, want %d, %s", body, a.Status, a.Body, want.status, want.field)
		}
	}
	for body, want := range map[string]string{"[]": "the body must be an object, got an array", "{": "invalid JSON at byte 1: unexpected end of JSON input"} {
		if p := sitetest.ProblemOf(t, s.Do("POST", "/_sse/relays", body)); p.Detail != want {
			t.Errorf("%s: the detail is %q, want %q", body, p.Detail, want)
		}
	}
	for method, target := range map[string]string{"PUT": "/_sse/relays", "DELETE": "/_sse/relays", "POST": "/_sse/relays/one"} {
		if a := s.Do(method, target, ""); a.Status != http.StatusMethodNotAllowed {
			t.Errorf("%s %s: %d", method, target, a.Status)
		}
	}
	list := sitetest.Get[struct {
		Relays []relayInfo
		Total  int
	}](s, "/_sse/relays")
	if list.Total != 4 || len(list.Relays) != 4 || list.Relays[0].ID != "four" {
		t.Errorf("got %+v", list)
	}
}

// Without relay, none can be started, there are none, and the parameter means nothing.
func TestNoRelays(t *testing.T) {
	s := sitetest.Serve(t, sitetest.Route(""))
	if a := s.Do("POST", "/_sse/relays", `{"user": "u1", "request": {"url": "http://localhost/"}}`); a.Status != http.StatusNotFound {
		t.Errorf("got %d %s", a.Status, a.Body)
	}
	if list := relaysOf(s, ""); list.Total != 0 || list.Relays == nil {
		t.Errorf("got %+v", list)
	}
	for _, method := range []string{"GET", "DELETE"} {
		if a := s.Do(method, "/_sse/relays/x", ""); a.Status != http.StatusNotFound {
			t.Errorf("%s: got %d %s", method, a.Status, a.Body)
		}
	}
	s.Open("/events?userId=u1&relay=x")
}

// A relay outlives reloads, and its pages do. It ends when its origin leaves the config.
func TestRelayOutlivesReloads(t *testing.T) {
	m := sitetest.StartModel(t)
	body := sitetest.Route(m.RelayTo(""))
	sites := sitetest.ServeAll(t, body)
	s := sites[0]
	startRelay(s, m, "chat", "")
	q := m.Next().Answer(200, "text/event-stream")
	c := s.Open("/events?userId=u1&relay=chat")
	for i := range 5 {
		q.Tokens(fmt.Sprint(i))
		c.Want(fmt.Sprint(i))
		sitetest.MustLoad(t, sites, body+fmt.Sprintf("\nheader X-Load %d", i))
	}
	q.Tokens("last")
	c.Want("last")
	other := sitetest.StartModel(t)
	sitetest.MustLoad(t, sites, sitetest.Route(other.RelayTo("")))
	wantRelayEnd(c, "cancelled", 6)
	brokertest.Eventually(t, "the upstream is closed", func() bool { return m.Gone.Load() == 1 })
}
