package ssepush_test

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	secretA = "a-secret-of-thirty-two-bytes-or-more"
	secretB = "another-one-which-is-as-long-as-that"
)

// ticket is what an app would make.
func ticket(secret string, fields map[string]any) string {
	payload, err := json.Marshal(fields)
	if err != nil {
		panic(err)
	}
	signed := "sse1." + base64.RawURLEncoding.EncodeToString(payload)
	return signed + "." + mac(secret, signed)
}

// mac is a ticket's signature.
func mac(secret, signed string) string {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(signed))
	return hex.EncodeToString(h.Sum(nil))
}

func ticketFor(user string, life time.Duration) string {
	return ticket(secretA, map[string]any{"user": user, "exp": time.Now().Add(life).Unix()})
}

// trusting is a directive with user lines, and a site behind it.
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

const eventStream = "text/event-stream"

// rejected opens a stream that is sent off for now, and returns why.
func (s *site) rejected(target string, headers ...string) string {
	s.t.Helper()
	c := s.stream(http.MethodGet, target, "", append(headers, "Accept", eventStream)...)
	if c.status != http.StatusOK {
		s.t.Fatalf("got status %d", c.status)
	}
	m := c.next()
	var data struct{ Reason string }
	if err := json.Unmarshal([]byte(m.Data), &data); err != nil || m.Type != "sse:rejected" || m.ID != "" {
		s.t.Fatalf("got %q", m)
	}
	c.wantEnd()
	return data.Reason
}

func TestTicketLetsIn(t *testing.T) {
	s := serve(t, trusting("user ticket "+secretA+"\nuser query userId"))
	c := s.open("/events?topic=public/a&topic=user/u%252F1/x&topic=extra/*&ticket=" +
		ticket(secretA, map[string]any{"user": "u/1", "topics": []string{"extra/*"}, "exp": time.Now().Unix() + 60}))
	if c.connected.User == nil || *c.connected.User != "u/1" || len(c.connected.Topics) != 3 {
		t.Errorf("got %+v", c.connected)
	}
	s.publish("user", "u/1", "data", "hello")
	s.publish("topic", "extra/y", "data", "more")
	c.want("hello", "more")

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
		a := s.do(http.MethodHead, test.target, "", "Accept", eventStream)
		if a.status != test.status {
			t.Errorf("%s: got %d", name, a.status)
		}
	}
	if a := s.do(http.MethodGet, "/events?ticket="+ticketFor("u1", -time.Minute), ""); !strings.Contains(a.body, "expired") || strings.Contains(a.body, "clock") {
		t.Errorf("got %s", a.body)
	}
}

// The stream ends with its ticket, and says so before.
func TestTicketExpires(t *testing.T) {
	overAll(t, func(t *testing.T, protocol, tls string) {
		s := serve(t, tls+trusting("user ticket "+secretA))
		s.via(protocol)
		tk := ticketFor("u1", 3*time.Second)
		c := s.open("/events?ticket=" + tk)
		s.publish("user", "u1", "data", "1")
		c.want("1")
		m := c.next()
		var data struct{ In int64 }
		if err := json.Unmarshal([]byte(m.Data), &data); err != nil || m.Type != "sse:expiring" || data.In < 1 || data.In > 500 {
			t.Errorf("got %q", m)
		}
		c.wantEnd()
		waitFor(t, "the end in the log", func() bool { return strings.Contains(s.log(), `"reason":"expired"`) })
		if a := s.do(http.MethodGet, "/events?ticket="+tk, "", "Accept", eventStream); a.status != http.StatusUnauthorized {
			t.Errorf("afterwards: got %d", a.status)
		}
		if n := s.connections(); n != 0 {
			t.Errorf("%d connections are left", n)
		}
	})
}

func (s *site) connections() int {
	s.t.Helper()
	return get[struct{ Total int }](s, "/_sse/connections").Total
}

