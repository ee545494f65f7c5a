package identity

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/sse-push/caddy-sse-push/internal/problem"
)

func chainOf(t *testing.T, settings Settings) *Chain {
	t.Helper()
	c, err := NewChain(settings, zap.NewNop(), new(problem.Complaints))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const nobody = "401" // as a user, in the tables: the client is refused

func TestIdentify(t *testing.T) {
	header := func(from ...string) UserSource { return UserSource{Source: "header", Name: "x-user-id", From: from} }
	query := UserSource{Source: "query", Name: "userId"}
	cookie := UserSource{Source: "cookie", Name: "uid"}
	text := func(s string) UserSource { return UserSource{Source: "placeholder", Name: s} }
	type lines = http.Header
	long := strings.Repeat("a", 256)

	for _, test := range []struct {
		name      string
		users     []UserSource
		anonymous bool
		url       string
		header    http.Header
		peer      string
		vars      map[string]any
		want      string
	}{
		{name: "header", users: []UserSource{header()}, header: lines{"X-User-Id": {"u1"}}, want: "u1"},
		{name: "header missing", users: []UserSource{header()}, want: nobody},
		{name: "header missing, anonymous", users: []UserSource{header()}, anonymous: true, want: ""},
		{name: "header empty", users: []UserSource{header()}, header: lines{"X-User-Id": {""}}, anonymous: true, want: ""},
		{name: "header empty twice", users: []UserSource{header()}, header: lines{"X-User-Id": {"", ""}}, anonymous: true, want: ""},
		{name: "header twice", users: []UserSource{header()}, header: lines{"X-User-Id": {"u1", "u2"}}, anonymous: true, want: nobody},
		{name: "header twice the same", users: []UserSource{header()}, header: lines{"X-User-Id": {"u1", "u1"}}, anonymous: true, want: nobody},
		{name: "header once empty", users: []UserSource{header()}, header: lines{"X-User-Id": {"", "u1"}}, anonymous: true, want: nobody},
		{name: "header too long", users: []UserSource{header()}, header: lines{"X-User-Id": {long}}, anonymous: true, want: nobody},
		{name: "header of the longest kind", users: []UserSource{header()}, header: lines{"X-User-Id": {long[1:]}}, want: long[1:]},
		{name: "header of bad UTF-8", users: []UserSource{header()}, header: lines{"X-User-Id": {"u\xff"}}, anonymous: true, want: nobody},
		{name: "a user named *", users: []UserSource{header()}, header: lines{"X-User-Id": {"*"}}, want: "*"},
		{name: "a user with spaces and umlauts", users: []UserSource{header()}, header: lines{"X-User-Id": {"Jürgen Groß"}}, want: "Jürgen Groß"},

		{name: "header from a trusted peer", users: []UserSource{header("10.0.0.0/8")}, header: lines{"X-User-Id": {"u1"}}, peer: "10.1.2.3:999", want: "u1"},
		{name: "header from a trusted peer, IPv6", users: []UserSource{header("fd00::/8")}, header: lines{"X-User-Id": {"u1"}}, peer: "[fd00::1]:999", want: "u1"},
		{name: "header from another peer", users: []UserSource{header("10.0.0.0/8")}, header: lines{"X-User-Id": {"u1"}}, peer: "192.0.2.1:999", want: nobody},
		{name: "header from another peer counts as absent", users: []UserSource{header("10.0.0.0/8"), query}, url: "/?userId=u2", header: lines{"X-User-Id": {"u1", "u3"}}, peer: "192.0.2.1:999", want: "u2"},
		{name: "header from another peer that says it was forwarded", users: []UserSource{header("10.0.0.0/8")}, header: lines{"X-User-Id": {"u1"}, "X-Forwarded-For": {"10.1.2.3"}}, peer: "192.0.2.1:999", want: nobody},

		{name: "query", users: []UserSource{query}, url: "/?userId=a%2Fb", want: "a/b"},
		{name: "query missing", users: []UserSource{query}, url: "/?user=u1", want: nobody},
		{name: "query empty", users: []UserSource{query}, url: "/?userId=", want: nobody},
		{name: "query twice", users: []UserSource{query}, url: "/?userId=u1&userId=u1", anonymous: true, want: nobody},
		{name: "query with a NUL", users: []UserSource{query}, url: "/?userId=u%00", anonymous: true, want: nobody},

		{name: "cookie", users: []UserSource{cookie}, header: lines{"Cookie": {"a=b; uid=u1; c=d"}}, want: "u1"},
		{name: "cookie quoted", users: []UserSource{cookie}, header: lines{"Cookie": {`uid="u1"`}}, want: "u1"},
		{name: "cookie with =", users: []UserSource{cookie}, header: lines{"Cookie": {"uid=dTE="}}, want: "dTE="},
		{name: "cookie missing", users: []UserSource{cookie}, header: lines{"Cookie": {"xuid=u1; uid2=u1; uid"}}, want: nobody},
		{name: "cookie of another case", users: []UserSource{cookie}, header: lines{"Cookie": {"UID=u1"}}, want: nobody},
		{name: "cookie empty", users: []UserSource{cookie}, header: lines{"Cookie": {"uid="}}, anonymous: true, want: ""},
		{name: "cookie twice", users: []UserSource{cookie}, header: lines{"Cookie": {"uid=u1; uid=u2"}}, anonymous: true, want: nobody},
		{name: "cookie in two lines", users: []UserSource{cookie}, header: lines{"Cookie": {"uid=u1", "uid=u1"}}, anonymous: true, want: nobody},
		{name: "cookie that net/http would leave out", users: []UserSource{cookie, query}, url: "/?userId=u2", header: lines{"Cookie": {"uid=u\x01"}}, want: nobody},

		{name: "placeholder", users: []UserSource{text("{http.auth.user.id}")}, vars: map[string]any{"http.auth.user.id": "u1"}, want: "u1"},
		{name: "placeholder of a header", users: []UserSource{text("{http.request.header.X-User-ID}")}, header: lines{"X-User-Id": {"u1"}}, want: "u1"},
		{name: "placeholder that is a number", users: []UserSource{text("{http.vars.id}")}, vars: map[string]any{"http.vars.id": 7}, want: "7"},
		{name: "placeholder unknown", users: []UserSource{text("{http.auth.user.id}")}, anonymous: true, want: ""},
		{name: "placeholder empty", users: []UserSource{text("{http.request.header.X-User-ID}")}, anonymous: true, want: ""},
		{name: "placeholder empty in a text", users: []UserSource{text("tenant-{http.request.header.X-User-ID}")}, anonymous: true, want: ""},
		{name: "placeholder in a text", users: []UserSource{text("tenant-{http.request.header.X-User-ID}")}, header: lines{"X-User-Id": {"7"}}, want: "tenant-7"},
		{name: "placeholder with a control character", users: []UserSource{text("{http.vars.id}"), query}, url: "/?userId=u1", vars: map[string]any{"http.vars.id": "a\nb"}, want: nobody},
		{name: "what a client sends is no placeholder", users: []UserSource{text("{http.request.header.X-User-ID}")}, header: lines{"X-User-Id": {"{http.vars.secret}"}}, vars: map[string]any{"http.vars.secret": "s"}, want: "{http.vars.secret}"},

		{name: "chain, the first", users: []UserSource{header(), query}, url: "/?userId=u2", header: lines{"X-User-Id": {"u1"}}, want: "u1"},
		{name: "chain, the second", users: []UserSource{header(), query}, url: "/?userId=u2", want: "u2"},
		{name: "chain, the first invalid", users: []UserSource{header(), query}, url: "/?userId=u2", header: lines{"X-User-Id": {"u\xff"}}, anonymous: true, want: nobody},
		{name: "chain, none", users: []UserSource{header(), query}, anonymous: true, want: ""},
		{name: "only anonymous", url: "/?userId=u1", anonymous: true, want: ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := chainOf(t, Settings{Users: test.users, Anonymous: test.anonymous})
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			if test.url != "" {
				r = httptest.NewRequest(http.MethodGet, test.url, nil)
			}
			if test.header != nil {
				r.Header = test.header
			}
			if test.peer != "" {
				r.RemoteAddr = test.peer
			}
			repl := caddyhttp.NewTestReplacer(r)
			for name, value := range test.vars {
				repl.Set(name, value)
			}
			id, p := c.Identify(r, nil, nil)
			switch {
			case p != nil && p.Status != http.StatusUnauthorized:
				t.Errorf("got status %d", p.Status)
			case p != nil && id.User != "":
				t.Errorf("refused, but still user %q", id.User)
			case p != nil && test.want != nobody:
				t.Errorf("refused: %v", p)
			case p == nil && id.User != test.want:
				t.Errorf("got user %q, want %q", id.User, test.want)
			}
		})
	}
}

