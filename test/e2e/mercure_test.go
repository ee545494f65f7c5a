package e2e_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/test/harness"
)

const mercureKey = "a key that only the app and its hub know"

// mercureToken signs a token of version 0.x.
func mercureToken(t *testing.T, claim map[string][]string) string {
	t.Helper()
	claims, err := json.Marshal(map[string]any{"mercure": claim})
	if err != nil {
		t.Fatal(err)
	}
	signed := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + base64.RawURLEncoding.EncodeToString(claims)
	mac := hmac.New(sha256.New, []byte(mercureKey))
	mac.Write([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// symfonyUpdate is what Symfony's client publishes.
type symfonyUpdate struct {
	Topics  []string `json:"topics"`
	Data    string   `json:"data"`
	Private bool     `json:"private,omitempty"`
	ID      string   `json:"id,omitempty"`
	Type    string   `json:"type,omitempty"`
	Retry   int      `json:"retry,omitempty"`
}

// publishWithSymfony returns the answer of the hub, or Symfony's error.
func publishWithSymfony(t *testing.T, url, token string, u symfonyUpdate) (id string, err error) {
	t.Helper()
	update, err := json.Marshal(u)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(harness.Program(t, "php"), filepath.Join(testdata(t, "php"), "mercure.php"), url+"/.well-known/mercure", token, string(update))
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, out)
	}
	return string(out), err
}

// An app with Symfony's client and a page in a browser with the cookie that the app has set: the page hears what is public and what
// is private to it, and nothing else, as it comes and after it was away.
func TestSymfonyAndBrowser(t *testing.T) {
	t.Parallel()
	token := mercureToken(t, map[string][]string{"subscribe": {"https://app.example/users/ann/{+rest}"}})
	url := serve(t, `
	sse_push {
		retry 500ms
		internal /_sse {
			allow loopback
		}
		mercure {
			publisher_jwt "`+mercureKey+`"
			subscriber_jwt "`+mercureKey+`"
			anonymous
		}
	}
	handle / {
		header Content-Type text/html
		header Set-Cookie "mercureAuthorization=`+token+`; Path=/.well-known/mercure; HttpOnly; SameSite=Strict"
		respond "<!doctype html><title>Mercure</title>"
	}`)
	publisher := mercureToken(t, map[string][]string{"publish": {"*"}})
	publish := func(u symfonyUpdate) string {
		t.Helper()
		id, err := publishWithSymfony(t, url, publisher, u)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}

	tab := harness.NewProfile(t).OpenTab(t, url+"/")
	harness.Eval[int](tab, `
		window.heard = [], window.opened = 0,
		window.source = new EventSource('/.well-known/mercure?topic=' + encodeURIComponent('https://app.example/books/{id}')),
		source.onopen = () => opened++,
		source.onmessage = (e) => heard.push(e.type + ' ' + e.data + ' ' + e.lastEventId),
		source.addEventListener('created', source.onmessage), 0`)
	tab.Wait(`opened === 1`)

	var want []string
	round := func(n int) {
		book := func(i int) string { return fmt.Sprintf("https://app.example/books/%d%d", n, i) }
		hers, bens := fmt.Sprintf("https://app.example/users/ann/books/%d", n), fmt.Sprintf("https://app.example/users/ben/books/%d", n)
		first := publish(symfonyUpdate{Topics: []string{book(1)}, Data: "public"})
		if !strings.HasPrefix(first, "#") {
			t.Errorf("the hub's own id is %q", first)
		}
		id := fmt.Sprintf("urn:uuid:%d", n)
		if got := publish(symfonyUpdate{Topics: []string{book(2), hers}, Data: "line 1\nline 2 & Grüße", Private: true, ID: id, Type: "created", Retry: 300}); got != id {
			t.Errorf("got the id %q, want %q", got, id)
		}
		publish(symfonyUpdate{Topics: []string{book(3), bens}, Data: "for ben", Private: true})
		publish(symfonyUpdate{Topics: []string{book(4)}, Data: "for nobody", Private: true})
		publish(symfonyUpdate{Topics: []string{"https://app.example/films/1", hers}, Data: "not asked for", Private: true})
		publish(symfonyUpdate{Topics: []string{"https://app.example/films/1"}, Data: "not asked for"})
		last := publish(symfonyUpdate{Topics: []string{"https://app.example/all", book(5)}, Data: "the last"})
		want = append(want, "message public "+first, "created line 1\nline 2 & Grüße "+id, "message the last "+last)
	}
	all := func() {
		t.Helper()
		tab.Wait(fmt.Sprintf(`heard.length >= %d`, len(want)))
		if got := harness.Eval[[]string](tab, `heard`); !slices.Equal(got, want) {
			t.Fatalf("the page heard %q, want %q", got, want)
		}
	}
	round(1)
	all()

	route := harness.Route{URL: url + "/_sse"}
	var now struct{ Connections []struct{ ID string } }
	route.Get(t, "/connections", &now)
	if len(now.Connections) != 1 {
		t.Fatalf("there are %d connections", len(now.Connections))
	}
	if status := route.Call(t, http.MethodDelete, "/connections/"+now.Connections[0].ID, nil, nil); status != http.StatusNoContent {
		t.Fatalf("DELETE of the connection: status %d", status)
	}
	round(2) // while the page is away, or just back
	tab.Wait(`opened === 2`)
	all()
	round(3)
	all()
	tab.Screenshot("mercure")

	for name, u := range map[string]symfonyUpdate{
		"a topic of the hub's": {Topics: []string{"/.well-known/mercure/subscriptions/x"}},
		"the topic *":          {Topics: []string{"*"}},
		"the hub's type":       {Topics: []string{"a"}, Type: "mercure"},
		"an id like the hub's": {Topics: []string{"a"}, ID: "#1"},
	} {
		if id, err := publishWithSymfony(t, url, publisher, u); err == nil {
			t.Errorf("%s: Symfony got the id %q", name, id)
		}
	}
	if id, err := publishWithSymfony(t, url, token, symfonyUpdate{Topics: []string{"https://app.example/books/1"}}); err == nil {
		t.Errorf("with a subscriber's token, Symfony got the id %q", id)
	}
}
