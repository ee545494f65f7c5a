package e2e_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/test/harness"
)

// ways are those in which the proxy comes to know who has signed in to the chat, a Caddyfile each.
var ways = []string{"session", "ticket", "jwt", "upstream"}

const (
	ticketSecret = "a secret of the tests, for tickets only"
	jwtSecret    = "a secret of the tests, for tokens only"
)

// chatBy runs the chat behind php-fpm by one of the ways. env reaches PHP.
func chatBy(t *testing.T, way string, env ...string) (url string) {
	t.Helper()
	fpm := harness.StartFPM(t, 2, env...)
	return examples(t, "chat/Caddyfile."+way, "PHP_FPM="+fpm.Address, "SSE_PUSH_TICKET_SECRET="+ticketSecret, "CHAT_JWT_SECRET="+jwtSecret)
}

// visitor is a user of the chat who needs no browser.
type visitor struct {
	t      *testing.T
	site   string
	client *http.Client
}

// signIn signs a user in, as the login page does.
func signIn(t *testing.T, site, name string) *visitor {
	t.Helper()
	v := stranger(t, site)
	status, _, header := v.post("action", "enter", "name", name, "password", password)
	if status != http.StatusSeeOther {
		t.Fatalf("signing in: %d", status)
	}
	cookie := header.Get("Set-Cookie")
	for _, part := range []string{"PHPSESSID=", "HttpOnly", "SameSite=Lax"} {
		if !strings.Contains(cookie, part) {
			t.Errorf("the session's cookie is %q, without %s", cookie, part)
		}
	}
	return v
}

func stranger(t *testing.T, site string) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := *harness.Client
	client.Jar = jar
	return &visitor{t: t, site: site, client: &client}
}

// post sends a form by names and values in turn.
func (v *visitor) post(fields ...string) (status int, body string, header http.Header) {
	v.t.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	res, err := v.client.PostForm(v.site+"/", form)
	if err != nil {
		v.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return res.StatusCode, string(b), res.Header
}

var streamOfPage = regexp.MustCompile(`data-stream="([^"]+)"`)

// stream is the path that the visitor's page opens its stream at.
func (v *visitor) stream() string {
	v.t.Helper()
	res, err := v.client.Get(v.site + "/")
	if err != nil {
		v.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	found := streamOfPage.FindSubmatch(b)
	if found == nil {
		v.t.Fatalf("the page says of no stream: %.2000s", b)
	}
	return html.UnescapeString(string(found[1]))
}

// cookies is the Cookie header of the visitor's requests for a stream.
func (v *visitor) cookies() string {
	v.t.Helper()
	u, err := url.Parse(v.site + "/events")
	if err != nil {
		v.t.Fatal(err)
	}
	var pairs []string
	for _, c := range v.client.Jar.Cookies(u) {
		pairs = append(pairs, c.Name+"="+c.Value)
	}
	return strings.Join(pairs, "; ")
}

// Two users in two browsers, and a third one who tries what he can: by each of the ways it is one chat.
func TestChatBehindLogin(t *testing.T) {
	t.Parallel()
	for _, way := range ways {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			site := chatBy(t, way)
			route := harness.Route{URL: site + "/_sse"}
			anns := harness.NewProfile(t)
			ann, zoe := enter(t, anns, site, "ann"), enter(t, harness.NewProfile(t), site, "Zoë")
			sees(ann, "Zoë", "ann")
			carl := signIn(t, site, "carl")
			third := harness.Open(t, site+carl.stream(), "Cookie", carl.cookies())
			if c := third.Connected(); c.User == nil || *c.User != "carl" {
				t.Fatalf("carl is %+v", c)
			}

			say(ann, "", "hello")
			zoe.Wait(line("ann hello"))
			say(ann, "Zoë", "psst")
			zoe.Wait(line("ann, to you psst"))
			ann.Wait(line("to Zoë psst"))
			say(zoe, "", "in public")
			ann.Wait(line("Zoë in public"))
			for e := third.Next(); !strings.Contains(e.Data, "in public"); e = third.Next() {
				if e.Type == "private" || strings.Contains(e.Data, "psst") {
					t.Errorf("carl heard %q", e)
				}
			}

			claims(t, site, way, carl)
			ann.Wait(line("carl I am ann"))

			// Signing out ends the streams, those of other tabs too, and nothing that the browser still has opens another.
			second := anns.OpenTab(t, site+"/")
			second.Wait(`document.getElementById('state').textContent === 'Connected'`)
			ann.Click("#leave button")
			ann.Wait(`document.querySelector('[name=password]')`)
			second.Wait(`document.querySelector('[name=password]')`)
			harness.EventuallyEqual(t, "connections of ann", 0, func() int { return route.Connections(t, "ann") })
			sees(zoe, "Zoë", "carl")
			enter(t, anns, site, "ann")
			sees(zoe, "Zoë", "ann", "carl")

			old, path := carl.cookies(), carl.stream()
			carl.post("action", "leave")
			third.Ended()
			// A ticket and a token are good until they expire, for who has kept them; a session is not.
			if status := harness.Status(t, site+path, "Cookie", carl.cookies()); way != "ticket" && status != http.StatusUnauthorized {
				t.Errorf("a stream after the logout: %d", status)
			}
			if status := harness.Status(t, site+path, "Cookie", old); (way == "session" || way == "upstream") && status != http.StatusUnauthorized {
				t.Errorf("a stream by the old session: %d", status)
			}
		})
	}
}

