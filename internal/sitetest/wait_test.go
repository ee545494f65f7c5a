package sitetest_test

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// tally is what an answer says about connections.
type tally struct {
	Matched, Elsewhere int
	Written, Failed    *int
	Offline            bool
}

func (y tally) is(matched, written, failed int) bool {
	return y.Matched == matched && y.Written != nil && *y.Written == written && y.Failed != nil && *y.Failed == failed
}

// told is the answer to a publish that asked what has become of it.
type told struct {
	ID       string
	Error    *sitetest.Problem
	Delivery *struct {
		tally
		Scope   string
		Partial bool
		Users   map[string]tally
	}
}

func tellOf[T any](t *testing.T, a sitetest.Answer) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.Body), &v); err != nil || a.Status != http.StatusOK {
		t.Fatalf("got %d %s", a.Status, a.Body)
	}
	return v
}

// A publisher learns how many connections an event was written to, in whichever way they are held.
func TestWaitWritten(t *testing.T) {
	sitetest.OverAll(t, func(t *testing.T, protocol, tls string) {
		s := sitetest.Serve(t, tls+sitetest.Route(""))
		s.Via(protocol)
		one, two := s.Open("/events?userId=u1&topic=room"), s.Open("/events?userId=u1")
		got := tellOf[told](t, s.Post("application/json", `{"users": ["u1", "u2"], "topic": "room", "data": "x", "wait": "written", "timeout": "10s"}`))
		one.Want("x")
		two.Want("x")
		d := got.Delivery
		if d == nil || got.ID == "" || d.Scope != "node" || d.Partial || !d.is(2, 2, 0) {
			t.Fatalf("got %+v", d)
		}
		if u := d.Users; len(u) != 2 || !u["u1"].is(2, 2, 0) || u["u1"].Offline || !u["u2"].is(0, 0, 0) || !u["u2"].Offline {
			t.Errorf("got %+v", u)
		}
	})
}

// However it is asked.
func TestWaitAsked(t *testing.T) {
	s := sitetest.Serve(t, sitetest.Route(""))
	s.Open("/events?userId=u1")
	for _, ask := range []struct {
		query, kind, body string
		written           bool
	}{
		{"?wait=written", sitetest.FormType, "user=u1", true},
		{"?wait=matched", sitetest.FormType, "user=u1", false},
		{"?wait=matched", sitetest.FormType, "user=u1&wait=written", true}, // the event's own counts
		{"?timeout=5s", sitetest.FormType, "user=u1&wait=written", true},
		{"", sitetest.FormType, "user=u1&wait=written&timeout=2500ms", true},
		{"?user=u1&wait=written", "text/plain", "", true},
		{"", "application/json", `{"user": "u1", "wait": "matched", "timeout": null}`, false},
	} {
		a := s.Do("POST", "/_sse/publish"+ask.query, ask.body, "Content-Type", ask.kind)
		d := tellOf[told](t, a).Delivery
		if d == nil || d.Matched != 1 || (d.Written != nil) != ask.written || (d.Failed != nil) != ask.written {
			t.Errorf("%s %s: got %s", ask.query, ask.body, a.Body)
		}
	}

	const batch = `{"user": "u1", "data": "1"}
	{"data": "no target"}
	{"user": "nobody", "data": "2", "wait": "matched"}
	{"user": "u1", "data": "3", "idempotency_key": "k"}
	{"user": "u1", "data": "3", "idempotency_key": "k"}`
	answers := tellOf[[]told](t, s.Do("POST", "/_sse/publish?wait=written", batch, "Content-Type", "application/x-ndjson"))
	if len(answers) != 5 || !answers[0].Delivery.is(1, 1, 0) || answers[1].Error == nil || answers[1].Delivery != nil ||
		answers[2].Delivery.Written != nil || !answers[2].Delivery.Users["nobody"].Offline || !answers[3].Delivery.is(1, 1, 0) {
		t.Errorf("got %+v", answers)
	}
	if repeated := answers[4]; repeated.ID != answers[3].ID || repeated.Delivery != nil {
		t.Errorf("a repetition: got %+v", repeated)
	}
	if a := s.Post(sitetest.FormType, "user=u1"); strings.Contains(a.Body, "delivery") {
		t.Errorf("not asked, but told: %s", a.Body)
	}
}

