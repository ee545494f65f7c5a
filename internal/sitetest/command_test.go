package sitetest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

const ticketSecret = "a secret of the app, long enough for tickets"

// An operator sees who is there, publishes, and disconnects.
func TestCommandsOnAHub(t *testing.T) {
	s, o := operated(t, sitetest.Route(""))
	c := s.Open("/events?userId=u1&topic=room")
	odd := s.Open("/events?userId=" + "%E2%80%AE%3Cscript%3E%2F..%2F%2F")
	o.run("hubs").want(t, 0, "default  ready   2")
	o.run("hubs", "--ready").want(t, 0, "default  ready   2")
	o.run("connections", "--user", "u1").want(t, 0, c.Connected.Connection+"  u1    127.0.0.1")
	// What would turn the line around is shown for what it is; a program gets it as it is.
	users := o.run("users")
	users.want(t, 0, `\u202e<script>/..//  1`)
	if strings.ContainsRune(users.out, '\u202e') {
		t.Errorf("got %q", users.out)
	}
	var row struct{ User string }
	first, _, _ := strings.Cut(o.run("users", "--json", "--limit", "0").out, "\n")
	for _, line := range strings.Split(strings.TrimSpace(o.run("users", "--json", "--limit", "0").out), "\n") {
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Errorf("%q: %v", first, err)
		}
	}
	if row.User != *odd.Connected.User {
		t.Errorf("got user %q", row.User)
	}
	limited := o.run("users", "--limit", "1")
	limited.want(t, 0, "1 of 2 shown")

	id := strings.TrimSpace(o.run("publish", "--user", "u1", "--topic", "room", "--event", "named", "--ttl", "1m", "--retry", "2s", "--id", "7", "--", "-dash").out)
	if m := c.Next(); m.Data != "-dash" || m.Type != "named" || m.ID != id+"~7" {
		t.Errorf("got %q, published as %q", m, id)
	}
	o.begin("two\nlines", "publish", "--topic", "room", "--json").wait().want(t, 0, `{"id":"`)
	c.Want("two\nlines")
	o.run("explain", "u1", id).want(t, 0, "verdict:  sent")
	o.run("explain", id).want(t, 0, "1 sent")
	o.run("explain", "--user", id).want(t, 0, "not_connected")

	o.run("kick", *odd.Connected.User).want(t, 0, "")
	odd.WantClosing("disconnected")
	o.run("kick", "u2", "--deny", "1m").want(t, 0, "")
	if a := s.Do(http.MethodGet, "/events?userId=u2", "", "Accept", sitetest.EventStream); a.Status != http.StatusNoContent {
		t.Errorf("who is denied gets %d", a.Status)
	}
	o.run("kick", "u2", "--deny", "0s").want(t, 0, "")
	back := s.Open("/events?userId=u2")
	o.run("kick", "u2").want(t, 0, "")
	back.WantClosing("disconnected")
	o.run("kick", "u2").want(t, 1, "Error: user u2 was not connected")
	o.run("kick", "--connection", c.Connected.Connection).want(t, 0, "")
	c.WantClosing("disconnected")
	brokertest.Eventually(t, "all are gone", func() bool { return sitetest.Get[sitetest.ConnectionList](s, "/_sse/connections").Total == 0 })
	o.run("connections").want(t, 0, "There are none.")
}

