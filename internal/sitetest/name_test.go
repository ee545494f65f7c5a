package sitetest_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// broken are names that a careless reader would take for the same one, "u\uFFFD": as bytes, and as JSON escapes.
var broken = []string{"u\xff", "u\xc3", "u\xed\xa0\x80", `u\ud800`, `u\udc00`, `u\ud800x`, `u\udfff\ud800`}

// signedTicket returns a ticket with a payload as it stands.
func signedTicket(payload string) string {
	signed := "sse1." + base64.RawURLEncoding.EncodeToString([]byte(payload))
	return signed + "." + mac(secretA, signed)
}

// signedToken returns a JSON Web Token with claims as they stand.
func signedToken(t *testing.T, claims string) string {
	t.Helper()
	signed := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256"}`)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
	signature, err := jwt.SigningMethodHS256.Sign(signed, []byte(secretA))
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// A user or topic that is not UTF-8 is refused, whichever way it comes: it is not taken for another broken name.
func TestBrokenNames(t *testing.T) {
	var answer [2]string // what the app says of the next client: a user, topics
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["X-Sse-User"], w.Header()["X-Sse-Topics"] = []string{answer[0]}, []string{answer[1]}
	}))
	t.Cleanup(app.Close)
	s := sitetest.Serve(t, trusting(`user ticket `+secretA+`
	user jwt {
		secret `+secretA+`
		topics_claim topics
	}
	user query userId
	user header X-User
	user cookie name
	user authorize `+app.URL+`/whoami {
		ttl 1ms
	}
	publish_header user topic`)+"respond next")
	exp := time.Now().Unix() + 60
	refused := func(name string, a verdict) {
		t.Helper()
		if a.Status != a.want || strings.Contains(a.Body, "\uFFFD") && a.want == http.StatusOK {
			t.Errorf("%s: got %d %.200q", name, a.Status, a.Body)
		}
	}
	ask := func(target string, headers ...string) verdict {
		a := s.Do(http.MethodGet, target, "", append(headers, "Accept", sitetest.EventStream)...)
		return verdict{a, http.StatusUnauthorized}
	}
	post := func(kind, body string, want int) verdict {
		return verdict{s.Do(http.MethodPost, "/events", body, "Content-Type", kind, "Accept", sitetest.EventStream), want}
	}
	for _, name := range broken {
		bytesOnly := !strings.Contains(name, `\u`)
		percent := ""
		for _, b := range []byte(name) {
			percent += fmt.Sprintf("%%%02x", b)
		}
		for _, field := range []string{`"user":"` + name + `"`, `"user":"u1","topics":["` + name + `"]`, `"user":"u1","once":"` + name + `"`} {
			refused("a ticket of "+field, ask("/events?ticket="+signedTicket(fmt.Sprintf(`{%s,"exp":%d}`, field, exp))))
		}
		for _, claim := range []string{`"sub":"` + name + `"`, `"sub":"u1","topics":["` + name + `"]`, `"sub":"u1","` + name + `":1`} {
			refused("a token of "+claim, ask("/events", "Authorization", "Bearer "+signedToken(t, fmt.Sprintf(`{%s,"exp":%d}`, claim, exp))))
		}
		refused("POST of JSON", post("application/json", `{"userId":"`+name+`"}`, http.StatusBadRequest))
		refused("POST of a topic", post("application/json", `{"userId":"u1","topic":["public/`+name+`"]}`, http.StatusBadRequest))
		answer = [2]string{"u1", `["public/` + name + `"]`}
		if reason := rejected(s, "/events", "Cookie", "session=1"); reason != "authorize" {
			t.Errorf("%q in the app's topics: %s", name, reason)
		}
		if bytesOnly {
			refused("a query", ask("/events?userId="+percent))
			refused("a header", ask("/events", "X-User", name))
			refused("a cookie", ask("/events", "Cookie", "name="+name))
			refused("POST of a form", post(sitetest.FormType, "userId="+percent, http.StatusUnauthorized))
			topic := ask("/events?userId=u1&topic=" + percent)
			topic.want = http.StatusBadRequest
			refused("a topic", topic)
			answer = [2]string{name, ""}
			if reason := rejected(s, "/events", "Cookie", "session=1"); reason != "authorize" {
				t.Errorf("%q from the app: %s", name, reason)
			}
		}
		brokenPublish(t, s, name, percent, bytesOnly)
	}
	if list := sitetest.Get[sitetest.ConnectionList](s, "/_sse/connections"); list.Total != 0 {
		t.Errorf("%d are connected", list.Total)
	}
}

// verdict is an answer with the status that it should have.
type verdict struct {
	sitetest.Answer
	want int
}

