package e2e_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/test/harness"
)

// Every site here has the same two lines, in the middle of what sites are made of.
const directive = `
	sse_push /events {
		user query userId
		internal /_sse {
			allow loopback
		}
	}
`

// checkPush publishes to one of two users of a site.
func checkPush(t *testing.T, url string, headers ...string) {
	t.Helper()
	route := harness.Route{URL: url + "/_sse"}
	u1, u2 := harness.Open(t, url+"/events?userId=u1", headers...), harness.Open(t, url+"/events?userId=u2", headers...)
	u1.Connected()
	u2.Connected()
	route.Publish(t, harness.Event{"user": "u1", "data": "for u1"})
	u1.Expect("for u1") // while the stream is open, so nothing holds it back
	route.Publish(t, harness.Event{"broadcast": true, "data": "for all"})
	u1.Expect("for all")
	u2.Expect("for all")
	for _, s := range []*harness.Stream{u1, u2} {
		if got := s.Header().Get("Content-Encoding"); got != "" {
			t.Errorf("the stream has Content-Encoding %q", got)
		}
		s.Leave()
	}
	harness.EventuallyEqual(t, "connections", 0, func() int { return route.Connections(t, "") })
}

func checkPage(t *testing.T, url, want string) {
	t.Helper()
	status, body, _ := harness.Fetch(t, url)
	if status != http.StatusOK || !strings.Contains(body, want) {
		t.Errorf("GET %s: %d %.200q, want 200 and %q in it", url, status, body, want)
	}
}

func testdata(t *testing.T, name string) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestSiteWithTryFiles(t *testing.T) {
	t.Parallel()
	url := serve(t, "root * "+testdata(t, "site")+"\n try_files {path} /index.html\n file_server\n"+directive)
	checkPush(t, url)
	checkPage(t, url+"/deep/link", "single page")
	// Nothing below the prefix becomes the page.
	if status, body, _ := harness.Fetch(t, url+"/_sse/nothing"); status != http.StatusNotFound {
		t.Errorf("GET /_sse/nothing: %d %.100q, want 404", status, body)
	}
}

func TestSiteWithHandle(t *testing.T) {
	t.Parallel()
	php := harness.StartPHP(t, 2, testdata(t, "php"))
	rest := `
	handle /api/* {
		reverse_proxy ` + php + `
	}
	handle {
		root * ` + testdata(t, "site") + `
		try_files {path} /index.html
		file_server
	}
`
	for name, body := range map[string]string{
		"beside":   directive + rest,
		"in route": "route {" + directive + rest + "}",
		"in handle": `
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
	}` + rest,
	} {
		t.Run(name, func(t *testing.T) {
			url := serve(t, body)
			checkPush(t, url)
			checkPage(t, url+"/api/x", "app GET /api/x")
			checkPage(t, url+"/deep/link", "single page")
		})
	}
}

func TestSiteWithEncode(t *testing.T) {
	t.Parallel()
	url := serve(t, "encode gzip\n root * "+testdata(t, "site")+"\n file_server\n"+directive)
	checkPush(t, url, "Accept-Encoding", "gzip")

	req, err := http.NewRequest(http.MethodGet, url+"/index.html", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept-Encoding", "gzip")
	res, err := harness.Client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if got := res.Header.Get("Content-Encoding"); got != "gzip" {
		t.Errorf("the page has Content-Encoding %q, so encode was not at work", got)
	}
}

func TestSiteWithAccessLog(t *testing.T) {
	t.Parallel()
	path := filepath.Join(harness.Dir(t), "access.log")
	url := serve(t, "log {\n output file "+path+"\n }\n"+directive)
	checkPush(t, url)
	logged := func() (streams int) {
		content, _ := os.ReadFile(path)
		for line := range strings.Lines(string(content)) {
			var entry struct {
				Status  int
				Request struct{ URI string }
			}
			if json.Unmarshal([]byte(line), &entry) == nil && strings.HasPrefix(entry.Request.URI, "/events?") && entry.Status == 200 {
				streams++
			}
		}
		return streams
	}
	stream := harness.Open(t, url+"/events?userId=u1")
	stream.Connected()
	stream.Leave()
	brokertest.Eventually(t, "the access log tells of a stream", func() bool { return logged() > 0 })
}

func TestSiteWithForwardAuth(t *testing.T) {
	t.Parallel()
	php := harness.StartPHP(t, 2, testdata(t, "php"))
	internal := harness.Port(t)
	caddyfile, url := site(t, `
	forward_auth `+php+` {
		uri /whoami.php
		copy_headers X-User-ID
	}
	sse_push /events {
		hub main
		user {http.request.header.X-User-ID}
	}
	reverse_proxy `+php)
	harness.StartCaddy(t, caddyfile+"http://127.0.0.1:"+internal+" {\n sse_push {\n hub main\n internal /_sse {\n allow loopback\n }\n }\n}")
	route := harness.Route{URL: "http://127.0.0.1:" + internal + "/_sse"}

	ann := harness.Open(t, url+"/events", "Cookie", "session=ann-session")
	liar := harness.Open(t, url+"/events", "Cookie", "session=ben-session", "X-User-ID", "ann")
	if who := ann.Connected().User; who == nil || *who != "ann" {
		t.Errorf("ann is %v", who)
	}
	if who := liar.Connected().User; who == nil || *who != "ben" {
		t.Errorf("ben, who says that he is ann, is %v", who)
	}
	route.Publish(t, harness.Event{"user": "ann", "data": "for ann"})
	route.Publish(t, harness.Event{"user": "ben", "data": "for ben"})
	ann.Expect("for ann")
	liar.Expect("for ben")

	for name, headers := range map[string][]string{
		"nobody":                         nil,
		"nobody who says that he is ann": {"X-User-ID", "ann"},
		"the same as PHP would read it":  {"X_User_ID", "ann"},
		"a false session":                {"Cookie", "session=guess"},
		"a false session that says ann":  {"Cookie", "session=guess", "X-User-ID", "ann"},
	} {
		if status, body, _ := harness.Fetch(t, url+"/events", headers...); status != http.StatusUnauthorized {
			t.Errorf("%s: status %d, want 401: %.100q", name, status, body)
		}
	}
	checkPage(t, url+"/page", "app GET /page")
}