// An error is one line, and the exit code tells a refusal from a server that is away.
func TestCommandErrors(t *testing.T) {
	_, o := operated(t, strings.Replace(sitetest.Route(""), "/events {", "/events {\nhub main", 1))
	away := operate(t, "localhost:1")
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/204":
			w.WriteHeader(http.StatusNoContent)
		case "/redirect":
			http.Redirect(w, r, "/page", http.StatusFound)
		case "/401":
			http.Error(w, `{"detail": "the ticket is not valid"}`, http.StatusUnauthorized)
		default:
			w.Header().Set("Content-Type", "text/html")
		}
	}))
	t.Cleanup(page.Close)
	nowhere := filepath.Join(o.folder, "none.json")
	for _, c := range []struct {
		who  *operator
		args string
		code int
		want string
	}{
		{o, "connections --hub none", 1, "there is no hub none; the hubs are: main"},
		{o, "connections --limit -1", 1, "--limit"},
		{o, "connections --topic", 1, "flag needs an argument"},
		{o, "hubs extra", 1, "unknown command"},
		{o, "hubs --config " + nowhere, 1, "none.json"},
		{o, "hubs --address localhost:1-3", 1, "is not the address"},
		{o, "publish data", 1, "no target"},
		{o, "publish --user= data", 1, "users: must not be an empty list"},
		{o, "publish --user u1 --event open data", 1, "event"},
		{o, "publish --user u1 --ttl 1ms data", 1, "--ttl must be a multiple of 1s"},
		{o, "publish --user u1 --ttl -1s data", 1, "ttl"},
		{o, "publish --user u1 --retry 499ms data", 1, "retry: must be 500 to"},
		{o, "kick", 1, "give a user"},
		{o, "kick u1 --connection x", 1, "give a user"},
		{o, "kick nobody", 1, "user nobody was not connected"},
		{o, "kick --connection x", 1, "there is no connection x"},
		{o, "kick --connection x --deny 1m", 1, "--deny needs a user"},
		{o, "kick u1 --deny 25h", 1, "deny: must be a duration"},
		{o, "tail --count -1", 1, "--count"},
		{o, "tail --after x", 1, "after"},
		{o, "explain u1 no-id", 1, "event: must be an event's id"},
		{o, "explain", 1, "arg"},
		{o, "ticket mint", 1, "arg"},
		{o, "ticket mint u1 --expires 1ms", 1, "--expires"},
		{o, "ticket mint u1 --secret-env NO_SUCH", 1, "set NO_SUCH"},
		{o, "ticket read nonsense", 1, "not a ticket"},
		{away, "hubs", 2, "the admin endpoint of Caddy at localhost:1 does not answer"},
		{away, "tail", 2, "does not answer"},
		{away, "publish --user u1 data", 2, "does not answer"},
		{o, "hubs --address " + strings.TrimPrefix(page.URL, "http://"), 1, "reading the answer"},
		{o, "subscribe ftp://x/", 1, "give a URL"},
		{o, "subscribe http://localhost:1/events?ticket=s3cret", 2, "localhost:1 does not answer"},
		{o, "subscribe " + page.URL + "/page?ticket=s3cret", 1, `the answer is not an event stream, but "text/html"`},
		{o, "subscribe " + page.URL + "/redirect?ticket=s3cret", 1, "not an event stream"},
		{o, "subscribe " + page.URL + "/401?ticket=s3cret --header Authorization:s3cret", 1, "answers 401: the ticket is not valid"},
		{o, "subscribe " + page.URL + "/204", 1, "204"},
		{o, "subscribe " + page.URL + "/ --header s3cret", 1, "--header must be"},
		{o, "subscribe " + page.URL + "/ --header A\x01:s3cret", 1, "--header must be"},
		{o, "subscribe " + page.URL + "/ --header A:s3cret\x01", 1, "--header must be"},
	} {
		got := c.who.run(strings.Fields(c.args)...)
		if got.want(t, c.code, c.want); strings.Contains(got.out+got.err, "s3cret") || strings.Contains(got.out+got.err, ticketSecret) {
			t.Errorf("%s: a secret is in %q", c.args, got.err)
		}
		if strings.Count(got.err, "\n") != 1 || got.out != "" {
			t.Errorf("%s: said %q %q", c.args, got.out, got.err)
		}
	}
}

// The stream that is printed goes on from its last id, whatever ends it, and ends with a signal.
func TestCommandSubscribe(t *testing.T) {
	s, o := operated(t, sitetest.Route("retry 500ms 500ms"))
	r := o.begin("", "subscribe", s.URL+"/events?userId=u1", "--count", "3", "--json", "--header", "X-Any: thing")
	connection := func() string {
		var id string
		brokertest.Eventually(t, "it is connected", func() bool {
			list := sitetest.Get[sitetest.ConnectionList](s, "/_sse/connections")
			if list.Total == 1 {
				id = list.Connections[0].ID
			}
			return list.Total == 1
		})
		return id
	}
	first := connection()
	s.Publish("user", "u1", "data", "1")
	brokertest.Eventually(t, "it has the first", func() bool { return strings.Contains(r.out.String(), `"data":"1"`) })
	s.Do("DELETE", "/_sse/connections/"+first, "")
	brokertest.Eventually(t, "the stream has ended", func() bool {
		return s.Do("GET", "/_sse/connections/"+first, "").Status == http.StatusNotFound
	})
	s.Publish("user", "u1", "data", "2 <b>", "event", "named")
	s.Publish("user", "u1", "data", "3")
	got := r.wait()
	var data []string
	for _, line := range strings.Split(strings.TrimSpace(got.out), "\n") {
		var e struct{ Event, ID, Data string }
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.ID == "" {
			t.Errorf("%q: %v", line, err)
		}
		if !strings.HasPrefix(e.Event, "sse:") {
			data = append(data, e.Event+" "+e.Data)
		}
	}
	if fmt.Sprint(data) != "[message 1 named 2 <b> message 3]" || got.code != 0 || got.err != "" {
		t.Errorf("got %q, %+v", data, got)
	}
	brokertest.Eventually(t, "it has left", func() bool { return sitetest.Get[sitetest.ConnectionList](s, "/_sse/connections").Total == 0 })
}