// brokenPublish publishes to a broken name, in every way that there is.
func brokenPublish(t *testing.T, s *sitetest.Site, name, percent string, bytesOnly bool) {
	t.Helper()
	var form bytes.Buffer
	m := multipart.NewWriter(&form)
	if err := m.WriteField("user", name); err != nil {
		t.Fatal(err)
	}
	m.Close()
	for kind, body := range map[string]string{
		"application/json": `{"user":"` + name + `"}`, "application/x-ndjson": `{"topic":"` + name + `"}`,
		sitetest.FormType: "user=" + percent, m.FormDataContentType(): form.String(),
	} {
		if !bytesOnly && (kind == sitetest.FormType || strings.HasPrefix(kind, "multipart")) {
			continue // there, it is a name as good as any
		}
		a := s.Do(http.MethodPost, "/_sse/publish", body, "Content-Type", kind)
		if a.Status != http.StatusBadRequest && !strings.Contains(a.Body, `"status":400`) || !strings.Contains(a.Body, "UTF-8") {
			t.Errorf("publishing %q as %s: got %d %s", body, kind, a.Status, a.Body)
		}
	}
	if a := s.Do(http.MethodPost, "/_sse/users/u1/topics", `{"topic":"`+name+`"}`, "Content-Type", "application/json"); a.Status != http.StatusBadRequest {
		t.Errorf("adding the topic %q: got %d %s", name, a.Status, a.Body)
	}
	if bytesOnly {
		if a := s.Do(http.MethodPost, "/_sse/publish?user="+percent, "data", "Content-Type", "text/plain"); a.Status != http.StatusBadRequest {
			t.Errorf("publishing as text/plain: got %d %s", a.Status, a.Body)
		}
		if a := s.Do(http.MethodDelete, "/_sse/users/"+percent, ""); a.Status != http.StatusBadRequest {
			t.Errorf("disconnecting %q: got %d %s", name, a.Status, a.Body)
		}
	}
}

// A number names a user, or is an id, by its digits, in a publish as in a ticket.
func TestNumbersAsNames(t *testing.T) {
	s := sitetest.Serve(t, trusting("user ticket "+secretA+"\nuser query userId"))
	exp := time.Now().Unix() + 60
	open := func(number string) *sitetest.Client {
		return s.Open("/events?ticket=" + signedTicket(fmt.Sprintf(`{"user":%s,"exp":%d}`, number, exp)))
	}
	seven, big, negative := open("7"), open("9007199254740993"), open("-7")
	byQuery := s.Open("/events?userId=7")
	for _, body := range []string{
		`{"user":7,"id":9007199254740993,"data":"1"}`, `{"user":9007199254740993,"id":0,"data":"2"}`, `{"users":[7,"-7"],"data":"3"}`,
		`{"users":-7,"id":-12,"data":"4"}`,
	} {
		if a := s.Do(http.MethodPost, "/_sse/publish", body, "Content-Type", "application/json"); a.Status != http.StatusOK {
			t.Fatalf("%s: got %d %s", body, a.Status, a.Body)
		}
	}
	for c, want := range map[*sitetest.Client][]string{seven: {"1", "3"}, byQuery: {"1", "3"}, big: {"2"}, negative: {"3", "4"}} {
		c.Want(want...)
	}
	for c, id := range map[*sitetest.Client]string{big: "~0", negative: "~-12"} {
		if !strings.HasSuffix(c.LastID, id) {
			t.Errorf("the id is %q, want one that ends in %s", c.LastID, id)
		}
	}
	for _, number := range []string{"7.0", "7.5", "1e3", "1E3", "9223372036854775808", "-9223372036854775809"} {
		a := s.Do(http.MethodGet, "/events?ticket="+signedTicket(fmt.Sprintf(`{"user":%s,"exp":%d}`, number, exp)), "", "Accept", sitetest.EventStream)
		if a.Status != http.StatusUnauthorized {
			t.Errorf("a ticket of %s: got %d", number, a.Status)
		}
		for _, body := range []string{`{"user":%s}`, `{"users":[%s]}`, `{"users":%s}`, `{"broadcast":true,"id":%s}`} {
			a := s.Do(http.MethodPost, "/_sse/publish", fmt.Sprintf(body, number), "Content-Type", "application/json")
			if a.Status != http.StatusBadRequest || !strings.Contains(a.Body, "whole number") {
				t.Errorf(body+": got %d %s", number, a.Status, a.Body)
			}
		}
		if a := s.Do(http.MethodPost, "/events", fmt.Sprintf(`{"userId":%s}`, number), "Content-Type", "application/json", "Accept", sitetest.EventStream); a.Status != http.StatusBadRequest {
			t.Errorf("POST of %s: got %d %s", number, a.Status, a.Body)
		}
	}
}