// The user of a POST may be in its body, but then not in the URL as well.
func TestIdentifyByParameters(t *testing.T) {
	c := chainOf(t, Settings{Users: []UserSource{{Source: "query", Name: "userId"}}})
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	caddyhttp.NewTestReplacer(r)
	if id, p := c.Identify(r, url.Values{"userId": {"u1"}}, nil); p != nil || id.User != "u1" {
		t.Errorf("got %q, %v", id.User, p)
	}
	if _, p := c.Identify(r, url.Values{"userId": {"u1", "u2"}}, nil); p == nil || p.Status != http.StatusUnauthorized || p.Field != "userId" {
		t.Errorf("got %v", p)
	}
}

// A client without a user is told which sources were asked, so that a misspelt parameter is seen, but not the names of headers.
func TestIdentifyNamesItsSources(t *testing.T) {
	c := chainOf(t, Settings{Users: []UserSource{{Source: "header", Name: "X-User-ID"}, {Source: "query", Name: "userid"}}})
	r := httptest.NewRequest(http.MethodGet, "/?userId=u1", nil)
	caddyhttp.NewTestReplacer(r)
	const want = "the request names no user (header, query userid), and clients without one are refused"
	if _, p := c.Identify(r, nil, nil); p == nil || p.Status != http.StatusUnauthorized || p.Detail != want {
		t.Errorf("got %v, want %s", p, want)
	}
}

