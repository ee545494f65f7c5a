package ssepush_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// knowing is an app that knows who a client is by the cookie id, and tells the topics that it was asked about back. It says
// who anyone is only in answer to a question, and returns its address.
func knowing(t *testing.T, more ...string) string {
	t.Helper()
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := r.Cookie("id")
		if err != nil {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if claimed := r.Header["X-Sse-User"]; claimed != nil {
			t.Errorf("the app was sent X-SSE-User %q", claimed)
		}
		w.Header().Set("X-SSE-User", c.Value)
		w.Header()["X-Sse-Topics"] = r.Header["X-Sse-Topics"]
		for i := 0; i < len(more); i += 2 {
			w.Header().Set(more[i], more[i+1])
		}
		fmt.Fprint(w, "a page")
	}))
	t.Cleanup(app.Close)
	return strings.TrimPrefix(app.URL, "http://")
}

// A question passes the directives of the site, whatever headers they take from clients and out of answers.
func TestAuthorizeThroughInstructions(t *testing.T) {
	const users = "user authorize /whoami\n"
	internal := "internal /_sse {\nallow loopback\n}\n"
	for name, site := range map[string]string{
		"two_way":              "sse_push /events {\n" + users + internal + "two_way\n}\n",
		"publish_header":       "sse_push /events {\n" + users + internal + "publish_header user\n}\n",
		"all that two ways is": "sse_push /events {\n" + users + internal + "two_way\npublish_header connection\n}\n",
		"upstream, of another directive": "sse_push /events {\nhub main\n" + users + internal + "}\n" +
			"sse_push /streams {\nhub main\nupstream\n}\n",
		"publish_header, of a handle": "sse_push /events {\nhub main\n" + users + internal + "}\n" +
			"handle /whoami {\nsse_push {\nhub main\npublish_header user\n}\nreverse_proxy %s\n}\n",
		"encode": "encode\nsse_push /events {\n" + users + internal + "two_way\n}\n",
	} {
		t.Run(name, func(t *testing.T) {
			address := knowing(t)
			if strings.Contains(site, "%s") {
				site = fmt.Sprintf(site, address)
			}
			s := serve(t, site+"reverse_proxy "+address)
			c := s.open("/events?topic=a,b&topic=room", "Cookie", "id=u1", "X-SSE-User", "admin", "X-SSE-Topics", "**", "X-SSE-Question", "a guess")
			if c.connected.User == nil || *c.connected.User != "u1" || len(c.connected.Topics) != 2 {
				t.Errorf("got %+v", c.connected)
			}
			s.publish("user", "u1", "data", "hello")
			c.want("hello")
			a := s.do(http.MethodGet, "/whoami", "", "Cookie", "id=u1", "X-SSE-Topics", "**", "X-SSE-Question", "a guess")
			if strings.Contains(name, "handle") || !strings.Contains(name, "encode") {
				if a.body != "a page" || a.header.Get("X-SSE-User") != "" || a.header.Get("X-SSE-Topics") != "" {
					t.Errorf("a client that asks by itself got %d %q %v", a.status, a.body, a.header)
				}
			}
		})
	}
}

// What the app publishes in an answer to a question is published once, however many directives the answer passes.
func TestAuthorizePublishes(t *testing.T) {
	s := serve(t, `sse_push /events {
		hub main
		user authorize /whoami
		user query userId
		publish_header user
		internal /_sse {
			allow loopback
		}
	}
	route /whoami {
		sse_push {
			hub main
			publish_header user
		}
		reverse_proxy `+knowing(t, "X-SSE-Publish", "user=watcher&data=u1+comes")+`
	}
	respond "next"`)
	watcher := s.open("/events?userId=watcher")
	c := s.open("/events", "Cookie", "id=u1")
	if *c.connected.User != "u1" {
		t.Errorf("got %+v", c.connected)
	}
	s.publish("user", "watcher", "data", "and no more")
	watcher.want("u1 comes", "and no more")
}

// Over the network a question of this process is like any client's request, and its answer would be taken apart on the way.
// It is refused for now, and the log says what to do.
func TestAuthorizeOverThisCaddy(t *testing.T) {
	for name, test := range map[string]struct {
		target, routes string
	}{
		"a URL of the same site":                  {"http://{$SITE0}/whoami", ""},
		"a URL of another site":                   {"http://{$SITE1}/whoami", ""},
		"a path that another site answers for":    {"/whoami", "reverse_proxy /whoami {$SITE1}\n"},
		"a URL that leads to the stream itself":   {"http://{$SITE0}/events", ""},
		"a path that leads to the other's stream": {"/whoami", "rewrite /whoami /streams\nreverse_proxy /streams {$SITE1}\n"},
	} {
		t.Run(name, func(t *testing.T) {
			behind := "reverse_proxy " + knowing(t)
			s := serveAll(t, "sse_push /events {\nhub main\nuser authorize "+test.target+"\ntwo_way\n}\n"+test.routes+behind,
				"sse_push /streams {\nhub main\nupstream\n}\n"+behind)[0]
			if reason := s.rejected("/events", "Cookie", "id=u1"); reason != "authorize" {
				t.Errorf("got %q", reason)
			}
			if log := s.log(); !strings.Contains(log, "the question came back to sse_push; ask a path of the site") {
				t.Error("the log does not say what to do")
			}
		})
	}
	t.Run("a site that takes nothing out", func(t *testing.T) {
		s := serveAll(t, "sse_push /events {\nhub main\nuser authorize http://{$SITE1}/whoami\ntwo_way\n}\n",
			"sse_push /streams {\nhub main\nuser query userId\n}\nreverse_proxy "+knowing(t))[0]
		if c := s.open("/events", "Cookie", "id=u1"); *c.connected.User != "u1" {
			t.Errorf("got %+v", c.connected)
		}
	})
}
