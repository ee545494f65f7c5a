package ssepush_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A client that comes too early is sent off softly, before anything is looked up for it, and told to come when there is
// room.
func TestRate(t *testing.T) {
	const body = `sse_push /events {
		user query userId
		retry 1s
		limits {
			rate 2
			connections 1000
		}
		internal /_sse {
			allow loopback
		}
	}`
	sites := serveAll(t, body)
	s := sites[0]
	start := time.Now()
	var rejected []time.Duration // when each is to come back, since the start
	admitted := 0
	for len(rejected) < 60 && time.Since(start) < limit {
		c := s.stream("GET", "/events?userId=u1", "", "Accept", "text/event-stream")
		if c.status != http.StatusOK || c.header.Get("Content-Type") != "text/event-stream" {
			t.Fatalf("got %d %v", c.status, c.header)
		}
		switch m := c.next(); {
		case m.Type == "sse:connected":
			admitted++
			c.close()
		case m.Type == "sse:rejected" && m.Data == `{"reason":"rate"}` && m.ID == "":
			rejected = append(rejected, time.Since(start)+c.retry)
			c.wantEnd()
		default:
			t.Fatalf("got %q", m)
		}
	}
	elapsed := time.Since(start).Seconds()
	if admitted < 2 || float64(admitted) > 2+2*elapsed+1 {
		t.Errorf("in %.1fs %d were admitted", elapsed, admitted)
	}
	if len(rejected) < 60 {
		t.Fatalf("only %d were rejected", len(rejected))
	}
	slices.Sort(rejected)
	for i := range rejected[6:] {
		if d := rejected[i+6] - rejected[i]; d < 2500*time.Millisecond { // six take three seconds
			t.Errorf("of %d that come back, six do within %s", len(rejected), d)
		}
	}

	// It costs little to send a client off: whether it would get what it asks for is not looked up.
	for _, target := range []string{"/events?userId=u1", "/events?userId=u1&topic=not-granted"} {
		waitFor(t, "a rejection in front of a refusal", func() bool {
			a := s.do("GET", target, "", "Accept", "*/*")
			after, err := strconv.Atoi(a.header.Get("Retry-After"))
			return a.status == http.StatusServiceUnavailable && err == nil && after >= 1 && strings.Contains(a.body, "rate")
		})
	}
	for range 5 {
		s.publish("user", "u1", "data", "the internal route has no part in it")
		if a := s.do("HEAD", "/events?userId=u1", ""); a.status != http.StatusOK {
			t.Errorf("HEAD: got %d", a.status)
		}
	}
	waitFor(t, "there is room again", func() bool {
		return s.stream("GET", "/events?userId=u1", "", "Accept", "text/event-stream").next().Type == "sse:connected"
	})

	mustLoad(t, sites, strings.Replace(body, "rate 2", "rate off", 1))
	for range 10 {
		s.open("/events?userId=u1")
	}
	mustLoad(t, sites, strings.Replace(body, "rate 2", "rate 1", 1))
	waitFor(t, "a rejection", func() bool {
		return s.stream("GET", "/events?userId=u2", "", "Accept", "text/event-stream").next().Type == "sse:rejected"
	})
}

// However many come, none is sent off for much longer than a minute.
func TestRateIsBounded(t *testing.T) {
	s := serve(t, route("retry 1s\nlimits {\nrate 1\n}"))
	var longest time.Duration
	for range 200 {
		c := s.stream("GET", "/events?userId=u1", "", "Accept", "text/event-stream")
		if c.next().Type == "sse:rejected" {
			longest = max(longest, c.retry)
		}
		c.close()
	}
	if longest < 20*time.Second || longest > 61*time.Second {
		t.Errorf("the longest is %s", longest)
	}
}

