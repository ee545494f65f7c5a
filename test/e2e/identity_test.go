package e2e_test

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/test/harness"
)

// identityExample returns the one snippet of a section of the reference of the directive that is of a kind and holds a text.
func identityExample(t *testing.T, section, kind, holds string) snippet {
	t.Helper()
	var found []snippet
	for _, s := range snippets(t, "docs/reference/directive.md") {
		if s.section == section && s.kind == kind && strings.Contains(s.text, holds) {
			found = append(found, s)
		}
	}
	if len(found) != 1 {
		t.Fatalf("the section %q has %d snippets of %s with %q, want 1: %v", section, len(found), kind, holds, found)
	}
	return found[0]
}

// public is a folder with what an app has in it, names and contents in turn, and PHP's workers for it.
func public(t *testing.T, files ...string) (dir string, fpm *harness.FPM) {
	t.Helper()
	dir = harness.Dir(t)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(files); i += 2 {
		harness.WriteFile(t, dir, files[i], files[i+1])
	}
	return dir, harness.StartFPM(t, 2)
}

// signInPage is a page that signs in whoever asks for it, by the session that whoami.php reads.
const signInPage = `<?php
session_start();
$_SESSION['user'] = $_GET['user'];
echo '<!doctype html><title>app</title>';`

func TestExampleOfAuthorize(t *testing.T) {
	t.Parallel()
	config := identityExample(t, "`authorize`", "caddyfile", "user authorize")
	whoami := identityExample(t, "`authorize`", "php", "X-SSE-User")
	dir, fpm := public(t, "login.php", signInPage, "whoami.php", whoami.text)
	address := "localhost:" + harness.Port(t)
	harness.StartCaddy(t, harness.Replace(t, config.String(), config.text,
		"localhost:8080", address, "localhost:9000", fpm.Address, "root * public", "root * "+dir))

	cookie := sessionOf(t, "http://"+address+"/login.php?user=ann")
	stream := harness.Open(t, "http://"+address+"/events?topic=user/ann/x&topic=orders/7&topic=team/*", "Cookie", cookie)
	if c := stream.Connected(); c.User == nil || *c.User != "ann" || len(c.Topics) != 3 {
		t.Errorf("got %+v", c)
	}
	for query, want := range map[string]int{"": 200, "?topic=orders/8": 403, "?topic=user/ben/x": 403} {
		if status := harness.Status(t, "http://"+address+"/events"+query, "Cookie", cookie); status != want {
			t.Errorf("%q: status %d, want %d", query, status, want)
		}
	}
	if status := harness.Status(t, "http://"+address+"/events", "Cookie", "PHPSESSID=nobody"); status != http.StatusUnauthorized {
		t.Errorf("nobody: status %d, want 401", status)
	}
}

// sessionOf signs in, and returns the session's cookie.
func sessionOf(t *testing.T, url string) string {
	t.Helper()
	res, err := harness.Client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	for _, c := range res.Cookies() {
		if c.Name == "PHPSESSID" {
			return c.Name + "=" + c.Value
		}
	}
	t.Fatalf("%s sets no session: %s %v", url, res.Status, res.Header)
	return ""
}

func TestExampleOfTicket(t *testing.T) {
	config := identityExample(t, "`ticket`", "caddyfile", "user ticket")
	secret := strings.Repeat("s", 32)
	t.Setenv("SSE_PUSH_TICKET_SECRET", secret)
	address := "localhost:" + harness.Port(t)
	harness.StartCaddy(t, harness.Replace(t, config.String(), config.text, "localhost:8080", address), "SSE_PUSH_TICKET_SECRET="+secret)

	page := identityExample(t, "`ticket`", "php", "SsePush::ticket").run(t)
	_, url, ok := strings.Cut(page, `new EventSource("`)
	url, _, _ = strings.Cut(url, `"`)
	if !ok {
		t.Fatalf("the script printed %q", page)
	}
	byHand := identityExample(t, "`ticket`", "php", "hash_hmac")
	byHand.text += "\necho $ticket;\n"
	for url, topics := range map[string]string{url: "&topic=orders/7", "/events?ticket=" + byHand.run(t): "&topic=user/u1/x"} {
		if c := harness.Open(t, "http://"+address+url+topics).Connected(); c.User == nil || *c.User != "u1" || len(c.Topics) != 1 {
			t.Errorf("%s: got %+v", url, c)
		}
		if status := harness.Status(t, "http://"+address+url+"x"); status != http.StatusUnauthorized {
			t.Errorf("%sx: status %d, want 401", url, status)
		}
	}
}