func TestGrant(t *testing.T) {
	for _, test := range []struct {
		topics []string
		user   string
		vars   map[string]any
		want   []string
	}{
		{topics: nil, user: "u1", want: nil},
		{topics: []string{"public/*", "news"}, want: []string{"public/*", "news"}},
		{topics: []string{"user/{user}/**", "public"}, user: "u1", want: []string{"user/u1/**", "public"}},
		{topics: []string{"user/{user}/**", "public"}, user: "", want: []string{"public"}},
		{topics: []string{"user/{user}"}, user: "*", want: []string{"user/%2A"}},
		{topics: []string{"user/{user}"}, user: "**", want: []string{"user/%2A%2A"}},
		{topics: []string{"user/{user}/x"}, user: "a/b", want: []string{"user/a%2Fb/x"}},
		{topics: []string{"user/{user}"}, user: "%2A", want: []string{"user/%252A"}},
		{topics: []string{"user/{user}"}, user: "{http.vars.x}", vars: map[string]any{"http.vars.x": "root"}, want: []string{"user/{http.vars.x}"}},
		{topics: []string{"{user}-{user}"}, user: "*", want: []string{"%2A-%2A"}},
		{topics: []string{"{http.vars.x}/*"}, vars: map[string]any{"http.vars.x": "a/**"}, want: []string{"a%2F%2A%2A/*"}},
		{topics: []string{"t/{http.vars.x}"}, vars: map[string]any{"http.vars.x": 7}, want: []string{"t/7"}},
		{topics: []string{"t/{http.vars.x}", "ok"}, vars: map[string]any{"http.vars.x": ""}, want: []string{"ok"}},
		{topics: []string{"t-{http.vars.x}/news", "ok"}, vars: map[string]any{"http.vars.x": ""}, want: []string{"ok"}},
		{topics: []string{"t/{http.vars.unknown}/*", "ok"}, want: []string{"ok"}},
		{topics: []string{"t/{http.vars.x}", "ok"}, vars: map[string]any{"http.vars.x": "a\xff/"}, want: []string{"ok"}},
		{topics: []string{"t/{http.vars.x}", "ok"}, vars: map[string]any{"http.vars.x": "a\nb"}, want: []string{"t/a%0Ab", "ok"}},
		{topics: []string{"t/{http.vars.x}", "ok"}, vars: map[string]any{"http.vars.x": strings.Repeat("a", 254)}, want: []string{"ok"}},
	} {
		c := chainOf(t, Settings{
			Users:     []UserSource{{Source: "placeholder", Name: "{http.vars.user}"}},
			Anonymous: true,
			Topics:    test.topics,
		})
		for _, topic := range test.topics {
			if err := CheckRouteTopic(topic); err != nil {
				t.Fatal(err)
			}
		}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		repl := caddyhttp.NewTestReplacer(r)
		repl.Set("http.vars.user", test.user)
		for name, value := range test.vars {
			repl.Set(name, value)
		}
		id, p := c.Identify(r, nil, nil)
		if p != nil || id.User != test.user {
			t.Fatalf("got user %q, %v", id.User, p)
		}
		if !slices.Equal(id.Topics, test.want) {
			t.Errorf("topics %q, user %q: got %q, want %q", test.topics, test.user, id.Topics, test.want)
		}
	}
}

