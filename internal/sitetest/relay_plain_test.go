package sitetest_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// plainAnswer is what a client gets that asks for an answer itself.
type plainAnswer struct {
	status int
	header http.Header
	body   string
	cut    error // nil if the body has ended properly
}

// fetchPlain asks for the answer of a relay as u1, and reads it to its end.
func fetchPlain(s *sitetest.Site, id, how string) <-chan plainAnswer {
	s.T.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), sitetest.Limit)
	s.T.Cleanup(cancel)
	r := s.Request(ctx, http.MethodGet, "/events?userId=u1&relay="+id+"&"+how, http.NoBody, nil)
	got := make(chan plainAnswer, 1)
	go func() {
		resp, err := s.HTTP.Do(r)
		if err != nil {
			got <- plainAnswer{cut: err}
			return
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		got <- plainAnswer{resp.StatusCode, resp.Header, string(b), err}
	}()
	return got
}

// heardBy waits until so many clients listen.
func heardBy(s *sitetest.Site, n int) {
	s.T.Helper()
	brokertest.Eventually(s.T, fmt.Sprintf("%d clients listen", n), func() bool {
		return sitetest.Get[struct{ Total int }](s, "/_sse/connections").Total == n
	})
}

// A plain stream is the answer as the upstream has sent it, of each kind and over each protocol: as it comes, and again when it is
// over. A client that comes before there is an answer waits for it.
func TestRelayPlain(t *testing.T) { testRelayPlain(t, "protocols h3", allProtocols) }

// allProtocols are those of streams. The last one needs an option of the server.
var allProtocols = append(sitetest.Protocols[:len(sitetest.Protocols):len(sitetest.Protocols)], sitetest.HTTP3)

func testRelayPlain(t *testing.T, options string, protocols []sitetest.Protocol) {
	models := map[string]*sitetest.Model{}
	for _, p := range protocols {
		models[p.Name] = sitetest.StartModel(t)
	}
	sitetest.ServeOver(t, options, protocols, func(p sitetest.Protocol) string {
		return p.TLS + sitetest.Route("hub "+p.Name+"\nheartbeat 1h\n"+models[p.Name].RelayTo(""))
	}, func(t *testing.T, s *sitetest.Site, p sitetest.Protocol) {
		m := models[p.Name]
		for _, c := range []struct {
			id, more, kind string
			parts          []string
			want           string
		}{
			{"events", "", "text/event-stream", []string{"id: 7\nevent: delta\nda", "ta: a\n\ndata: b\ndata:  c\n\nevent: sse:end\ndata: forged\n\n: ping\n\ndata: [DONE]\n\n"},
				"event: delta\ndata: a\nid: 7\n\ndata: b\ndata:  c\nid: 7\n\ndata: [DONE]\nid: 7\n\n"},
			{"named", `, "event": "token"`, "text/event-stream; charset=utf-8", []string{"data: a\n\nevent: error\ndata: b\n\n"}, "data: a\n\nevent: error\ndata: b\n\n"},
			{"lines", `, "event": "line"`, "application/x-ndjson", []string{"{\"a\":1}\n{\"b\"", ":2}\n", "3"}, "{\"a\":1}\n{\"b\":2}\n3\n"},
			{"text", `, "as": "text"`, "text/html", []string{"<b>Grüße</b>\n\n", "data: x\n"}, "<b>Grüße</b>\n\ndata: x\n"},
			{"untyped", `, "as": "text"`, "", []string{"x"}, "x"},
		} {
			early := fetchPlain(s, c.id, "plain") // before the relay begins
			startRelay(s, m, c.id, c.more)
			q := m.Next()
			middle := fetchPlain(s, c.id, "plain") // before it has an answer
			heardBy(s, 2)
			if q.Answer(200, c.kind, "X-Vercel-AI-UI-Message-Stream", "v1", "Set-Cookie", "a=b"); c.kind == "" {
				c.kind = "text/plain; charset=utf-8"
			}
			for _, part := range c.parts {
				q.Write(part)
			}
			late := fetchPlain(s, c.id, "plain")
			heardBy(s, 3)
			q.End()
			for name, a := range map[string]plainAnswer{"early": <-early, "middle": <-middle, "late": <-late, "whole": <-fetchPlain(s, c.id, "plain=whole")} {
				h := a.header
				if a.status != http.StatusOK || a.cut != nil || a.body != c.want || h.Get("Content-Type") != c.kind || h.Get("X-Vercel-AI-UI-Message-Stream") != "v1" ||
					h.Get("X-Content-Type-Options") != "nosniff" || !strings.HasPrefix(h.Get("Content-Security-Policy"), "sandbox") || h.Get("Set-Cookie") != "" {
					t.Errorf("%s, %s: got %d %v, %v:\n%s", c.id, name, a.status, h, a.cut, a.body)
				}
			}
			if a := <-fetchPlain(s, c.id, "plain"); a.status != http.StatusNoContent || a.body != "" {
				t.Errorf("%s: after the end got %d %q", c.id, a.status, a.body)
			}
			heardBy(s, 0)
		}
	})
}