func TestTicketForOneUse(t *testing.T) {
	s := serve(t, trusting("user ticket "+secretA))
	target := "/events?ticket=" + ticket(secretA, map[string]any{"user": "u1", "once": "n1", "exp": time.Now().Unix() + 60})
	c := s.open(target)
	if reason := s.rejected(target); reason != "in_use" {
		t.Errorf("replayed: got %q", reason)
	}
	if a := s.do(http.MethodGet, target, ""); a.status != http.StatusServiceUnavailable {
		t.Errorf("replayed without EventSource: got %d", a.status)
	}
	s.publish("user", "u1", "data", "1")
	c.want("1")
	c.close()
	waitFor(t, "the client has left", func() bool { return s.connections() == 0 })
	back := s.open(target, "Last-Event-ID", c.id)
	s.publish("user", "u1", "data", "2")
	back.want("2")
}

// A secret that is taken out of the config takes its clients with it; the others stay, and so does what was granted.
func TestTicketSecretRotates(t *testing.T) {
	body := func(secrets string) string { return trusting("user ticket " + secrets) }
	sites := serveAll(t, body(secretA+" "+secretB))
	s := sites[0]
	open := func(secret string) *client {
		return s.open("/events?topic=extra&ticket=" + ticket(secret, map[string]any{"user": "u1", "topics": []string{"extra"}, "exp": time.Now().Unix() + 600}))
	}
	old, fresh := open(secretA), open(secretB)
	reload := func(secrets, data string) {
		if err := load(sites, body(secrets)); err != nil {
			t.Fatal(err)
		}
		s.reconnect()
		if err := s.publishSurely(data); err != nil {
			t.Fatal(err)
		}
	}
	reload(secretB+" "+secretA, "1")
	old.want("1")
	fresh.want("1")
	reload(secretB, "2")
	fresh.want("2")
	select {
	case e, ok := <-old.events:
		if ok && e.Data != "2" { // it may have come before the end
			t.Errorf("got %q", e.Message)
		}
		if ok {
			old.wantEnd()
		}
	case <-time.After(limit):
		t.Error("the stream by the old secret goes on")
	}
}

func TestJWTLetsIn(t *testing.T) {
	s := serve(t, trusting(`user jwt {
		secret `+secretA+`
		audience push
		topics_claim topics
		from header Authorization
		from cookie jwt
	}`))
	sign := func(claims jwt.MapClaims) string {
		text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(secretA))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	exp := time.Now().Unix() + 60
	good := sign(jwt.MapClaims{"sub": "u1", "aud": "push", "exp": exp, "topics": []string{"extra"}})
	c := s.open("/events?topic=extra&topic=user/u1/x", "Authorization", "Bearer "+good)
	s.publish("topic", "extra", "data", "1")
	s.publish("topic", "user/u1/x", "data", "2")
	c.want("1", "2")
	for name, test := range map[string]struct {
		header, value string
		status        int
	}{
		"a cookie":         {"Cookie", "jwt=" + good, 200},
		"for someone else": {"Authorization", "Bearer " + sign(jwt.MapClaims{"sub": "u1", "aud": "shop", "exp": exp}), 401},
		"for ever":         {"Authorization", "Bearer " + sign(jwt.MapClaims{"sub": "u1", "aud": "push"}), 401},
		"nothing":          {"X-Nothing", "", 401},
	} {
		if a := s.do(http.MethodHead, "/events", "", test.header, test.value); a.status != test.status {
			t.Errorf("%s: got %d", name, a.status)
		}
	}
}

// Who has come with a token that no key set can be had for may come again.
func TestJWKSAwayAtStart(t *testing.T) {
	s := serve(t, trusting("user jwt {\njwks http://127.0.0.1:1/keys\n}"))
	text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"sub": "u1"}).SignedString([]byte(secretA))
	if err != nil {
		t.Fatal(err)
	}
	if a := s.do(http.MethodGet, "/events", "", "Authorization", "Bearer "+text, "Accept", eventStream); a.status != http.StatusUnauthorized {
		t.Errorf("HMAC: got %d", a.status)
	}
	const rs256 = "eyJhbGciOiJSUzI1NiIsImtpZCI6InIxIn0.eyJzdWIiOiJ1MSJ9.eA"
	if reason := s.rejected("/events", "Authorization", "Bearer "+rs256); reason != "auth" {
		t.Errorf("got %q", reason)
	}
}