// A grant without placeholders costs nothing per connection.
func TestGrantIsShared(t *testing.T) {
	topics := []string{"public/*"}
	c := chainOf(t, Settings{Anonymous: true, Topics: topics})
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	caddyhttp.NewTestReplacer(r)
	if id, _ := c.Identify(r, nil, nil); &id.Topics[0] != &topics[0] {
		t.Error("the grant was copied")
	}
}

func TestGranted(t *testing.T) {
	id := Identity{Topics: []string{"news", "public/*", "user/u1/**", "a/*/c"}}
	for topic, want := range map[string]bool{
		"news":          true,
		"news/x":        false,
		"public/x":      true,
		"public/x/y":    false,
		"public":        false,
		"user/u1/a/b/c": true,
		"user/u1":       false,
		"user/u2/a":     false,
		"a/b/c":         true,
		"a/b/d":         false,
		// A pattern must be in the grant as it is, however much one of the grant would cover it.
		"public/*":    true,
		"user/u1/**":  true,
		"user/u1/*":   false,
		"user/u1/a/*": false,
		"a/*/c":       true,
		"**":          false,
		"*":           false,
		"public/**":   false,
	} {
		if got := id.Granted(topic); got != want {
			t.Errorf("%s: got %v", topic, got)
		}
	}
	if (Identity{}).Granted("news") {
		t.Error("an empty grant granted something")
	}
}

func TestWarnings(t *testing.T) {
	for _, test := range []struct {
		source UserSource
		want   string // what the only warning holds; "" for none
	}{
		{UserSource{Source: "query", Name: "userId"}, "user query userId: any client can set it"},
		{UserSource{Source: "cookie", Name: "uid"}, "user cookie uid: any client can set it"},
		{UserSource{Source: "header", Name: "X-User-ID"}, "user header X-User-Id: any client can set it"},
		{UserSource{Source: "header", Name: "X-User-ID", From: []string{"10.0.0.0/8"}}, ""},
		{UserSource{Source: "header", Name: "X_User", From: []string{"10.0.0.0/8"}}, "Caddy drops headers"},
		{UserSource{Source: "placeholder", Name: "{http.auth.user.id}"}, ""},
		{UserSource{Source: "placeholder", Name: "{http.request.header.X-User-ID}"}, ""},
		{UserSource{Source: "placeholder", Name: "{http.request.uri.query.userId}"}, "any client can set it"},
	} {
		got := chainOf(t, Settings{Users: []UserSource{test.source}}).Warnings()
		if test.want == "" && len(got) > 0 || test.want != "" && (len(got) != 1 || !strings.Contains(got[0], test.want)) {
			t.Errorf("%v: got %q, want %q", test.source, got, test.want)
		}
	}
	if got := chainOf(t, Settings{Anonymous: true}).Warnings(); !reflect.DeepEqual(got, []string(nil)) {
		t.Errorf("got %q", got)
	}
}