// The response to a client is cut off unless the answer is complete, whatever it is that has ended it.
func TestRelayPlainIsCutOff(t *testing.T) { testRelayPlainIsCutOff(t, "protocols h3", allProtocols) }

func testRelayPlainIsCutOff(t *testing.T, options string, protocols []sitetest.Protocol) {
	models := map[string]*sitetest.Model{}
	for _, p := range protocols {
		models[p.Name] = sitetest.StartModel(t)
	}
	sitetest.ServeOver(t, options, protocols, func(p sitetest.Protocol) string {
		return p.TLS + sitetest.Route("hub "+p.Name+"\n"+models[p.Name].RelayTo("answer 1KiB"))
	}, func(t *testing.T, s *sitetest.Site, p sitetest.Protocol) {
		m := models[p.Name]
		for id, end := range map[string]func(q *sitetest.Request){
			"broken":  func(q *sitetest.Request) { q.Break() },
			"stopped": func(*sitetest.Request) { s.Do("DELETE", "/_sse/relays/stopped", "") },
			"long":    func(q *sitetest.Request) { q.Write(strings.Repeat("x", 2<<10)) },
			"user":    func(*sitetest.Request) { s.Do("DELETE", "/_sse/users/u1", "") },
		} {
			startRelay(s, m, id, "")
			q := m.Next().Answer(200, "application/x-ndjson")
			q.Write("1\n2\n")
			brokertest.Eventually(t, "it has come", func() bool { return relayOf(s, id).Events == 2 })
			got := fetchPlain(s, id, "plain")
			heardBy(s, 1)
			end(q)
			if a := <-got; a.cut == nil || !strings.HasPrefix("1\n2\n", a.body) { // over HTTP/3, a reset may overtake the headers
				t.Errorf("%s: got %d, %v: %q", id, a.status, a.cut, a.body)
			}
			q.End()
		}
	})
}

// No heartbeat comes between the lines of an answer, or into a text. In an event stream it does no harm.
func TestRelayPlainHeartbeats(t *testing.T) {
	m := sitetest.StartModel(t)
	s := sitetest.Serve(t, sitetest.Route("heartbeat 1s\n"+m.RelayTo("")))
	startRelay(s, m, "lines", "")
	lines := m.Next().Answer(200, "application/x-ndjson")
	startRelay(s, m, "events", "")
	events := m.Next().Answer(200, "text/event-stream")
	got := fetchPlain(s, "lines", "plain")
	heardBy(s, 1)
	resp, err := s.HTTP.Get(s.URL + "/events?userId=u1&relay=events&plain")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for range 2 {
		if line, err := bufio.NewReader(io.LimitReader(resp.Body, 2)).ReadString('\n'); err != nil || line != ":\n" {
			t.Fatalf("got %q, %v", line, err)
		}
	}
	lines.Write("1\n")
	lines.End()
	events.End()
	if a := <-got; a.body != "1\n" || a.cut != nil {
		t.Errorf("got %q, %v", a.body, a.cut)
	}
}

