package sitetest_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

const (
	secretA = "a-secret-of-thirty-two-bytes-or-more"
	secretB = "another-one-which-is-as-long-as-that"
)

// ticket returns a ticket as an app makes it.
func ticket(secret string, fields map[string]any) string {
	payload, err := json.Marshal(fields)
	if err != nil {
		panic(err)
	}
	signed := "sse1." + base64.RawURLEncoding.EncodeToString(payload)
	return signed + "." + mac(secret, signed)
}

// mac returns a ticket's signature.
func mac(secret, signed string) string {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(signed))
	return hex.EncodeToString(h.Sum(nil))
}

func ticketFor(user string, life time.Duration) string {
	return ticket(secretA, map[string]any{"user": user, "exp": time.Now().Add(life).Unix()})
}

// trusting returns a directive with user lines, and metrics beside it.
func trusting(users string) string {
	return `sse_push /events {
		` + users + `
		topics public/* user/{user}/*
		internal /_sse {
			allow loopback
		}
	}
	metrics /metrics
	`
}

// rejected opens a stream that is rejected softly, and returns the reason.
func rejected(s *sitetest.Site, target string, headers ...string) string {
	s.T.Helper()
	c := s.Stream(http.MethodGet, target, "", append(headers, "Accept", sitetest.EventStream)...)
	if c.Status != http.StatusOK {
		s.T.Fatalf("got status %d", c.Status)
	}
	m := c.Next()
	var data struct{ Reason string }
	if err := json.Unmarshal([]byte(m.Data), &data); err != nil || m.Type != "sse:rejected" || m.ID != "" {
		s.T.Fatalf("got %q", m)
	}
	c.WantEnd()
	return data.Reason
}

func TestTicketLetsIn(t *testing.T) {
	s := sitetest.Serve(t, trusting("user ticket "+secretA+"\nuser query userId"))
	c := s.Open("/events?topic=public/a&topic=user/u%252F1/x&topic=extra/*&ticket=" +
		ticket(secretA, map[string]any{"user": "u/1", "topics": []string{"extra/*"}, "exp": time.Now().Unix() + 60}))
	if c.Connected.User == nil || *c.Connected.User != "u/1" || len(c.Connected.Topics) != 3 {
		t.Errorf("got %+v", c.Connected)
	}
	s.Publish("user", "u/1", "data", "hello")
	s.Publish("topic", "extra/y", "data", "more")
	c.Want("hello", "more")

	for name, test := range map[string]struct {
		target string
		status int
	}{
		"absent, so the next source": {"/events?userId=u2", 200},
		"nobody":                     {"/events", 401},
		"invalid, whatever is next":  {"/events?userId=u2&ticket=x", 401},
		"expired":                    {"/events?ticket=" + ticketFor("u1", -time.Minute), 401},
		"another's secret":           {"/events?ticket=" + ticket(secretB, map[string]any{"user": "u1", "exp": time.Now().Unix() + 60}), 401},
		"a topic not granted":        {"/events?topic=extra/x&ticket=" + ticketFor("u1", time.Minute), 403},
		"another user's topic":       {"/events?topic=user/u2/x&ticket=" + ticketFor("u1", time.Minute), 403},
		"a user named like a grant":  {"/events?topic=user/a/b/c&ticket=" + ticketFor("a/b", time.Minute), 403},
	} {
		a := s.Do(http.MethodHead, test.target, "", "Accept", sitetest.EventStream)
		if a.Status != test.status {
			t.Errorf("%s: got %d", name, a.Status)
		}
	}
	if a := s.Do(http.MethodGet, "/events?ticket="+ticketFor("u1", -time.Minute), ""); !strings.Contains(a.Body, "expired") || strings.Contains(a.Body, "clock") {
		t.Errorf("got %s", a.Body)
	}
}

// The stream ends with its ticket, and says so before.
func TestTicketExpires(t *testing.T) {
	sitetest.ServeOver(t, "", sitetest.Protocols, func(p sitetest.Protocol) string {
		return p.TLS + trusting("hub "+p.Name+"\nuser ticket "+secretA)
	}, func(t *testing.T, s *sitetest.Site, p sitetest.Protocol) {
		tk := ticketFor("u1", 3*time.Second)
		c := s.Open("/events?ticket=" + tk)
		s.Publish("user", "u1", "data", "1")
		c.Want("1")
		m := c.Next()
		var data struct{ In int64 }
		if err := json.Unmarshal([]byte(m.Data), &data); err != nil || m.Type != "sse:expiring" || data.In < 1 || data.In > 500 {
			t.Errorf("got %q", m)
		}
		c.WantClosing("expired")
		brokertest.Eventually(t, "the end in the log", func() bool { return s.Logged(`"reason":"expired"`, `"hub":"`+p.Name+`"`) })
		if a := s.Do(http.MethodGet, "/events?ticket="+tk, "", "Accept", sitetest.EventStream); a.Status != http.StatusUnauthorized {
			t.Errorf("afterwards: got %d", a.Status)
		}
		if n := s.CountConnections(); n != 0 {
			t.Errorf("%d connections are left", n)
		}
	})
}

