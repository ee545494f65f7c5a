package sitetest_test

import (
	"cmp"
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

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// A client that comes too early is rejected softly before anything is looked up for it, and told to come when there is
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
	sites := sitetest.ServeAll(t, body)
	s := sites[0]
	start := time.Now()
	type turn struct{ earliest, latest time.Duration } // when one is to come back, since the start: the hub counts from between
	var rejected []turn
	admitted := 0
	for len(rejected) < 60 && time.Since(start) < sitetest.Limit {
		asked := time.Since(start)
		c := s.Stream("GET", "/events?userId=u1", "", "Accept", "text/event-stream")
		if c.Status != http.StatusOK || c.Header.Get("Content-Type") != "text/event-stream" {
			t.Fatalf("got %d %v", c.Status, c.Header)
		}
		switch m := c.Next(); {
		case m.Type == "sse:connected":
			admitted++
			c.Close()
		case m.Type == "sse:rejected" && m.Data == `{"reason":"rate"}` && m.ID == "":
			rejected = append(rejected, turn{asked + c.Retry, time.Since(start) + c.Retry})
			c.WantEnd()
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
	slices.SortFunc(rejected, func(a, b turn) int { return cmp.Compare(a.earliest, b.earliest) })
	for i := range rejected[6:] {
		latest := slices.MaxFunc(rejected[i:i+7], func(a, b turn) int { return cmp.Compare(a.latest, b.latest) }).latest
		if d := latest - rejected[i].earliest; d < 2500*time.Millisecond { // six take three seconds
			t.Errorf("of %d that come back, six do within %s", len(rejected), d)
		}
	}

	// It costs little to send a client off: whether it would get what it asks for is not looked up.
	for _, target := range []string{"/events?userId=u1", "/events?userId=u1&topic=not-granted"} {
		brokertest.Eventually(t, "a rejection in front of a refusal", func() bool {
			a := s.Do("GET", target, "", "Accept", "*/*")
			after, err := strconv.Atoi(a.Header.Get("Retry-After"))
			return a.Status == http.StatusServiceUnavailable && err == nil && after >= 1 && strings.Contains(a.Body, "rate")
		})
	}
	for range 5 {
		s.Publish("user", "u1", "data", "the internal route has no part in it")
		if a := s.Do("HEAD", "/events?userId=u1", ""); a.Status != http.StatusOK {
			t.Errorf("HEAD: got %d", a.Status)
		}
	}
	brokertest.Eventually(t, "there is room again", func() bool {
		return s.Stream("GET", "/events?userId=u1", "", "Accept", "text/event-stream").Next().Type == "sse:connected"
	})

	sitetest.MustLoad(t, sites, strings.Replace(body, "rate 2", "rate off", 1))
	for range 10 {
		s.Open("/events?userId=u1")
	}
	sitetest.MustLoad(t, sites, strings.Replace(body, "rate 2", "rate 1", 1))
	brokertest.Eventually(t, "a rejection", func() bool {
		return s.Stream("GET", "/events?userId=u2", "", "Accept", "text/event-stream").Next().Type == "sse:rejected"
	})
}

// However many come, none is sent off for much longer than a minute.
func TestRateIsBounded(t *testing.T) {
	s := sitetest.Serve(t, sitetest.Route("retry 1s\nlimits {\nrate 1\n}"))
	var longest time.Duration
	for range 200 {
		c := s.Stream("GET", "/events?userId=u1", "", "Accept", "text/event-stream")
		if c.Next().Type == "sse:rejected" {
			longest = max(longest, c.Retry)
		}
		c.Close()
	}
	if longest < 20*time.Second || longest > 61*time.Second {
		t.Errorf("the longest is %s", longest)
	}
}

// Clients without a user, with a false one, or with a bad request get their answer and leave the rate to
// the others.
func TestRateIsLeftToOthers(t *testing.T) {
	behind, asked := whoami(t)
	s := sitetest.Serve(t, `sse_push /events {
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
		{"/events", "Accept", sitetest.EventStream, http.StatusUnauthorized},
		{"/events", "Cookie", "other=1", http.StatusUnauthorized},
		{"/events?ticket=x", "Accept", sitetest.EventStream, http.StatusUnauthorized},
		{"/events?ticket=" + ticketFor("u1", -time.Minute), "Accept", sitetest.EventStream, http.StatusUnauthorized},
		{"/events", "Authorization", "Bearer x.y.z", http.StatusUnauthorized},
		{"/events?userId=%ff", "Accept", sitetest.EventStream, http.StatusUnauthorized},
		{"/events?userId=u1&topic=a*", "Accept", sitetest.EventStream, http.StatusBadRequest},
		{"/events?userId=u1&replay=x", "Accept", sitetest.EventStream, http.StatusBadRequest},
		{"/events?client=x", "Cookie", "id=u1", http.StatusBadRequest},
	}
	for i := range flood {
		h := hostile[i%len(hostile)]
		if a := s.Do(http.MethodGet, h.target, "", h.header, h.value); a.Status != h.status {
			t.Fatalf("%s: got %d %s", h.target, a.Status, a.Body)
		}
	}
	for i := range 10 {
		s.Open(fmt.Sprint("/events?userId=u", i))
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("the app was asked %d times", n)
	}
}

// One address's flood, whatever it claims to be, does not affect another address.
func TestRateByAddress(t *testing.T) {
	behind, asked := whoami(t)
	s := sitetest.ServeWith(t, "trusted_proxies static 127.0.0.0/8\n", `sse_push /events {
		user authorize /whoami
		limits {
			rate 20
		}
		internal /_sse {
			allow loopback
		}
	}
	`+behind)[0]
	rejected, sent := int64(0), int64(0)
	for start := time.Now(); rejected < 100 && time.Since(start) < sitetest.Limit; sent++ {
		// The app answers 401 to an empty id.
		a := s.Do(http.MethodGet, "/events", "", "Cookie", fmt.Sprint("id=;x=", sent), "X-Forwarded-For", "203.0.113.1", "Accept", "*/*")
		if a.Status == http.StatusServiceUnavailable {
			rejected++
		}
	}
	if rejected < 100 || asked.Load() > sent-rejected {
		t.Errorf("%d were sent off, and the app was asked %d times", rejected, asked.Load())
	}
	refused := 0
	for i := range 10 {
		c := s.Stream("GET", "/events", "", "Cookie", fmt.Sprint("id=u", i), "X-Forwarded-For", fmt.Sprint("203.0.113.", 10+i), "Accept", sitetest.EventStream)
		if c.Next().Type != "sse:connected" {
			refused++
		}
	}
	if refused > 2 { // an address may have the flood's hash, and the first may come as a second begins
		t.Errorf("of ten others, %d were sent off", refused)
	}
}

// If the hub is full anyway, the app is not asked about a client.
func TestFullIsNotAsked(t *testing.T) {
	for limit, reason := range map[string]string{"connections 1": "connections", "per_ip 1": "per_ip"} {
		t.Run(reason, func(t *testing.T) {
			behind, asked := whoami(t)
			s := sitetest.Serve(t, trusting("limits {\n"+limit+"\n}\nuser authorize /whoami")+behind)
			s.Open("/events", "Cookie", "id=u1")
			n := asked.Load()
			for i := range 10 {
				if got := rejected(s, "/events", "Cookie", fmt.Sprint("id=other", i)); got != reason {
					t.Errorf("%s: got %q", limit, got)
				}
			}
			if asked.Load() != n {
				t.Errorf("%s: the app was asked %d times", limit, asked.Load()-n)
			}
		})
	}
}

// Clients that are gone before their turn cost the app nothing, and hold no others up.
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
	s := sitetest.Serve(t, "log\n"+trusting("user authorize "+app.URL+" {\nconcurrency 1\ntimeout 30s\n}"))
	request := func(id string) string {
		return "GET /events?gone HTTP/1.1\r\nHost: " + s.Addr + "\r\nCookie: id=" + id + "\r\nAccept: text/event-stream\r\n\r\n"
	}
	conn, _ := s.Dial(request("first"))
	defer conn.Close()
	<-begun
	for i := range gone {
		conn, _ := s.Dial(request(fmt.Sprint("gone", i)))
		if err := conn.(*net.TCPConn).SetLinger(0); err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
	brokertest.Eventually(t, "the server has seen that they are gone", func() bool { return strings.Count(s.Log(), `"uri":"/events?gone"`) == gone })
	close(release)
	s.Open("/events", "Cookie", "id=honest")
	if n := asked.Load(); n != 2 {
		t.Errorf("the app was asked %d times", n)
	}
}