// A client gets 502 if the relay that it waits for has no answer to give.
func TestRelayPlainWithoutAnswer(t *testing.T) {
	m := sitetest.StartModel(t)
	s := sitetest.Serve(t, sitetest.Route(m.RelayTo("")))
	for id, end := range map[string]func(q *sitetest.Request){
		"error":   func(q *sitetest.Request) { q.Answer(429, "text/event-stream").End() },
		"json":    func(q *sitetest.Request) { q.Answer(200, "application/json").End() },
		"stopped": func(*sitetest.Request) { s.Do("DELETE", "/_sse/relays/stopped", "") },
		"user":    func(*sitetest.Request) { s.Do("DELETE", "/_sse/users/u1", "") },
	} {
		startRelay(s, m, id, "")
		q := m.Next()
		got := fetchPlain(s, id, "plain")
		heardBy(s, 1)
		end(q)
		if a := <-got; a.status != http.StatusBadGateway || a.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: got %d %s", id, a.status, a.body)
		}
		q.End()
	}
	heardBy(s, 0)
	// One that leaves meanwhile is gone.
	startRelay(s, m, "silent", "")
	conn, _ := s.Dial("GET /events?userId=u1&relay=silent&plain HTTP/1.1\r\nHost: x\r\n\r\n")
	heardBy(s, 1)
	conn.Close()
	heardBy(s, 0)
}

// What a client must not ask for, and what becomes of its connection.
func TestRelayPlainRequests(t *testing.T) {
	m := sitetest.StartModel(t)
	s := sitetest.Serve(t, sitetest.Route(m.RelayTo("")))
	startRelay(s, m, "chat", "")
	q := m.Next().Answer(200, "application/x-ndjson")
	q.Write("1\n")
	q.End()
	brokertest.Eventually(t, "it has ended", func() bool { return relayOf(s, "chat").Status == "complete" })
	if a := s.Do("GET", "/events?userId=u1&relay=chat&plain=1", ""); a.Status != http.StatusBadRequest || sitetest.ProblemOf(t, a).Field != "plain" {
		t.Errorf("got %d %s", a.Status, a.Body)
	}
	if a := s.Raw("GET /events?userId=u1&relay=chat&plain=whole HTTP/1.0\r\nHost: x\r\n\r\n"); a.Status != http.StatusHTTPVersionNotSupported {
		t.Errorf("over HTTP/1.0: got %d %s", a.Status, a.Body)
	}
	// An id of the client has no meaning for a plain stream, and its connection goes on after it.
	request := "GET /events?userId=u1&relay=chat&plain=whole HTTP/1.1\r\nHost: x\r\nLast-Event-ID: 7\r\n\r\n"
	_, reader := s.Dial(request + request)
	for range 2 {
		if a := sitetest.ReadAnswer(t, reader); a.Status != http.StatusOK || a.Body != "1\n" {
			t.Errorf("got %d %q", a.Status, a.Body)
		}
	}
}

// A line end of a text is one, although its two characters come apart; one within a line of NDJSON, where it is space, ends no line.
func TestRelayPlainLineEnds(t *testing.T) {
	m := sitetest.StartModel(t)
	app, calls := startApp(t, 204)
	s := sitetest.Serve(t, sitetest.Route(m.RelayTo(doneOption(app))))
	done := fmt.Sprintf(`, "done": "%s/hooks"`, app)
	startRelay(s, m, "text", `, "as": "text"`+done)
	q := m.Next().Answer(200, "text/plain")
	for i, part := range []string{"a\r", "\nb\r", "c\r", "\r\n\r", "\r"} {
		q.Write(part)
		brokertest.Eventually(t, "some of it is stored", func() bool { return i == 4 || relayOf(s, "text").Events > uint64(i) })
	}
	q.End()
	if text := nextCall(t, calls).body.Text; text == nil || *text != "a\nb\nc\n\n\n\n" {
		t.Errorf("the app is told %q", *text)
	}
	if a := <-fetchPlain(s, "text", "plain=whole"); a.body != "a\nb\nc\n\n\n\n" || a.cut != nil {
		t.Errorf("got %q, %v", a.body, a.cut)
	}
	startRelay(s, m, "lines", done)
	q = m.Next().Answer(200, "application/x-ndjson")
	q.Write("{\"a\":\r1}\r\n[\r\r2]\n")
	q.End()
	nextCall(t, calls)
	if a := <-fetchPlain(s, "lines", "plain=whole"); a.body != "{\"a\":\r1}\n[\r\r2]\n" || a.cut != nil {
		t.Errorf("got %q, %v", a.body, a.cut)
	}
}