// claims has carl say in every place that he is ann.
func claims(t *testing.T, site, way string, carl *visitor) {
	t.Helper()
	s := harness.Open(t, site+carl.stream()+"&userId=ann&user=ann", "Cookie", carl.cookies(), "X-SSE-User", "ann", "X-User-ID", "ann", "Authorization", "Bearer ann")
	if c := s.Connected(); c.User == nil || *c.User != "carl" {
		t.Errorf("who says that he is ann is %+v", c)
	}
	s.Leave()

	ends := time.Now().Add(time.Hour).Unix()
	encode := base64.RawURLEncoding.EncodeToString
	sign := func(text, secret string) []byte {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(text))
		return mac.Sum(nil)
	}
	ticket := "sse1." + encode(fmt.Appendf(nil, `{"user":"ann","exp":%d}`, ends))
	claimed := encode(fmt.Appendf(nil, `{"sub":"ann","aud":"chat","exp":%d}`, ends))
	hs256, none := encode([]byte(`{"alg":"HS256"}`))+"."+claimed, encode([]byte(`{"alg":"none"}`))+"."+claimed
	for name, request := range map[string][2]string{ // what is added to the URL, and a cookie
		"a name":                        {"&userId=ann", ""},
		"a session out of thin air":     {"", "PHPSESSID=0123456789abcdef0123456789"},
		"a ticket by carl's secret":     {"&ticket=" + ticket + "." + hex.EncodeToString(sign(ticket, "a secret that only carl knows, of 32 bytes")), ""},
		"a ticket with another secret":  {"&ticket=" + ticket + "." + hex.EncodeToString(sign(ticket, jwtSecret)), ""},
		"a token by carl's secret":      {"", "chat_token=" + hs256 + "." + encode(sign(hs256, "a secret that only carl knows, of 32 bytes"))},
		"a token with another secret":   {"", "chat_token=" + hs256 + "." + encode(sign(hs256, ticketSecret))},
		"a token without any signature": {"", "chat_token=" + none + "."},
	} {
		status := harness.Status(t, site+"/events?topic=room"+request[0], "Cookie", request[1], "X-SSE-User", "ann")
		if status != http.StatusUnauthorized {
			t.Errorf("by %s: %d", name, status)
		}
	}
	if way != "upstream" { // there the app alone says what he hears
		if status := harness.Status(t, site+carl.stream()+"&topic=user/ann", "Cookie", carl.cookies()); status != http.StatusForbidden {
			t.Errorf("a topic that is not his: %d", status)
		}
	}

	// At the app.
	var view struct{ Connections []struct{ ID string } }
	route := harness.Route{URL: site + "/_sse"}
	route.Get(t, "/connections?user=ann", &view)
	if len(view.Connections) != 1 {
		t.Fatalf("ann has the connections %+v", view)
	}
	hers := view.Connections[0].ID
	if status, _, _ := carl.post("action", "say", "from", "ann", "me", "ann", "text", "I am ann"); status != http.StatusOK {
		t.Errorf("to say something: %d", status)
	}
	if status, _, _ := carl.post("action", "ask", "connection", hers, "question", "?"); status != http.StatusForbidden {
		t.Errorf("to ask as ann's connection: %d", status)
	}
	nobody := stranger(t, site)
	if status, _, _ := nobody.post("action", "enter", "name", "ann", "password", "a guess"); status != http.StatusForbidden {
		t.Errorf("with a wrong password: %d", status)
	}
	if status, _, _ := nobody.post("action", "say", "text", "I am ann"); status != http.StatusUnauthorized {
		t.Errorf("to say something without a login: %d", status)
	}
}

// A page goes on when its ticket or session grant ends, and shows everything once.
func TestChatRenews(t *testing.T) {
	t.Parallel()
	site := chatBy(t, "ticket", "CHAT_SECONDS=3")
	ann := enter(t, harness.NewProfile(t), site, "ann")
	say(ann, "", "before")
	ann.Wait(line("ann before"))
	first, err := json.Marshal(harness.Eval[string](ann, "connection"))
	if err != nil {
		t.Fatal(err)
	}
	ann.Wait(`connection !== '' && connection !== ` + string(first))
	say(ann, "", "after")
	ann.Wait(line("ann after"))
	if got := harness.Eval[string](ann, `[...document.querySelectorAll('#log li')].map(e => e.textContent).join('|')`); got != "ann before|ann after" {
		t.Errorf("the page shows %q", got)
	}
}
