package ssepush_test

import (
	"crypto/tls"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The usual surroundings of an app: a directive works behind what rewrites or asks first, and before what answers.
func TestInASite(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "index.html"), []byte("page"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string]string{
		"single page app": `root * ` + root + `
			try_files {path} /index.html
			sse_push /events {
				user query userId
				internal /_sse {
					allow loopback
				}
			}
			file_server`,
		"handle": `root * ` + root + `
			sse_push /events {
				user query userId
				internal /_sse {
					allow loopback
				}
			}
			handle /api/* {
				respond "api"
			}
			handle {
				try_files {path} /index.html
				file_server
			}`,
		"in a handle": `root * ` + root + `
			handle /events {
				sse_push /events {
					hub main
					user query userId
				}
			}
			handle /_sse/* {
				sse_push {
					hub main
					internal /_sse {
						allow loopback
					}
				}
			}
			handle {
				try_files {path} /index.html
				file_server
			}`,
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, body)
			c := s.open("/events?userId=u1")
			s.publish("user", "u1", "data", "hello")
			c.want("hello")
			if a := s.do("GET", "/some/page", ""); a.body != "page" {
				t.Errorf("the app: got %d %s", a.status, a.body)
			}
		})
	}
}

// Nothing on the way may buffer, compress or cache a stream.
func TestStreamHeaders(t *testing.T) {
	s := serve(t, `encode gzip
		`+route("")+`
		respond /long "`+strings.Repeat("long ", 500)+`"`)
	if a := s.do("GET", "/long", "", "Accept-Encoding", "gzip"); a.header.Get("Content-Encoding") != "gzip" {
		t.Fatalf("the site does not compress: %v", a.header)
	}
	want := func(h http.Header) {
		t.Helper()
		for name, value := range map[string]string{
			"Content-Type":      "text/event-stream",
			"Cache-Control":     "no-store, no-transform",
			"X-Accel-Buffering": "no",
			"Content-Encoding":  "",
			"Content-Length":    "",
		} {
			if got := h.Get(name); got != value {
				t.Errorf("%s: got %q, want %q", name, got, value)
			}
		}
	}
	want(s.open("/events", "Accept-Encoding", "gzip").header)
	a := s.do("HEAD", "/events?userId=u1", "")
	want(a.header)
	if a.status != http.StatusOK || a.body != "" {
		t.Errorf("HEAD: got %d %q", a.status, a.body)
	}
	if list := get[connections](s, "/_sse/connections?user=u1"); list.Total != 0 {
		t.Errorf("HEAD made a connection: %+v", list)
	}
}

// The app says who it is, and what the client claims counts for nothing.
func TestForwardAuth(t *testing.T) {
	s := serveAll(t, `forward_auth {$SITE1} {
			uri /whoami
			copy_headers X-User-ID
		}
		sse_push /events {
			hub main
			user {http.request.header.X-User-ID}
		}
		respond "next"`, `@known header Cookie session=ann
		handle @known {
			header X-User-ID ann
			respond 204
		}
		handle /whoami {
			respond "who are you?" 401
		}
		sse_push {
			hub main
			internal /_sse {
				allow loopback
			}
		}`)
	c := s[0].open("/events", "Cookie", "session=ann", "X-User-ID", "bob")
	if *c.connected.User != "ann" {
		t.Errorf("got user %q", *c.connected.User)
	}
	s[1].publish("user", "bob", "data", "for bob")
	s[1].publish("user", "ann", "data", "for ann")
	c.want("for ann")
	if a := s[0].do("GET", "/events", "", "X-User-ID", "bob"); a.status != http.StatusUnauthorized {
		t.Errorf("got %d %s", a.status, a.body)
	}
}

func TestTLS(t *testing.T) {
	s := serve(t, "tls internal\n"+route(""))
	s.client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	s.client.Transport.(*http.Transport).ForceAttemptHTTP2 = true
	h1 := *s
	h1.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	t.Cleanup(h1.client.CloseIdleConnections)
	waitFor(t, "the certificate is there", func() bool {
		resp, err := s.client.Get(s.url + "/")
		if err == nil {
			resp.Body.Close()
		}
		return err == nil
	})
	for major, on := range map[int]*site{1: &h1, 2: s} {
		c, other := on.open("/events?userId=u1"), on.open("/events?userId=u2")
		if c.proto != major {
			t.Errorf("got HTTP/%d", c.proto)
		}
		data := numbered(200, 4000)
		s.publishEach(toU1, data...)
		c.want(data...)
		c.close()
		s.publish("user", "u1", "data", "missed")
		s.publish("user", "u2", "data", "other")
		other.want("other")
		on.resume("/events?userId=u1", c.id).want("missed")
		other.close()
	}
	for _, c := range get[connections](s, "/_sse/connections").Connections {
		s.do("DELETE", "/_sse/connections/"+c.ID, "")
	}
	waitFor(t, "nobody is left", func() bool { return get[connections](s, "/_sse/connections").Total == 0 })
}

// Tenants on one wildcard site do not share a hub by a name with a placeholder of the request: that is refused. One of the
// environment is the hub of that name.
func TestHubByPlaceholder(t *testing.T) {
	t.Setenv("SSE_PUSH_TEST_HUB", "main")
	internal := "sse_push {\nhub main\ninternal /_sse {\nallow loopback\n}\n}"
	sites := serveAll(t, internal+"\nsse_push /events {\nhub {env.SSE_PUSH_TEST_HUB}\nuser query {env.SSE_PUSH_TEST_HUB}\n}")
	c := sites[0].open("/events?main=u1")
	sites[0].publish("user", "u1", "data", "1")
	c.want("1")
	err := load(sites, internal+"\nsse_push /events {\nhub {labels.2}\nuser query userId\n}")
	if err == nil || !strings.Contains(err.Error(), "hub: {http.request.host.labels.2} cannot be filled in") || !strings.Contains(err.Error(), "at Caddyfile:") {
		t.Errorf("got %v", err)
	}
}