// A client is admitted once: before an app is asked about it, or else when its user is known; one without a user or with a
// bad proof is not. If it is not admitted, that is the answer, and no app is asked.
func TestIdentifyAdmits(t *testing.T) {
	var asked atomic.Int64
	users := []UserSource{
		{Source: "ticket", Ticket: &Ticket{Secrets: []string{secretA}}},
		{Source: "authorize", Authorize: &Authorize{Target: app(t, func(w http.ResponseWriter, r *http.Request) {
			asked.Add(1)
			if r.Header.Get("Cookie") == "id=u1" {
				w.Header().Set("X-SSE-User", "u1")
			}
		})}},
		{Source: "header", Name: "X-User"},
	}
	good := ticketOf(secretA, fmt.Sprintf(`{"user":"u1","exp":%d}`, time.Now().Unix()+60))
	for name, test := range map[string]struct {
		url, cookie, header string
		anonymous           bool
		admitted            int64 // how often the client is
		asked               int64 // how often the app is
		known               bool
	}{
		"a ticket":                 {url: "/?ticket=" + good, admitted: 1, known: true},
		"a bad ticket":             {url: "/?ticket=x"},
		"a header":                 {header: "u1", admitted: 1, known: true},
		"a bad header":             {header: "u\xff"},
		"a session":                {cookie: "id=u1", admitted: 1, asked: 1, known: true},
		"no session":               {cookie: "id=", admitted: 1, asked: 1},
		"no session, and a header": {cookie: "id=", header: "u1", admitted: 1, asked: 1, known: true},
		"a cookie without end":     {cookie: strings.Repeat("a", maxAsked+1), admitted: 1},
		"nothing":                  {},
		"nothing, anonymous":       {anonymous: true, admitted: 1, known: true},
	} {
		for _, refuses := range []bool{false, true} {
			c := chainOf(t, Settings{Users: users, Anonymous: test.anonymous})
			r := httptest.NewRequest(http.MethodGet, cmp.Or(test.url, "/"), nil)
			if test.cookie != "" {
				r.Header.Set("Cookie", test.cookie)
			}
			if test.header != "" {
				r.Header.Set("X-User", test.header)
			}
			caddyhttp.NewTestReplacer(r)
			asked.Store(0)
			var admitted int64
			full := problem.New(http.StatusServiceUnavailable, "full")
			_, p := c.Identify(r, nil, func() *problem.Problem {
				if admitted++; asked.Load() != 0 {
					t.Errorf("%s: the app is asked first", name)
				}
				if refuses {
					return full
				}
				return nil
			})
			switch {
			case admitted != test.admitted:
				t.Errorf("%s: admitted %d times", name, admitted)
			case refuses && admitted > 0 && (p != full || asked.Load() != 0):
				t.Errorf("%s: not admitted: got %v, and the app is asked %d times", name, p, asked.Load())
			case !refuses && ((p == nil) != test.known || asked.Load() != test.asked):
				t.Errorf("%s: got %v, and the app is asked %d times", name, p, asked.Load())
			}
		}
	}
}

// What a connection keeps of its request, and what a later config makes of it.
func TestRegrant(t *testing.T) {
	before := chainOf(t, Settings{Anonymous: true, Topics: []string{"public", "user/{user}", "tenant/{http.vars.tenant}/*", "gone/{http.vars.none}"}})
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	caddyhttp.NewTestReplacer(r).Set("http.vars.tenant", "a/b")
	filled := before.Filled(r, "u1")
	if want := map[string]string{"tenant/{http.vars.tenant}/*": "tenant/a%2Fb/*"}; !maps.Equal(filled, want) {
		t.Errorf("keeps %q", filled)
	}
	after := chainOf(t, Settings{Topics: []string{"user/{user}", "tenant/{http.vars.tenant}/*", "new/{http.vars.tenant}", "news"}})
	id := after.Regrant("u1", filled, &Grant{User: "u1", Topics: []string{"own"}})
	if want := []string{"user/u1", "tenant/a%2Fb/*", "news", "own"}; !slices.Equal(id.Topics, want) {
		t.Errorf("grants %q", id.Topics)
	}
	if filled := chainOf(t, Settings{Topics: []string{"public", "user/{user}"}}).Filled(r, "u1"); filled != nil {
		t.Errorf("without placeholders of the request, keeps %q", filled)
	}
}