// A page that comes with a token of a key that the issuer has just added is told to come again once the set can be fetched
// anew; an EventSource that gets a 401 would never come again.
func TestJWKSRotates(t *testing.T) {
	var body atomic.Value
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body.Load()) }))
	t.Cleanup(keys.Close)
	private := map[string]ed25519.PrivateKey{}
	set := func(ids ...string) {
		var list []string
		for _, id := range ids {
			if private[id] == nil {
				_, key, err := ed25519.GenerateKey(nil)
				if err != nil {
					t.Fatal(err)
				}
				private[id] = key
			}
			x := base64.RawURLEncoding.EncodeToString(private[id].Public().(ed25519.PublicKey))
			list = append(list, fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","kid":%q,"x":%q}`, id, x))
		}
		body.Store(`{"keys":[` + strings.Join(list, ",") + `]}`)
	}
	token := func(kid string) string {
		token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{"sub": "u1", "exp": time.Now().Unix() + 600})
		token.Header["kid"] = kid
		text, err := token.SignedString(private[kid])
		if err != nil {
			t.Fatal(err)
		}
		return "Bearer " + text
	}
	set("k1")
	s := serve(t, trusting("user jwt {\njwks "+keys.URL+"\n}"))
	s.open("/events", "Authorization", token("k1"))
	set("k1", "k2")
	c := s.stream(http.MethodGet, "/events", "", "Authorization", token("k2"), "Accept", eventStream)
	if m := c.next(); c.status != http.StatusOK || m.Type != "sse:rejected" || m.Data != `{"reason":"auth"}` {
		t.Fatalf("got %d %q", c.status, m)
	}
	c.wantEnd()
	if c.retry < 20*time.Second || c.retry > 40*time.Second {
		t.Errorf("told to come again after %s", c.retry)
	}
	if a := s.do(http.MethodGet, "/events", "", "Authorization", token("k2")); a.status != http.StatusServiceUnavailable || len(a.header.Get("Retry-After")) != 2 {
		t.Errorf("got %d, Retry-After %q", a.status, a.header.Get("Retry-After"))
	}
	s.open("/events", "Authorization", token("k1"))
}

// whoami is an app that knows who a client is by the cookie id, through the site's own routes.
func whoami(t *testing.T) (site string, asked *atomic.Int64) {
	t.Helper()
	asked = new(atomic.Int64)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.Header().Set("Set-Cookie", "id=another")
		c, err := r.Cookie("id")
		if err != nil || c.Value == "" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if r.Header.Get("X-SSE-User") != "" {
			t.Error("the app got an instruction of the client's")
		}
		w.Header().Set("X-SSE-User", c.Value)
		w.Header().Set("X-SSE-Topics", "extra/"+c.Value)
		if c.Value == "short" {
			w.Header().Set("X-SSE-Expires", "2")
		}
		fmt.Fprint(w, "a page")
	}))
	t.Cleanup(app.Close)
	return "reverse_proxy /whoami " + strings.TrimPrefix(app.URL, "http://"), asked
}

func TestAuthorizeLetsIn(t *testing.T) {
	overAll(t, func(t *testing.T, protocol, tls string) {
		behind, asked := whoami(t)
		s := serve(t, tls+"encode\nlog\n"+trusting("user authorize /whoami")+behind)
		s.via(protocol)
		c := s.open("/events?topic=extra/u1&topic=user/u1/x", "Cookie", "id=u1", "X-SSE-User", "admin")
		if c.connected.User == nil || *c.connected.User != "u1" || c.header.Get("Set-Cookie") != "" {
			t.Errorf("got %+v, %v", c.connected, c.header)
		}
		again := s.open("/events?topic=extra/u1&topic=user/u1/x", "Cookie", "id=u1", "Last-Event-ID", c.id)
		s.publish("topic", "extra/u1", "data", "1")
		c.want("1")
		again.want("1")
		if n := asked.Load(); n != 1 {
			t.Errorf("asked %d times", n)
		}
		if a := s.do(http.MethodGet, "/events", "", "Cookie", "other=1", "Accept", eventStream); a.status != http.StatusUnauthorized || a.header.Get("Set-Cookie") != "" {
			t.Errorf("refused: got %d %v", a.status, a.header)
		}
		if a := s.do(http.MethodGet, "/events?topic=extra/u2", "", "Cookie", "id=u1", "Accept", eventStream); a.status != http.StatusForbidden {
			t.Errorf("a topic of another: got %d", a.status)
		}
		n := asked.Load()
		if a := s.do(http.MethodGet, "/events", "", "Accept", eventStream); a.status != http.StatusUnauthorized || asked.Load() != n {
			t.Errorf("nothing to show: got %d, asked %d times more", a.status, asked.Load()-n)
		}
		short := s.open("/events", "Cookie", "id=short")
		if m := short.next(); m.Type != "sse:expiring" {
			t.Errorf("got %q", m)
		}
		short.wantEnd()
	})
}

