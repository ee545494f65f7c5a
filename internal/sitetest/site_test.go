package sitetest_test

import (
	"crypto/tls"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// The usual surroundings of an app: a directive works after what rewrites or asks first, and before what answers.
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
			s := sitetest.Serve(t, body)
			c := s.Open("/events?userId=u1")
			s.Publish("user", "u1", "data", "hello")
			c.Want("hello")
			if a := s.Do("GET", "/some/page", ""); a.Body != "page" {
				t.Errorf("the app: got %d %s", a.Status, a.Body)
			}
		})
	}
}

// Nothing on the way may buffer, compress or cache a stream.
func TestStreamHeaders(t *testing.T) {
	s := sitetest.Serve(t, `encode gzip
		`+sitetest.Route("")+`
		respond /long "`+strings.Repeat("long ", 500)+`"`)
	if a := s.Do("GET", "/long", "", "Accept-Encoding", "gzip"); a.Header.Get("Content-Encoding") != "gzip" {
		t.Fatalf("the site does not compress: %v", a.Header)
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
	want(s.Open("/events", "Accept-Encoding", "gzip").Header)
	a := s.Do("HEAD", "/events?userId=u1", "")
	want(a.Header)
	if a.Status != http.StatusOK || a.Body != "" {
		t.Errorf("HEAD: got %d %q", a.Status, a.Body)
	}
	if list := sitetest.Get[sitetest.ConnectionList](s, "/_sse/connections?user=u1"); list.Total != 0 {
		t.Errorf("HEAD made a connection: %+v", list)
	}
}

// The app says who it is, and what the client claims counts for nothing.
func TestForwardAuth(t *testing.T) {
	s := sitetest.ServeAll(t, `forward_auth {$SITE1} {
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
	c := s[0].Open("/events", "Cookie", "session=ann", "X-User-ID", "bob")
	if *c.Connected.User != "ann" {
		t.Errorf("got user %q", *c.Connected.User)
	}
	s[1].Publish("user", "bob", "data", "for bob")
	s[1].Publish("user", "ann", "data", "for ann")
	c.Want("for ann")
	if a := s[0].Do("GET", "/events", "", "X-User-ID", "bob"); a.Status != http.StatusUnauthorized {
		t.Errorf("got %d %s", a.Status, a.Body)
	}
}

func TestTLS(t *testing.T) {
	s := sitetest.Serve(t, "tls internal\n"+sitetest.Route(""))
	s.HTTP.Transport.(*http.Transport).TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	s.HTTP.Transport.(*http.Transport).ForceAttemptHTTP2 = true
	h1 := *s
	h1.HTTP = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	t.Cleanup(h1.HTTP.CloseIdleConnections)
	brokertest.Eventually(t, "the certificate is there", func() bool {
		resp, err := s.HTTP.Get(s.URL + "/")
		if err == nil {
			resp.Body.Close()
		}
		return err == nil
	})
	for major, on := range map[int]*sitetest.Site{1: &h1, 2: s} {
		c, other := on.Open("/events?userId=u1"), on.Open("/events?userId=u2")
		if c.Proto != major {
			t.Errorf("got HTTP/%d", c.Proto)
		}
		data := sitetest.Numbered(200, 4000)
		s.PublishEach(sitetest.ToU1, data...)
		c.Want(data...)
		c.Close()
		s.Publish("user", "u1", "data", "missed")
		s.Publish("user", "u2", "data", "other")
		other.Want("other")
		on.Resume("/events?userId=u1", c.LastID).Want("missed")
		other.Close()
	}
	for _, c := range sitetest.Get[sitetest.ConnectionList](s, "/_sse/connections").Connections {
		s.Do("DELETE", "/_sse/connections/"+c.ID, "")
	}
	brokertest.Eventually(t, "nobody is left", func() bool { return sitetest.Get[sitetest.ConnectionList](s, "/_sse/connections").Total == 0 })
}

// Tenants on one wildcard site do not share a hub by a name with a placeholder of the request: that is refused. One of the
// environment is the hub of that name.
func TestHubByPlaceholder(t *testing.T) {
	t.Setenv("SSE_PUSH_TEST_HUB", "main")
	internal := "sse_push {\nhub main\ninternal /_sse {\nallow loopback\n}\n}"
	sites := sitetest.ServeAll(t, internal+"\nsse_push /events {\nhub {env.SSE_PUSH_TEST_HUB}\nuser query {env.SSE_PUSH_TEST_HUB}\n}")
	c := sites[0].Open("/events?main=u1")
	sites[0].Publish("user", "u1", "data", "1")
	c.Want("1")
	err := sitetest.Load(sites, internal+"\nsse_push /events {\nhub {labels.2}\nuser query userId\n}")
	if err == nil || !strings.Contains(err.Error(), "hub: {http.request.host.labels.2} cannot be filled in") || !strings.Contains(err.Error(), "at Caddyfile:") {
		t.Errorf("got %v", err)
	}
}
