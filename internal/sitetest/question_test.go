package sitetest_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// knowing starts an app that tells a client's user by the cookie id, and repeats the topics that it was asked about. It says
// so only in answer to a question. It returns the app's address.
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
			s := sitetest.Serve(t, site+"reverse_proxy "+address)
			c := s.Open("/events?topic=a,b&topic=room", "Cookie", "id=u1", "X-SSE-User", "admin", "X-SSE-Topics", "**", "X-SSE-Question", "a guess")
			if c.Connected.User == nil || *c.Connected.User != "u1" || len(c.Connected.Topics) != 2 {
				t.Errorf("got %+v", c.Connected)
			}
			s.Publish("user", "u1", "data", "hello")
			c.Want("hello")
			a := s.Do(http.MethodGet, "/whoami", "", "Cookie", "id=u1", "X-SSE-Topics", "**", "X-SSE-Question", "a guess")
			if strings.Contains(name, "handle") || !strings.Contains(name, "encode") {
				if a.Body != "a page" || a.Header.Get("X-SSE-User") != "" || a.Header.Get("X-SSE-Topics") != "" {
					t.Errorf("a client that asks by itself got %d %q %v", a.Status, a.Body, a.Header)
				}
			}
		})
	}
}

// What the app publishes in an answer to a question is published once, however many directives the answer passes.
func TestAuthorizePublishes(t *testing.T) {
	s := sitetest.Serve(t, `sse_push /events {
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
	watcher := s.Open("/events?userId=watcher")
	c := s.Open("/events", "Cookie", "id=u1")
	if *c.Connected.User != "u1" {
		t.Errorf("got %+v", c.Connected)
	}
	s.Publish("user", "watcher", "data", "and no more")
	watcher.Want("u1 comes", "and no more")
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
			s := sitetest.ServeAll(t, "sse_push /events {\nhub main\nuser authorize "+test.target+"\ntwo_way\n}\n"+test.routes+behind,
				"sse_push /streams {\nhub main\nupstream\n}\n"+behind)[0]
			if reason := rejected(s, "/events", "Cookie", "id=u1"); reason != "authorize" {
				t.Errorf("got %q", reason)
			}
			if log := s.Log(); !strings.Contains(log, "the question came back to sse_push; ask a path of the site") {
				t.Error("the log does not say what to do")
			}
		})
	}
	t.Run("a site that takes nothing out", func(t *testing.T) {
		s := sitetest.ServeAll(t, "sse_push /events {\nhub main\nuser authorize http://{$SITE1}/whoami\ntwo_way\n}\n",
			"sse_push /streams {\nhub main\nuser query userId\n}\nreverse_proxy "+knowing(t))[0]
		if c := s.Open("/events", "Cookie", "id=u1"); *c.Connected.User != "u1" {
			t.Errorf("got %+v", c.Connected)
		}
	})
}

// certificate is a client's, signed by itself.
func certificate(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// Clients whose cookies are the same, and whom the app tells apart by their connections, get answers of their own.
func TestAuthorizeByConnection(t *testing.T) {
	answering := func(placeholder string) string {
		return trusting("user authorize /whoami {\nttl 10m\n}") + "handle /whoami {\nheader X-SSE-User " + placeholder + "\nrespond 204\n}"
	}
	// via returns the site for a client that comes from an address, with a certificate or without.
	via := func(s *sitetest.Site, from string, certs ...tls.Certificate) *sitetest.Site {
		transport := &http.Transport{
			DialContext:     (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).DialContext,
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: certs},
		}
		t.Cleanup(transport.CloseIdleConnections)
		other := *s
		other.HTTP = &http.Client{Transport: transport}
		return &other
	}
	user := func(t *testing.T, s *sitetest.Site, headers ...string) string {
		t.Helper()
		c := s.In(t).Open("/events", append(headers, "Cookie", "session=shared")...)
		defer c.Close()
		return *c.Connected.User
	}
	t.Run("client certificates", func(t *testing.T) {
		s := sitetest.Serve(t, "tls internal {\nclient_auth {\nmode require\n}\n}\n"+answering("{http.request.tls.client.subject}"))
		ann, ben := via(s, "127.0.0.1", certificate(t, "ann")), via(s, "127.0.0.1", certificate(t, "ben"))
		brokertest.Eventually(t, "the certificate is there", func() bool {
			resp, err := ann.HTTP.Get(s.URL + "/")
			if err == nil {
				resp.Body.Close()
			}
			return err == nil
		})
		for range 2 {
			if a, b := user(t, ann), user(t, ben); a != "CN=ann" || b != "CN=ben" {
				t.Errorf("ann is %q, ben is %q", a, b)
			}
		}
	})
	t.Run("direct peers", func(t *testing.T) {
		s := sitetest.ServeWith(t, "trusted_proxies static 127.0.0.0/8\n", answering("{http.request.remote.host}"))[0]
		one, two := via(s, "127.0.0.1"), via(s, "127.0.0.2")
		for range 2 {
			a, b := user(t, one, "X-Forwarded-For", "203.0.113.9"), user(t, two, "X-Forwarded-For", "203.0.113.9")
			if a != "127.0.0.1" || b != "127.0.0.2" {
				t.Errorf("one is %q, two is %q", a, b)
			}
		}
	})
	t.Run("a client's address in a header of its own", func(t *testing.T) {
		s := sitetest.ServeWith(t, "trusted_proxies static 127.0.0.0/8\nclient_ip_headers CF-Connecting-IP\n", answering("{client_ip}"))[0]
		for _, address := range []string{"203.0.113.9", "203.0.113.10"} {
			if got := user(t, s, "CF-Connecting-IP", address); got != address {
				t.Errorf("%s is %q", address, got)
			}
		}
	})
}
