package sitetest_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

const relaySecret = "a-secret-of-thirty-two-bytes-or-more"

// doneCall is a call that says that a relay is over.
type doneCall struct {
	header http.Header
	path   string
	text   string
	body   struct {
		ID, User, Status, Error, Body string
		HTTPStatus                    int `json:"http_status"`
		Headers                       map[string]string
		Events                        []struct{ Event, ID, Data string }
		Text                          *string
		Truncated                     bool
	}
}

// startApp starts an app that is told of the ends of relays, and answers with these statuses in turn; the last one stays.
func startApp(t *testing.T, statuses ...int) (url string, calls chan doneCall) {
	t.Helper()
	calls = make(chan doneCall, 1000)
	turn := make(chan int, len(statuses))
	for _, status := range statuses {
		turn <- status
	}
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := doneCall{header: r.Header, path: r.URL.Path}
		b, err := io.ReadAll(r.Body)
		if c.text = string(b); err != nil || json.Unmarshal(b, &c.body) != nil {
			t.Errorf("%v in %s", err, b)
		}
		status := <-turn
		if len(turn) == 0 {
			turn <- status
		}
		calls <- c
		if status/100 == 3 {
			w.Header().Set("Location", r.URL.Path)
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(app.Close)
	return app.URL, calls
}

func nextCall(t *testing.T, calls chan doneCall) (c doneCall) {
	t.Helper()
	select {
	case c = <-calls:
	case <-time.After(sitetest.Limit):
		t.Fatal("waited in vain for a call")
	}
	// As the docs say to check it.
	sign, sum, _ := strings.Cut(strings.TrimPrefix(c.header.Get("X-SSE-Signature"), "t="), ",v1=")
	mac := hmac.New(sha256.New, []byte(relaySecret))
	mac.Write([]byte(sign + "." + c.text))
	at, err := strconv.ParseInt(sign, 10, 64)
	if err != nil || time.Since(time.Unix(at, 0)).Abs() > time.Minute || sum != hex.EncodeToString(mac.Sum(nil)) {
		t.Errorf("the signature %q is not that of %s", c.header.Get("X-SSE-Signature"), c.text)
	}
	return c
}

func doneOption(app string) string { return fmt.Sprintf("done %s/hooks\nsecret %s", app, relaySecret) }

// The app is told of the end with the whole answer, until it takes it: each time the same, under one key.
func TestRelayDone(t *testing.T) {
	m := sitetest.StartModel(t)
	app, calls := startApp(t, 500, 307, 204)
	s := sitetest.Serve(t, sitetest.Route(m.RelayTo(doneOption(app))))
	startRelay(s, m, "chat", fmt.Sprintf(`, "done": "%s/hooks/chat"`, app))
	q := m.Next().Answer(200, "text/event-stream", "X-Request-Id", "req-1", "Set-Cookie", "a=b")
	q.Write("id: 7\nevent: delta\ndata: a\n\ndata: b\ndata: c\n\n")
	if i := relayOf(s, "chat"); i.Status != "running" || i.Done != "" {
		t.Errorf("before the end: got %+v", i)
	}
	q.End()
	var first doneCall
	for i := range 3 {
		c := nextCall(t, calls)
		if i == 0 {
			first = c
		}
		if c.text != first.text || c.header.Get("Idempotency-Key") != "relay/chat" || c.path != "/hooks/chat" {
			t.Errorf("call %d: %s, %q: %s", i, c.path, c.header, c.text)
		}
	}
	b := first.body
	if b.ID != "chat" || b.User != "u1" || b.Status != "complete" || b.HTTPStatus != 200 || b.Truncated || b.Headers["X-Request-Id"] != "req-1" || b.Headers["Set-Cookie"] != "" {
		t.Errorf("got %s", first.text)
	}
	if fmt.Sprint(b.Events) != "[{delta 7 a} { 7 b\nc}]" {
		t.Errorf("got events %q", b.Events)
	}
	brokertest.Eventually(t, "it is taken", func() bool { return relayOf(s, "chat").Done == "taken" })

	startRelay(s, m, "text", fmt.Sprintf(`, "as": "text", "done": "%s/hooks"`, app))
	q = m.Next().Answer(200, "text/plain")
	q.Write("Hello, ")
	q.Write("world")
	q.End()
	if c := nextCall(t, calls); c.body.Text == nil || *c.body.Text != "Hello, world" || strings.Contains(c.text, `"events"`) {
		t.Errorf("got %s", c.text)
	}

	startRelay(s, m, "failing", fmt.Sprintf(`, "done": "%s/hooks/x?y=z"`, app))
	q = m.Next().Answer(503, "text/plain")
	q.Write("overloaded")
	q.End()
	if b := nextCall(t, calls).body; b.Status != "failed" || b.HTTPStatus != 503 || b.Body != "overloaded" || b.Events == nil || b.Text != nil || !strings.Contains(b.Error, "503") {
		t.Errorf("got %+v", b)
	}
	select {
	case c := <-calls:
		t.Errorf("another call: %s", c.text)
	case <-time.After(1500 * time.Millisecond): // longer than the first pause
	}
}

// relayProcess starts a process with relays and a log in files.
func relayProcess(t *testing.T, m *sitetest.Model, app string) *sitetest.Process {
	t.Helper()
	return sitetest.StartProcess(t, sitetest.Route("broker file "+t.TempDir()+" {\nsync always\n}\n"+m.RelayTo(doneOption(app))), "h1", 0, nil)
}

// When the process ends, so do its relays, and their pages are told. The app is told by the process that comes after, if not by this.
func TestRelayOnExit(t *testing.T) {
	m := sitetest.StartModel(t)
	app, calls := startApp(t, 204)
	p := relayProcess(t, m, app)
	startRelay(p.Site, m, "chat", fmt.Sprintf(`, "done": "%s/hooks"`, app))
	q := m.Next().Answer(200, "text/event-stream")
	c := p.Open("/events?userId=u1&relay=chat")
	q.Tokens("a")
	c.Want("a")
	if err := p.Cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	wantRelayEnd(c, "interrupted", 1)
	if err := <-p.Exited; err != nil {
		t.Error(err)
	}
	p.Restart()
	if b := nextCall(t, calls).body; b.Status != "interrupted" || len(b.Events) != 1 || b.Events[0].Data != "a" {
		t.Errorf("got %+v", b)
	}
	late := p.Open("/events?userId=u1&relay=chat")
	late.Want("a")
	wantRelayEnd(late, "interrupted", 1)
}

// After a crash, the pages that come back are told that their relay was interrupted, and so is the app.
func TestRelayAfterCrash(t *testing.T) {
	m := sitetest.StartModel(t)
	app, calls := startApp(t, 204)
	p := relayProcess(t, m, app)
	startRelay(p.Site, m, "chat", fmt.Sprintf(`, "done": "%s/hooks"`, app))
	q := m.Next().Answer(200, "text/event-stream")
	c := p.Open("/events?userId=u1&relay=chat")
	q.Tokens("a", "b")
	c.Want("a", "b")
	if err := p.Cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.Exited
	p.Restart()
	again := p.Resume("/events?userId=u1&relay=chat", c.LastID)
	wantRelayEnd(again, "interrupted", 2)
	if b := nextCall(t, calls).body; b.Status != "interrupted" || len(b.Events) != 2 {
		t.Errorf("got %+v", b)
	}
	if a := <-fetchPlain(p.Site, "chat", "plain=whole"); a.body != "data: a\n\ndata: b\n\n" || a.cut == nil || a.header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("got %d %v, %v: %q", a.status, a.header, a.cut, a.body)
	}
	// The same call again starts nothing: the app starts another relay instead.
	startRelay(p.Site, m, "chat", fmt.Sprintf(`, "done": "%s/hooks"`, app))
	if i := relayOf(p.Site, "chat"); i.Status != "interrupted" {
		t.Errorf("got %+v", i)
	}
}