func TestWaitRefused(t *testing.T) {
	s := sitetest.Serve(t, sitetest.Route(""))
	many := strings.Repeat(`{"user":"u1"}`+"\n", 1001)
	for _, tt := range []struct{ query, kind, body, field string }{
		{"", sitetest.FormType, "user=u1&wait=forever", "wait"},
		{"?wait=", sitetest.FormType, "user=u1", "wait"},
		{"?wait=written&wait=matched", sitetest.FormType, "user=u1", "wait"},
		{"?wait=%zz", sitetest.FormType, "user=u1", "wait"},
		{"?wait=written&timeout=11s", sitetest.FormType, "user=u1", "timeout"},
		{"?wait=written&timeout=0s", sitetest.FormType, "user=u1", "timeout"},
		{"?wait=written&timeout=-1s", sitetest.FormType, "user=u1", "timeout"},
		{"?wait=written&timeout=5", sitetest.FormType, "user=u1", "timeout"},
		{"?timeout=5s", sitetest.FormType, "user=u1", "timeout"},
		{"?wait=written&user=u2", sitetest.FormType, "user=u1", "user"},
		{"", "application/json", `{"user": "u1", "wait": true}`, "wait"},
		{"", "application/json", `{"user": "u1", "wait": "written", "timeout": 5}`, "timeout"},
	} {
		a := s.Do("POST", "/_sse/publish"+tt.query, tt.body, "Content-Type", tt.kind)
		if p := sitetest.ProblemOf(t, a); a.Status != http.StatusBadRequest || p.Field != tt.field {
			t.Errorf("%s %s: got %d %s", tt.query, tt.body, a.Status, a.Body)
		}
	}
	answers := tellOf[[]told](t, s.Do("POST", "/_sse/publish?wait=matched", many, "Content-Type", "application/x-ndjson"))
	if n := len(answers); n != 1001 || answers[999].Delivery == nil || answers[1000].Error == nil || answers[1000].Error.Field != "wait" {
		t.Errorf("%d answers, the last is %+v", n, answers[n-1])
	}
}

// A client that does not read keeps a publisher waiting for as long as the publisher asked for, and no longer.
func TestWaitForOneThatNeverReads(t *testing.T) {
	s := sitetest.Serve(t, sitetest.Route(""))
	slow, err := net.Dial("tcp", s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	if err := slow.(*net.TCPConn).SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(slow, "GET /events?userId=u1 HTTP/1.0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	brokertest.Eventually(t, "the slow client is connected", func() bool { return sitetest.Get[userCount](s, "/_sse/users/u1").Connections == 1 })
	big := `{"user": "u1", "data": "` + strings.Repeat("x", 1<<20-100) + `"}` + "\n"
	s.Post("application/x-ndjson", strings.Repeat(big, 3)) // more than the kernel takes
	const asked = 300 * time.Millisecond
	begin := time.Now()
	d := tellOf[told](t, s.Post(sitetest.FormType, "user=u1&data=last&wait=written&timeout="+asked.String())).Delivery
	if took := time.Since(begin); took < asked || took > asked+sitetest.Limit/3 {
		t.Errorf("took %s", took)
	}
	if !d.is(1, 0, 1) || !d.Users["u1"].is(1, 0, 1) || d.Users["u1"].Offline {
		t.Errorf("got %+v", d)
	}
	begin = time.Now()
	slow.Close() // and with it goes what it was to get
	brokertest.Eventually(t, "the slow client is gone", func() bool { return sitetest.Get[userCount](s, "/_sse/users/u1").Connections == 0 })
	if d := tellOf[told](t, s.Post(sitetest.FormType, "user=u1&wait=written&timeout=10s")).Delivery; !d.is(0, 0, 0) || !d.Users["u1"].Offline {
		t.Errorf("got %+v after %s", d, time.Since(begin))
	}
}

// "wait" in an answer's header is ignored, as nothing could be told of the delivery.
func TestWaitInHeader(t *testing.T) {
	s := sitetest.Serve(t, `sse_push /events {
		user query userId
		publish_header user
		internal /_sse {
			allow loopback
		}
	}
	header X-SSE-Publish "user=u1&data=x&wait=written&timeout=10s"
	respond "page"`)
	if a := s.Do("GET", "/", ""); a.Body != "page" {
		t.Fatalf("got %d %s", a.Status, a.Body)
	}
	brokertest.Eventually(t, "the log says so", func() bool {
		return strings.Contains(s.Log(), "wait: cannot be used here: the publisher gets no answer")
	})
}
