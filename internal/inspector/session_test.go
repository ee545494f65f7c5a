package inspector

import (
	"crypto/sha256"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/secret"
)

func TestInspectorCookieAttributes(t *testing.T) {
	i := &Page{path: "/a/inspect"}
	key := sha256.Sum256([]byte("x"))
	for name, change := range map[string]func(*http.Request) (*http.Request, string){
		"plain": func(r *http.Request) (*http.Request, string) { return r, "HttpOnly" },
		"over TLS": func(r *http.Request) (*http.Request, string) {
			r.TLS = &tls.ConnectionState{}
			return r, "Secure"
		},
		"behind a proxy": func(r *http.Request) (*http.Request, string) {
			r.Header.Set("X-Forwarded-Proto", "https")
			return r, "Secure"
		},
	} {
		r, want := change(httptest.NewRequest("POST", "http://localhost/a/inspect/session", nil))
		c := i.cookie(r, key[:], time.Now().Add(time.Hour))
		text := c.String() + ";"
		for _, attribute := range []string{"HttpOnly", "SameSite=Strict", want} {
			if !strings.Contains(text, "; "+attribute+";") {
				t.Errorf("%s: %s lacks %s", name, text, attribute)
			}
		}
		if name == "plain" && c.Secure {
			t.Error("Secure without TLS: the browser would drop it")
		}
		if c.Path != "" || c.Domain != "" {
			t.Errorf("%s: %s names a place, which may not be the browser's own", name, text)
		}
	}
}

func TestInspectorSessionEnds(t *testing.T) {
	key, foreign := sha256.Sum256([]byte("x")), sha256.Sum256([]byte("y"))
	i := &Page{path: "/i", tokens: []secret.Hash{key}}
	ask := func(value string) bool {
		r := httptest.NewRequest("GET", "/i/stream", nil)
		r.AddCookie(&http.Cookie{Name: sessionCookie, Value: value})
		_, ok := i.session(r)
		return ok
	}
	soon, over := time.Now().Add(time.Minute), time.Now().Add(-time.Second)
	other := &Page{path: "/other"}
	for name, c := range map[string]struct {
		value string
		want  bool
	}{
		"good": {i.seal(key[:], soon), true}, "over": {i.seal(key[:], over), false}, "another key": {i.seal(foreign[:], soon), false},
		"another path": {other.seal(key[:], soon), false}, "empty": {"", false}, "junk": {"!!", false},
	} {
		if got := ask(c.value); got != c.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}