// token is a JSON Web Token, signed by sign.
func token(t *testing.T, header, claims map[string]any, sign func(signed string) []byte) string {
	t.Helper()
	part := func(v map[string]any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	signed := part(header) + "." + part(claims)
	return signed + "." + base64.RawURLEncoding.EncodeToString(sign(signed))
}

func TestExampleOfJWT(t *testing.T) {
	t.Parallel()
	config := identityExample(t, "`jwt`", "caddyfile", "jwks")
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k1","x":%q}]}`, base64.RawURLEncoding.EncodeToString(public))
	}))
	t.Cleanup(keys.Close)
	address := "localhost:" + harness.Port(t)
	harness.StartCaddy(t, harness.Replace(t, config.String(), config.text, "localhost:8080", address,
		"https://login.example.com/.well-known/jwks.json", keys.URL))
	of := func(issuer, audience string) string {
		return token(t, map[string]any{"alg": "EdDSA", "kid": "k1"},
			map[string]any{"sub": "u1", "iss": issuer, "aud": audience, "exp": time.Now().Unix() + 60},
			func(signed string) []byte { return ed25519.Sign(private, []byte(signed)) })
	}
	good := of("https://login.example.com", "push")
	for _, header := range [][]string{{"Authorization", "Bearer " + good}, {"Cookie", "token=" + good}} {
		if c := harness.Open(t, "http://"+address+"/events", header...).Connected(); c.User == nil || *c.User != "u1" {
			t.Errorf("by %s: got %+v", header[0], c)
		}
	}
	for name, text := range map[string]string{"another issuer's": of("https://other.example.com", "push"), "another app's": of("https://login.example.com", "shop")} {
		if status := harness.Status(t, "http://"+address+"/events", "Authorization", "Bearer "+text); status != http.StatusUnauthorized {
			t.Errorf("%s: status %d, want 401", name, status)
		}
	}
}

// The page's ticket is short-lived; the script of the docs fetches another in time, and the stream goes on by that.
func TestExampleOfRenewal(t *testing.T) {
	t.Parallel()
	script := identityExample(t, "When a grant ends", "js", "renew")
	secret := strings.Repeat("s", 32)
	made := `<?php require '` + filepath.Join(harness.Root(), "clients/php/SsePush.php") + `'; SsePush::configure(ticketSecret: '` + secret + `'); `
	dir, fpm := public(t,
		"page.php", made+`?><!doctype html><title>app</title><body data-ticket="<?= SsePush::ticket('u1', seconds: 4) ?>"><script type="module">`+
			strings.Replace(script.text, "new SsePush(", "window.stream = new SsePush(", 1)+`</script>`,
		"ticket.php", made+`echo SsePush::ticket('u1', seconds: 3600);`)
	if err := os.Symlink(filepath.Join(harness.Root(), "clients"), filepath.Join(dir, "clients")); err != nil {
		t.Fatal(err)
	}
	url := serve(t, `sse_push /events {
		user ticket `+secret+`
		internal /_sse {
			allow loopback
		}
	}
	root * `+dir+`
	php_fastcgi `+fpm.Address+`
	file_server`)
	tab := harness.OpenTab(t, url+"/page.php")
	route := harness.Route{URL: url + "/_sse"}
	harness.EventuallyEqual(t, "connections of u1", 1, func() int { return route.Connections(t, "u1") })
	tickets := func() (n int) {
		seen := map[string]bool{}
		for _, r := range tab.Requests() {
			if _, ticket, ok := strings.Cut(r, "/events?ticket="); ok {
				seen[strings.SplitN(ticket, "&", 2)[0]] = true
			}
		}
		return len(seen)
	}
	harness.EventuallyEqual(t, "tickets that the page has come with", 2, tickets)
	harness.EventuallyEqual(t, "connections of u1", 1, func() int { return route.Connections(t, "u1") })
	harness.Eval[bool](tab, `(stream.addEventListener('message', (event) => console.log('heard ' + event.data)), true)`)
	route.Publish(t, harness.Event{"user": "u1", "data": "after the first ticket"})
	brokertest.Eventually(t, "the page hears on", func() bool {
		return strings.Contains(strings.Join(tab.Console(), "\n"), "heard after the first ticket")
	})
}

func TestExampleOfAccessLog(t *testing.T) {
	config := identityExample(t, "Out of the access log", "caddyfile", "REDACTED")
	tickets, tokens := strings.Repeat("s", 32), strings.Repeat("t", 32)
	t.Setenv("SSE_PUSH_TICKET_SECRET", tickets)
	address := "localhost:" + harness.Port(t)
	caddy := harness.StartCaddy(t, harness.Replace(t, config.String(), config.text, "localhost:8080", address),
		"SSE_PUSH_TICKET_SECRET="+tickets, "SSE_PUSH_JWT_SECRET="+tokens)
	bearer := token(t, map[string]any{"alg": "HS256"}, map[string]any{"sub": "u2", "exp": time.Now().Unix() + 60}, func(signed string) []byte {
		mac := hmac.New(sha256.New, []byte(tokens))
		mac.Write([]byte(signed))
		return mac.Sum(nil)
	})
	byHand := identityExample(t, "`ticket`", "php", "hash_hmac")
	byHand.text += "\necho $ticket;\n"
	ticket := byHand.run(t)
	for query, user := range map[string]string{"ticket=" + ticket: "u1", "token=" + bearer: "u2"} {
		stream := harness.Open(t, "http://"+address+"/events?"+query)
		if c := stream.Connected(); c.User == nil || *c.User != user {
			t.Errorf("%s: got %+v", user, c)
		}
		stream.Leave()
	}
	brokertest.Eventually(t, "the access log tells of both", func() bool { return strings.Count(caddy.Output(), "REDACTED") >= 2 })
	for _, secret := range []string{ticket, bearer} {
		if strings.Contains(caddy.Output(), secret) {
			t.Errorf("the log has %s", secret)
		}
	}
}