// A signal ends whatever is under way, and nothing is left.
func TestCommandSignals(t *testing.T) {
	s, o := operated(t, sitetest.Route(""))
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		r := o.begin("", "subscribe", s.URL+"/events?userId=u1")
		brokertest.Eventually(t, "it is connected", func() bool { return strings.Contains(r.out.String(), "sse:connected") })
		_ = r.cmd.Process.Signal(signal)
		if got := r.wait(); got.code != 0 || got.err != "" {
			t.Errorf("%v: got %+v", signal, got)
		}
		brokertest.Eventually(t, "it has left", func() bool { return sitetest.Get[sitetest.ConnectionList](s, "/_sse/connections").Total == 0 })
	}
	r := o.begin("", "tail")
	brokertest.Eventually(t, "it shows what comes", func() bool {
		s.Publish("user", "u1", "data", "seen")
		return strings.Contains(r.out.String(), "data: seen")
	})
	_ = r.cmd.Process.Signal(os.Interrupt)
	if got := r.wait(); got.code != 0 || got.err != "" {
		t.Errorf("tail: got %+v", got)
	}

	// One that has not done its work says so.
	in, never, err := os.Pipe() // nothing is ever written
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = in.Close(), never.Close() })
	asked := func() int { return strings.Count(s.Log(), `"uri":"/sse_push/hubs"`) }
	before := asked()
	r = o.start(exec.Command(filepath.Join(o.folder, "caddy"), "sse-push", "publish", "--user", "u1"), in)
	brokertest.Eventually(t, "it asks for the hub", func() bool { return asked() > before })
	_ = r.cmd.Process.Signal(os.Interrupt)
	if got := r.wait(); got.code != 130 {
		t.Errorf("publish: got %+v", got)
	}
}

// A tail goes on through a reload, and misses nothing.
func TestCommandTailThroughAReload(t *testing.T) {
	s := sitetest.Serve(t, sitetest.Route(""))
	a := administer(t, []*sitetest.Site{s}, sitetest.Route(""))
	o := operate(t, "unix/"+a.socket)
	r := o.begin("", "tail", "--topic", "room", "--json")
	brokertest.Eventually(t, "it looks", func() bool {
		s.Publish("topic", "room", "data", "begun")
		return strings.Contains(r.out.String(), `"begun"`)
	})
	for n := range 3 {
		if status, text := a.load(sitetest.Route("heartbeat " + strconv.Itoa(n+1) + "s")); status != http.StatusOK {
			t.Fatal(text)
		}
		s.Reconnect()
		s.Publish("topic", "room", "data", fmt.Sprint("after reload ", n))
	}
	brokertest.Eventually(t, "it has all", func() bool { return strings.Contains(r.out.String(), "after reload 2") })
	for n := range 3 {
		if strings.Count(r.out.String(), fmt.Sprintf(`"after reload %d"`, n)) != 1 {
			t.Errorf("got %s", r.out.String())
		}
	}
	if said := r.err.String(); said != "" {
		t.Errorf("it said %q", said)
	}
}

