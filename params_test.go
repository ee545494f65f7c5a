package ssepush_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// Topics are heard under every name that a framework or a library spells a list by, in the URL and in a body.
func TestTopicSpellings(t *testing.T) {
	s := serve(t, route(""))
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
		{"topic[]=public/a,b", formType, "topics[0]=public/c,d", []string{"public/a,b", "public/c,d"}},
		{"", formType, "topic[]=room&topics=public/a", []string{"public/a", "room"}},
		{"", jsonType, `{"topics": ["room", "public/a"]}`, []string{"public/a", "room"}},
		{"topic=public/b", jsonType, `{"topic[]": ["room"], "topics": "public/a,b"}`, []string{"public/a,b", "public/b", "room"}},
		{"", jsonType, `{"topics": []}`, nil},
	} {
		methods := []string{http.MethodPost, "QUERY"}
		if test.kind == "" {
			methods = append(methods, http.MethodGet)
		}
		for _, method := range methods {
			c := s.stream(method, "/events?"+test.query, test.body, "Content-Type", test.kind, "Accept", eventStream).begin()
			if slices.Sort(c.connected.Topics); !slices.Equal(c.connected.Topics, test.topics) {
				t.Errorf("%s ?%s %s: got %q, want %q", method, test.query, test.body, c.connected.Topics, test.topics)
			}
			c.close()
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
		a := s.do(http.MethodGet, "/events?"+query, "", "Accept", eventStream)
		if fmt.Sprint(a.status) != want[0] || !strings.Contains(a.body, want[1]) {
			t.Errorf("%.60s: got %d %s, want %s", query, a.status, a.body, want)
		}
	}
	// Names that only begin so are the app's.
	if c := s.open("/events?topical=room&topicsx[]=room&Topic=room"); len(c.connected.Topics) > 0 {
		t.Errorf("got %q", c.connected.Topics)
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
	overAll(t, func(t *testing.T, protocol, tls string) {
		s := serve(t, tls+app("upstream\ncors_origins "+listedPage, "reverse_proxy "+strings.TrimPrefix(server.URL, "http://")))
		s.via(protocol)
		first := s.publish("user", "u1", "data", "before")
		s.publish("user", "u1", "data", "missed")
		form := "last_event_id=" + url.QueryEscape(first)
		for _, method := range []string{http.MethodPost, "QUERY"} {
			for kind, body := range map[string]string{
				formType: form, "application/json": `{"last_event_id": "` + first + `", "filter": {"nested": [1.5, true]}}`,
			} {
				c := s.stream(method, "/events", body, "Content-Type", kind, "Accept", eventStream, "Want", "stream", "Origin", listedPage).begin()
				if c.connected.User == nil || *c.connected.User != "u1" || c.header.Get("Access-Control-Allow-Origin") != listedPage {
					t.Errorf("%s: got %+v %v", kind, c.connected, c.header)
				}
				if got, want := c.next().Data, fmt.Sprintf("%s %s %d %s map[]", method, kind, len(body), body); got != want {
					t.Errorf("the app got %q, want %q", got, want)
				}
				c.want("missed")
				c.close()
			}
			// A body that holds no parameters, and an answer that asks for no stream.
			a := s.do(method, "/events", "<xml/>", "Content-Type", "text/xml")
			if want := method + " text/xml 6 <xml/> map[]"; a.status != 200 || a.body != want {
				t.Errorf("got %d %q, want %q", a.status, a.body, want)
			}
			if a := s.do(method, "/events", "replay=some", "Content-Type", formType); a.status != 400 || !strings.Contains(a.body, `"field":"replay"`) {
				t.Errorf("replay=some: got %d %s", a.status, a.body)
			}
			if a := s.do(method, "/events", strings.Repeat("x", 65<<10), "Content-Type", "text/plain"); a.status != http.StatusRequestEntityTooLarge {
				t.Errorf("too large: got %d %s", a.status, a.body)
			}
			if a := s.do(method, "/events", form, "Content-Type", formType, "Origin", "https://evil.example"); a.status != http.StatusForbidden {
				t.Errorf("another page: got %d %s", a.status, a.body)
			}
		}
		if a := s.do(http.MethodDelete, "/events", ""); a.status != http.StatusMethodNotAllowed {
			t.Errorf("DELETE: got %d %s", a.status, a.body)
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
	s := serve(t, app("upstream", "reverse_proxy "+strings.TrimPrefix(server.URL, "http://")))
	a := s.raw("POST /events HTTP/1.1\r\nHost: " + s.addr + "\r\nConnection: close\r\nTrailer: X-SSE-User, Sum\r\nTransfer-Encoding: chunked\r\n\r\n" +
		"5\r\nhello\r\n0\r\nX-SSE-User: admin\r\nSum: 1\r\n\r\n")
	if a.status != 200 || a.body != "hello map[Sum:[1]] []" {
		t.Errorf("got %d %q", a.status, a.body)
	}
}