// Who is disconnected has to be asked about anew.
func TestDisconnectPurges(t *testing.T) {
	behind, asked := whoami(t)
	s := serve(t, trusting("user authorize /whoami {\nttl 5m\n}")+behind)
	first := s.open("/events", "Cookie", "id=u1")
	other := s.open("/events", "Cookie", "id=u2")
	if a := s.do(http.MethodDelete, "/_sse/connections/"+first.connected.Connection, ""); a.status != http.StatusNoContent {
		t.Fatalf("got %d", a.status)
	}
	first.wantEnd()
	s.open("/events", "Cookie", "id=u1")
	if n := asked.Load(); n != 3 {
		t.Errorf("asked %d times", n)
	}
	other.close()
	s.open("/events", "Cookie", "id=u2")
	if n := asked.Load(); n != 3 {
		t.Errorf("another's answer was purged: asked %d times", n)
	}
}

// A path that leads back to the stream ends there.
func TestAuthorizeLoop(t *testing.T) {
	s := serve(t, `rewrite /whoami /events
	`+trusting("user authorize /whoami"))
	if reason := s.rejected("/events", "Cookie", "id=u1"); reason != "authorize" {
		t.Errorf("got %q", reason)
	}
	if !strings.Contains(s.log(), "the app answered 508") {
		t.Error("the log does not say why")
	}
}

func TestAuthorizeAppAway(t *testing.T) {
	s := serve(t, trusting("user authorize /whoami")+"reverse_proxy /whoami 127.0.0.1:1")
	if reason := s.rejected("/events", "Cookie", "id=u1"); reason != "authorize" {
		t.Errorf("got %q", reason)
	}
}

// Two thousand reconnects at once are one question a user, and all are in.
func TestAuthorizeReconnectStorm(t *testing.T) {
	const users, each = 100, 20
	behind, asked := whoami(t)
	s := serve(t, trusting("user authorize /whoami {\nttl 1m\ntimeout 30s\n}")+behind)
	var wg sync.WaitGroup
	for i := range users * each {
		wg.Go(func() {
			c, err := s.tryStream(limit, http.MethodGet, "/events", "", "Cookie", fmt.Sprint("id=u", i%users), "Accept", eventStream)
			if err != nil || c.status != http.StatusOK {
				t.Errorf("client %d: %v", i, err)
				return
			}
			if e := <-c.events; e.Type != "sse:connected" || !strings.Contains(e.Data, fmt.Sprintf(`"user":"u%d"`, i%users)) {
				t.Errorf("client %d: got %q", i, e.Message)
			}
		})
	}
	wg.Wait()
	if n := asked.Load(); n != users {
		t.Errorf("the app was asked %d times", n)
	}
}

// No secret, no ticket and no token gets into a log, a metric or an answer.
func TestNothingSecretIsTold(t *testing.T) {
	behind, _ := whoami(t)
	s := serve(t, `log {
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
		a := s.do(http.MethodGet, try[0], "", append(try[1:], "Accept", eventStream)...)
		if a.status < 400 {
			t.Errorf("%q: got %d", try, a.status)
		}
		told.WriteString(a.body)
	}
	c := s.open("/events?ticket=" + good)
	c.close()
	waitFor(t, "the client has left", func() bool { return s.connections() == 0 })
	waitFor(t, "its line in the log", func() bool { return strings.Contains(s.log(), "connection ended") })
	told.WriteString(s.log())
	told.WriteString(s.do(http.MethodGet, "/metrics", "").body)
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