// A tail goes on after a restart, during which Caddy does not answer for a while, and at whose end it does not have the hub yet.
func TestCommandTailThroughARestart(t *testing.T) {
	var calls atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/sse_push/hubs" {
			fmt.Fprint(w, `{"hubs": [{"hub": "main"}]}`)
			return
		}
		switch calls.Add(1) {
		case 1:
			fmt.Fprint(w, `{"events": [{"id": "a.1", "event": "message", "data": "before"}], "next": "a.1"}`)
		case 2, 3, 4:
			panic(http.ErrAbortHandler)
		case 5:
			w.WriteHeader(http.StatusNotFound)
		default:
			fmt.Fprintf(w, `{"events": [{"id": "a.2", "event": "message", "data": "after %s"}], "next": "a.2"}`, r.URL.Query().Get("after"))
		}
	}))
	t.Cleanup(server.Close)
	o := operate(t, strings.TrimPrefix(server.URL, "http://"))
	if r := o.run("tail", "--count", "2"); r.code != 0 || !strings.Contains(r.out, "data: before") || !strings.Contains(r.out, "data: after a.1") {
		t.Errorf("got %+v", r)
	}
}

// A probe fails unless all hubs are ready.
func TestCommandHubsReady(t *testing.T) {
	for answer, why := range map[string]string{
		`{"hubs": [{"hub": "main", "status": "ready"}, {"hub": "other", "status": "unavailable"}]}`: "not ready: other",
		`{"hubs": []}`: "there is no hub",
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, answer) }))
		t.Cleanup(server.Close)
		o := operate(t, strings.TrimPrefix(server.URL, "http://"))
		if r := o.run("hubs"); r.code != 0 {
			t.Errorf("without --ready: code %d, %s", r.code, r.err)
		}
		o.run("hubs", "--ready").want(t, 1, why)
	}
}

// A hundred thousand rows come page by page, and none is kept.
func TestCommandManyRows(t *testing.T) {
	const rows = 100_000
	var pages atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/sse_push/hubs" {
			fmt.Fprint(w, `{"hubs": [{"hub": "main"}]}`)
			return
		}
		pages.Add(1)
		first, _ := strconv.Atoi(r.URL.Query().Get("after"))
		n, _ := strconv.Atoi(r.URL.Query().Get("limit"))
		next := ""
		if first+n < rows {
			next = fmt.Sprintf(`"next": "%d",`, first+n)
		}
		fmt.Fprintf(w, `{"total": %d, %s "users": [`, rows, next)
		for i := range n {
			if i > 0 {
				fmt.Fprint(w, ",")
			}
			fmt.Fprintf(w, `{"user": "user %d", "connections": 1}`, first+i)
		}
		fmt.Fprint(w, "]}")
	}))
	t.Cleanup(server.Close)
	o := operate(t, strings.TrimPrefix(server.URL, "http://"))
	all := o.run("users", "--limit", "0")
	if n := strings.Count(all.out, "\n"); n != rows+1 || all.code != 0 || pages.Load() != 10 {
		t.Errorf("got %d lines of %d pages, code %d, %s", n, pages.Load(), all.code, all.err)
	}
	pages.Store(0)
	some := o.run("users")
	if n := strings.Count(some.out, "\n"); n != 101 || pages.Load() != 1 || !strings.Contains(some.err, "100 of 100000") {
		t.Errorf("got %d lines of %d pages, %s", n, pages.Load(), some.err)
	}
}

// A ticket that is made by hand is one that the hub takes.
func TestCommandTicket(t *testing.T) {
	s, o := operated(t, `sse_push /events {
		user ticket "`+ticketSecret+`"
	}`)
	ticket := strings.TrimSpace(o.run("ticket", "mint", "u1", "--topic", "orders/42", "--expires", "10m", "--once").out)
	c := s.Open("/events?topic=orders/42&ticket=" + ticket)
	if *c.Connected.User != "u1" {
		t.Errorf("got %q", *c.Connected.User)
	}
	o.begin(ticket+"\n", "ticket", "read").wait().want(t, 0, "status:  valid")
	o.run("ticket", "read", "--secret-env", "NONE", ticket).want(t, 0, "the signature was not checked")
	read := o.run("ticket", "read", "--json", ticket)
	read.want(t, 0, `"user":"u1","topics":["orders/42"]`)
	forged := o.run("ticket", "read", ticket[:len(ticket)-1]+"x")
	forged.want(t, 1, "the ticket is not valid")
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(strings.Repeat("other ", 10)), 0o600); err != nil {
		t.Fatal(err)
	}
	o.run("ticket", "read", "--secret-file", file, ticket).want(t, 1, "signed with none of the secrets")
}
