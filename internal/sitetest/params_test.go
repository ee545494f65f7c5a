package sitetest_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// Topics are heard under every name that a framework or a library spells a list by, in the URL and in a body.
func TestTopicSpellings(t *testing.T) {
	s := sitetest.Serve(t, sitetest.Route(""))
	const jsonType = "application/json"
	for _, test := range []struct {
		query, kind, body string
		topics            []string
	}{
		{"topic=room&topic=public/a", "", "", []string{"public/a", "room"}},
		{"topic[]=room&topic[]=public/a", "", "", []string{"public/a", "room"}},
		{"topic%5B%5D=room&topics%5B%5D=public/a", "", "", []string{"public/a", "room"}},
		{"topic[0]=room&topic[1]=public/a&topic[10]=public/b", "", "", []string{"public/a", "public/b", "room"}},
		{"topics=room&topics=public/a", "", "", []string{"public/a", "room"}},
		{"topics[]=room&topic=room&topics[first]=public/a", "", "", []string{"public/a", "room"}},
		{"topics=public/a,b", "", "", []string{"public/a,b"}}, // a comma is a letter
		{"topic[]=public/a,b", sitetest.FormType, "topics[0]=public/c,d", []string{"public/a,b", "public/c,d"}},
		{"", sitetest.FormType, "topic[]=room&topics=public/a", []string{"public/a", "room"}},
		{"", jsonType, `{"topics": ["room", "public/a"]}`, []string{"public/a", "room"}},
		{"topic=public/b", jsonType, `{"topic[]": ["room"], "topics": "public/a,b"}`, []string{"public/a,b", "public/b", "room"}},
		{"", jsonType, `{"topics": []}`, nil},
	} {
		methods := []string{http.MethodPost, "QUERY"}
		if test.kind == "" {
			methods = append(methods, http.MethodGet)
		}
		for _, method := range methods {
			c := s.Stream(method, "/events?"+test.query, test.body, "Content-Type", test.kind, "Accept", sitetest.EventStream).Begin()
			if slices.Sort(c.Connected.Topics); !slices.Equal(c.Connected.Topics, test.topics) {
				t.Errorf("%s ?%s %s: got %q, want %q", method, test.query, test.body, c.Connected.Topics, test.topics)
			}
			c.Close()
		}
	}
	for query, want := range map[string][2]string{
		"topics=room,public/a":                    {"403", `"room,public/a\" is not granted`},
		"topic[]=secret":                          {"403", "is not granted"},
		"topic[0]=secret&topic=room":              {"403", "is not granted"},
		"topics[]=":                               {"400", `"field":"topic"`},
		"topic[0][1]=room":                        {"400", `"field":"topic[0][1]"`},
		"topic[=room":                             {"400", `"field":"topic["`},
		strings.Repeat("topic[]=a&topics=b&", 51): {"400", "at most 100"},
	} {
		a := s.Do(http.MethodGet, "/events?"+query, "", "Accept", sitetest.EventStream)
		if fmt.Sprint(a.Status) != want[0] || !strings.Contains(a.Body, want[1]) {
			t.Errorf("%.60s: got %d %s, want %s", query, a.Status, a.Body, want)
		}
	}
	// Names that only begin so are the app's.
	if c := s.Open("/events?topical=room&topicsx[]=room&Topic=room"); len(c.Connected.Topics) > 0 {
		t.Errorf("got %q", c.Connected.Topics)
	}
}

// With upstream, what a client posts goes to the app as what it gets does, and becomes a stream as well.
func TestUpstreamTakesPosts(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("X-SSE-Hold", r.Header.Get("Want"))
		w.Header().Set("X-SSE-User", "u1")
		data := fmt.Sprintf("%s %s %d %s %v", r.Method, r.Header.Get("Content-Type"), r.ContentLength, body, r.Trailer)
		if r.Header.Get("Want") == "stream" {
			data = "data: " + strings.ReplaceAll(data, "\n", " ") + "\n\n"
		}
		io.WriteString(w, data)
	}))
	t.Cleanup(server.Close)
	sitetest.OverAll(t, func(t *testing.T, protocol, tls string) {
		s := sitetest.Serve(t, tls+app("upstream\ncors_origins "+listedPage, "reverse_proxy "+strings.TrimPrefix(server.URL, "http://")))
		s.Via(protocol)
		first := s.Publish("user", "u1", "data", "before")
		s.Publish("user", "u1", "data", "missed")
		form := "last_event_id=" + url.QueryEscape(first)
		for _, method := range []string{http.MethodPost, "QUERY"} {
			for kind, body := range map[string]string{
				sitetest.FormType: form, "application/json": `{"last_event_id": "` + first + `", "filter": {"nested": [1.5, true]}}`,
			} {
				c := s.Stream(method, "/events", body, "Content-Type", kind, "Accept", sitetest.EventStream, "Want", "stream", "Origin", listedPage).Begin()
				if c.Connected.User == nil || *c.Connected.User != "u1" || c.Header.Get("Access-Control-Allow-Origin") != listedPage {
					t.Errorf("%s: got %+v %v", kind, c.Connected, c.Header)
				}
				if got, want := c.Next().Data, fmt.Sprintf("%s %s %d %s map[]", method, kind, len(body), body); got != want {
					t.Errorf("the app got %q, want %q", got, want)
				}
				c.Want("missed")
				c.Close()
			}
			// A body that holds no parameters, and an answer that asks for no stream.
			a := s.Do(method, "/events", "<xml/>", "Content-Type", "text/xml")
			if want := method + " text/xml 6 <xml/> map[]"; a.Status != 200 || a.Body != want {
				t.Errorf("got %d %q, want %q", a.Status, a.Body, want)
			}
			if a := s.Do(method, "/events", "replay=some", "Content-Type", sitetest.FormType); a.Status != 400 || !strings.Contains(a.Body, `"field":"replay"`) {
				t.Errorf("replay=some: got %d %s", a.Status, a.Body)
			}
			if a := s.Do(method, "/events", strings.Repeat("x", 65<<10), "Content-Type", "text/plain"); a.Status != http.StatusRequestEntityTooLarge {
				t.Errorf("too large: got %d %s", a.Status, a.Body)
			}
			if a := s.Do(method, "/events", form, "Content-Type", sitetest.FormType, "Origin", "https://evil.example"); a.Status != http.StatusForbidden {
				t.Errorf("another page: got %d %s", a.Status, a.Body)
			}
		}
		if a := s.Do(http.MethodDelete, "/events", ""); a.Status != http.StatusMethodNotAllowed {
			t.Errorf("DELETE: got %d %s", a.Status, a.Body)
		}
	})
}

// A body whose trailers name a user is given to the app without them.
func TestUpstreamPostTrailers(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %v %v", body, r.Trailer, r.Header["X-Sse-User"])
	}))
	t.Cleanup(server.Close)
	s := sitetest.Serve(t, app("upstream", "reverse_proxy "+strings.TrimPrefix(server.URL, "http://")))
	a := s.Raw("POST /events HTTP/1.1\r\nHost: " + s.Addr + "\r\nConnection: close\r\nTrailer: X-SSE-User, Sum\r\nTransfer-Encoding: chunked\r\n\r\n" +
		"5\r\nhello\r\n0\r\nX-SSE-User: admin\r\nSum: 1\r\n\r\n")
	if a.Status != 200 || a.Body != "hello map[Sum:[1]] []" {
		t.Errorf("got %d %q", a.Status, a.Body)
	}
}
