package identity

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestAuthorizeAnswers(t *testing.T) {
	long := strings.Repeat("a", 256)
	for name, test := range map[string]struct {
		status        int
		header        http.Header
		user          string // "" for nobody
		topics        []string
		limit         int
		refused       int // the status; 0: for now
		public, cause string
	}{
		"a user":              {status: 200, header: http.Header{"X-Sse-User": {"u1"}}, user: "u1"},
		"204":                 {status: 204, header: http.Header{"X-Sse-User": {"u1"}}, user: "u1"},
		"topics":              {status: 200, header: http.Header{"X-Sse-User": {"u1"}, "X-Sse-Topics": {"a/b, c/*", "d"}}, user: "u1", topics: []string{"a/b", "c/*", "d"}},
		"topics as JSON":      {status: 200, header: http.Header{"X-Sse-User": {"u1"}, "X-Sse-Topics": {`["a, b", "c\/*"]`}}, user: "u1", topics: []string{"a, b", "c/*"}},
		"a limit":             {status: 200, header: http.Header{"X-Sse-User": {"u1"}, "X-Sse-Limit": {"2"}}, user: "u1", limit: 2},
		"nobody":              {status: 200},
		"nobody, in words":    {status: 200, header: http.Header{"X-Sse-User": {""}}},
		"401":                 {status: 401, header: http.Header{"X-Sse-User": {"u1"}}, refused: 401, public: "by the app", cause: "the app answered 401"},
		"403":                 {status: 403, refused: 403, public: "by the app", cause: "the app answered 403"},
		"a redirect":          {status: 302, header: http.Header{"X-Sse-User": {"u1"}, "Location": {"/login"}}, public: "authorize", cause: "redirect"},
		"an error":            {status: 500, header: http.Header{"X-Sse-User": {"u1"}}, public: "authorize", cause: "the app answered 500"},
		"nothing there":       {status: 404, header: http.Header{"X-Sse-User": {"u1"}}, public: "authorize", cause: "the app answered 404"},
		"two users":           {status: 200, header: http.Header{"X-Sse-User": {"u1", "u2"}}, public: "authorize", cause: "more than once"},
		"a tab in a user":     {status: 200, header: http.Header{"X-Sse-User": {"u\t1"}}, public: "authorize", cause: "control characters"},
		"a user not in UTF-8": {status: 200, header: http.Header{"X-Sse-User": {"u\xff"}}, public: "authorize", cause: "UTF-8"},
		"a user too long":     {status: 200, header: http.Header{"X-Sse-User": {long}}, public: "authorize", cause: "longer"},
		"too many topics":     {status: 200, header: http.Header{"X-Sse-User": {"u1"}, "X-Sse-Topics": {strings.Repeat("a,", 101)}}, public: "authorize", cause: "more than 100 topics"},
		"far too many topics": {status: 200, header: http.Header{"X-Sse-User": {"u1"}, "X-Sse-Topics": {strings.Repeat("a,", 20_000)}}, public: "authorize", cause: "more than 100 topics"},
		"a bad topic":         {status: 200, header: http.Header{"X-Sse-User": {"u1"}, "X-Sse-Topics": {"a*"}}, public: "authorize", cause: "must stand alone"},
		"broken JSON":         {status: 200, header: http.Header{"X-Sse-User": {"u1"}, "X-Sse-Topics": {`["a"`}}, public: "authorize", cause: "must be a JSON list"},
		"expires at a date":   {status: 200, header: http.Header{"X-Sse-User": {"u1"}, "X-Sse-Expires": {"Sat, 21 Nov 2026 13:00:00 GMT"}}, public: "authorize", cause: "X-SSE-Expires must be one whole number"},
		"expires as a stamp":  {status: 200, header: http.Header{"X-Sse-User": {"u1"}, "X-Sse-Expires": {"1800000000"}}, public: "authorize", cause: "X-SSE-Expires must be one whole number"},
		"expires at once":     {status: 200, header: http.Header{"X-Sse-User": {"u1"}, "X-Sse-Expires": {"0"}}, public: "authorize", cause: "X-SSE-Expires"},
		"a limit of none":     {status: 200, header: http.Header{"X-Sse-User": {"u1"}, "X-Sse-Limit": {"0"}}, public: "authorize", cause: "X-SSE-Limit"},
	} {
		t.Run(name, func(t *testing.T) {
			v := authorizerOf(t, Authorize{Target: app(t, func(w http.ResponseWriter, _ *http.Request) {
				for name, lines := range test.header {
					w.Header()[name] = lines
				}
				w.Header().Set("Set-Cookie", "session=stolen")
				w.WriteHeader(test.status)
			})})
			g, err := v.verify(arriving(asClient("id=1"), nil, "/events"))
			wantRefusal(t, err, test.refused, test.public, test.cause)
			if test.user == "" {
				if g != nil {
					t.Errorf("got %+v", g)
				}
			} else if g == nil || g.User != test.user || !slices.Equal(g.Topics, test.topics) || g.Limit != test.limit {
				t.Errorf("got %+v", g)
			}
		})
	}
}

func FuzzTopicsHeader(f *testing.F) {
	for _, seed := range []string{"a, b", `["a","b/*"]`, "a*", "[", "**", ",,", "a\x00", strings.Repeat("a/", 200)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		topics, err := topicsOf([]string{line})
		if err == nil && CheckTopics(topics) != nil {
			t.Errorf("%q: got %q", line, topics)
		}
	})
}