func TestTicketForOneUse(t *testing.T) {
	s := sitetest.Serve(t, trusting("user ticket "+secretA))
	target := "/events?ticket=" + ticket(secretA, map[string]any{"user": "u1", "once": "n1", "exp": time.Now().Unix() + 60})
	c := s.Open(target)
	if reason := rejected(s, target); reason != "in_use" {
		t.Errorf("replayed: got %q", reason)
	}
	if a := s.Do(http.MethodGet, target, ""); a.Status != http.StatusServiceUnavailable {
		t.Errorf("replayed without EventSource: got %d", a.Status)
	}
	s.Publish("user", "u1", "data", "1")
	c.Want("1")
	c.Close()
	brokertest.Eventually(t, "the client has left", func() bool { return s.CountConnections() == 0 })
	back := s.Open(target, "Last-Event-ID", c.LastID)
	s.Publish("user", "u1", "data", "2")
	back.Want("2")
}

// A secret that is taken out of the config takes its clients with it; the others stay, and so does what was granted.
func TestTicketSecretRotates(t *testing.T) {
	body := func(secrets string) string { return trusting("user ticket " + secrets) }
	sites := sitetest.ServeAll(t, body(secretA+" "+secretB))
	s := sites[0]
	open := func(secret string) *sitetest.Client {
		return s.Open("/events?topic=extra&ticket=" + ticket(secret, map[string]any{"user": "u1", "topics": []string{"extra"}, "exp": time.Now().Unix() + 600}))
	}
	old, fresh := open(secretA), open(secretB)
	reload := func(secrets, data string) {
		if err := sitetest.Load(sites, body(secrets)); err != nil {
			t.Fatal(err)
		}
		s.Reconnect()
		if err := s.PublishSurely(data); err != nil {
			t.Fatal(err)
		}
	}
	reload(secretB+" "+secretA, "1")
	old.Want("1")
	fresh.Want("1")
	reload(secretB, "2")
	fresh.Want("2")
	m := old.Next()
	if m.Data == "2" { // it may have come before the end
		m = old.Next()
	}
	if m.Type != "sse:closing" || m.Data != `{"reason":"reloaded"}` {
		t.Errorf("got %q", m)
	}
	old.WantEnd()
}

// No secret, no ticket and no token gets into a log, a metric or an answer.
func TestNothingSecretIsTold(t *testing.T) {
	behind, _ := whoami(t)
	s := sitetest.Serve(t, `log {
		format filter {
			request>uri query {
				replace ticket REDACTED
			}
		}
	}
	`+trusting("user ticket "+secretA+`
	user jwt {
		secret `+secretB+`
	}
	user authorize /whoami`)+behind)
	good := ticketFor("u1", time.Minute)
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"sub": "u1", "exp": time.Now().Unix() + 60}).SignedString([]byte(secretB))
	if err != nil {
		t.Fatal(err)
	}
	const session = "id=a-session-that-is-nobodys-business"
	payload := strings.Split(good, ".")[1]
	signature := strings.Split(good, ".")[2]
	var told strings.Builder
	for _, try := range [][]string{
		{"/events?ticket=" + good + "x"}, {"/events?ticket=" + good[:20]}, {"/events?ticket=" + good[:len(good)-64] + strings.Repeat("0", 64)},
		{"/events?ticket=" + ticketFor("u1", -time.Minute)}, {"/events?topic=no&ticket=" + good}, {"/events?topic=a*&ticket=" + good},
		{"/events", "Authorization", "Bearer " + token + "x"}, {"/events", "Authorization", "Bearer " + token[:30]}, {"/events?topic=no", "Authorization", "Bearer " + token},
		{"/events?topic=no", "Cookie", session}, {"/events", "Cookie", session[:3]},
	} {
		a := s.Do(http.MethodGet, try[0], "", append(try[1:], "Accept", sitetest.EventStream)...)
		if a.Status < 400 {
			t.Errorf("%q: got %d", try, a.Status)
		}
		told.WriteString(a.Body)
	}
	c := s.Open("/events?ticket=" + good)
	c.Close()
	brokertest.Eventually(t, "the client has left", func() bool { return s.CountConnections() == 0 })
	brokertest.Eventually(t, "its line in the log", func() bool { return strings.Contains(s.Log(), "connection ended") })
	told.WriteString(s.Log())
	told.WriteString(s.Do(http.MethodGet, "/metrics", "").Body)
	for _, secret := range []string{secretA, secretB, payload, signature, strings.Split(token, ".")[1], strings.Split(token, ".")[2], session[3:]} {
		if strings.Contains(told.String(), secret) {
			t.Errorf("told: %s", secret)
		}
	}
	for _, cause := range []string{"user ticket refused: signed with none", "user ticket refused: expired", "user jwt refused"} {
		if !strings.Contains(told.String(), cause) {
			t.Errorf("the log does not say: %s", cause)
		}
	}
}