// Clients that are nobody, or not who they claim to be, or ask for what makes no sense, get their answer and leave the rate to
// the others.
func TestRateIsLeftToOthers(t *testing.T) {
	behind, asked := whoami(t)
	s := serve(t, `sse_push /events {
		user ticket `+secretA+`
		user jwt {
			secret `+secretA+`
		}
		user query userId
		user authorize /whoami {
			cookies id
		}
		retry 1s
		limits {
			rate 50
		}
		internal /_sse {
			allow loopback
		}
	}
	`+behind)
	const flood = 2000
	hostile := []struct {
		target, header, value string
		status                int
	}{
		{"/events", "Accept", eventStream, http.StatusUnauthorized},
		{"/events", "Cookie", "other=1", http.StatusUnauthorized},
		{"/events?ticket=x", "Accept", eventStream, http.StatusUnauthorized},
		{"/events?ticket=" + ticketFor("u1", -time.Minute), "Accept", eventStream, http.StatusUnauthorized},
		{"/events", "Authorization", "Bearer x.y.z", http.StatusUnauthorized},
		{"/events?userId=%ff", "Accept", eventStream, http.StatusUnauthorized},
		{"/events?userId=u1&topic=a*", "Accept", eventStream, http.StatusBadRequest},
		{"/events?userId=u1&replay=x", "Accept", eventStream, http.StatusBadRequest},
		{"/events?client=x", "Cookie", "id=u1", http.StatusBadRequest},
	}
	for i := range flood {
		h := hostile[i%len(hostile)]
		if a := s.do(http.MethodGet, h.target, "", h.header, h.value); a.status != h.status {
			t.Fatalf("%s: got %d %s", h.target, a.status, a.body)
		}
	}
	for i := range 10 {
		s.open(fmt.Sprint("/events?userId=u", i))
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("the app was asked %d times", n)
	}
}

// Of one address's flood, whatever it claims to be, another address notices nothing.
func TestRateByAddress(t *testing.T) {
	behind, asked := whoami(t)
	s := serveWith(t, "trusted_proxies static 127.0.0.0/8\n", `sse_push /events {
		user authorize /whoami
		limits {
			rate 50
		}
		internal /_sse {
			allow loopback
		}
	}
	`+behind)[0]
	rejected, sent := int64(0), int64(0)
	for start := time.Now(); rejected < 100 && time.Since(start) < limit; sent++ {
		// The app answers 401 to an empty id.
		a := s.do(http.MethodGet, "/events", "", "Cookie", fmt.Sprint("id=;x=", sent), "X-Forwarded-For", "203.0.113.1", "Accept", "*/*")
		if a.status == http.StatusServiceUnavailable {
			rejected++
		}
	}
	if rejected < 100 || asked.Load() > sent-rejected {
		t.Errorf("%d were sent off, and the app was asked %d times", rejected, asked.Load())
	}
	for i := range 10 {
		s.open("/events", "Cookie", fmt.Sprint("id=u", i), "X-Forwarded-For", fmt.Sprint("203.0.113.", 10+i))
	}
}

// Where there is no place for a client in any case, the app is not asked who it is.
func TestFullIsNotAsked(t *testing.T) {
	for limit, reason := range map[string]string{"connections 1": "connections", "per_ip 1": "per_ip"} {
		t.Run(reason, func(t *testing.T) {
			behind, asked := whoami(t)
			s := serve(t, trusting("limits {\n"+limit+"\n}\nuser authorize /whoami")+behind)
			s.open("/events", "Cookie", "id=u1")
			n := asked.Load()
			for i := range 10 {
				if got := s.rejected("/events", "Cookie", fmt.Sprint("id=other", i)); got != reason {
					t.Errorf("%s: got %q", limit, got)
				}
			}
			if asked.Load() != n {
				t.Errorf("%s: the app was asked %d times", limit, asked.Load()-n)
			}
		})
	}
}

// Clients that are gone before their turn cost the app nothing, and hold nobody up.
func TestAuthorizeReset(t *testing.T) {
	const gone = 200
	var asked atomic.Int64
	begun, release := make(chan struct{}, gone), make(chan struct{})
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		begun <- struct{}{}
		<-release
		c, _ := r.Cookie("id")
		w.Header().Set("X-SSE-User", c.Value)
	}))
	t.Cleanup(app.Close)
	s := serve(t, "log\n"+trusting("user authorize "+app.URL+" {\nconcurrency 1\ntimeout 30s\n}"))
	request := func(id string) string {
		return "GET /events?gone HTTP/1.1\r\nHost: " + s.addr + "\r\nCookie: id=" + id + "\r\nAccept: text/event-stream\r\n\r\n"
	}
	conn, _ := s.dial(request("first"))
	defer conn.Close()
	<-begun
	for i := range gone {
		conn, _ := s.dial(request(fmt.Sprint("gone", i)))
		if err := conn.(*net.TCPConn).SetLinger(0); err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
	waitFor(t, "the server has seen that they are gone", func() bool { return strings.Count(s.log(), `"uri":"/events?gone"`) == gone })
	close(release)
	s.open("/events", "Cookie", "id=honest")
	if n := asked.Load(); n != 2 {
		t.Errorf("the app was asked %d times", n)
	}
}
