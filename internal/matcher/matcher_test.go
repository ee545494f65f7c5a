package matcher_test

import (
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/internal/matcher"
)

const hubURL = "https://hub.example/.well-known/mercure"

func newBase(t testing.TB, hubURL string) *matcher.Base {
	t.Helper()
	b, err := matcher.NewBase(hubURL)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Each kind takes the same text in its own way.
func TestKinds(t *testing.T) {
	base := newBase(t, hubURL)
	topics := []string{
		"*", "books", "https://x/users/1", "https://x/users/*", "https://x/users/1/2", "https://x/users/", "https://x/users/{id}", "HTTPS://X:443/a/../users/1", "/users/1",
		"https://hub.example/users/1", "urn:uuid:1", "https://x/users/a,b", "https://x/users/é",
	}
	for _, c := range []struct {
		kind, text string
		want       []string
	}{
		{"", "*", topics},
		{"exact", "*", topics},
		{"urlpattern", "*", topics},
		{"template", "*", topics},
		{"", "https://x/users/*", []string{"https://x/users/*"}},
		{"exact", "https://x/users/{id}", []string{"https://x/users/{id}"}},
		{"exact", "https://x/users/:id", nil},
		{"urlpattern", "https://x/users/:id", []string{"https://x/users/1", "https://x/users/*", "https://x/users/{id}", "HTTPS://X:443/a/../users/1", "https://x/users/a,b", "https://x/users/é"}},
		{"urlpattern", "https://x/users/*", []string{"https://x/users/1", "https://x/users/*", "https://x/users/1/2", "https://x/users/", "https://x/users/{id}", "HTTPS://X:443/a/../users/1", "https://x/users/a,b", "https://x/users/é"}},
		{"urlpattern", "/users/:id", []string{"/users/1", "https://hub.example/users/1"}},
		{"urlpattern", "/:name", nil},
		{"urlpattern", "urn\\:uuid\\:*", []string{"urn:uuid:1"}},
		{"template", "https://x/users/{id}", []string{"https://x/users/1", "https://x/users/", "https://x/users/{id}", "https://x/users/a,b"}},
		{"template", "https://x/users/{+id}", []string{"https://x/users/1", "https://x/users/*", "https://x/users/1/2", "https://x/users/", "https://x/users/a,b"}},
		{"template", "https://x/users/*", []string{"https://x/users/*"}},
		{"template", "https://x/users/{", nil},
		{"template", "https://x/users/:id", nil},
		{"template", "{name}", []string{"books"}},
	} {
		m, err := compile(base, c.kind, c.text)
		if err != nil {
			t.Errorf("%s %s: %v", c.kind, c.text, err)
			continue
		}
		if m.Text() != c.text {
			t.Errorf("%s %s has the text %s", c.kind, c.text, m.Text())
		}
		for _, topic := range topics {
			if got, want := m.Match(topic), slices.Contains(c.want, topic); got != want {
				t.Errorf("%s %s: %s: got %v, want %v", c.kind, c.text, topic, got, want)
			}
		}
	}
}

// compile compiles a matcher of either protocol.
func compile(base *matcher.Base, kind, text string) (matcher.Matcher, error) {
	if kind == matcher.TypeTemplate {
		return matcher.Selector(text)
	}
	return base.Matcher(kind, text)
}

// What is refused, and the errors, which never repeat what the client sent.
func TestRefused(t *testing.T) {
	base := newBase(t, hubURL)
	for _, c := range []struct{ kind, text, want string }{
		{"urltemplate", "marker", "unknown matcher type"},
		{"URLPattern", "marker", "unknown matcher type"},
		{"", "", "must not be empty"},
		{"template", "", "must not be empty"},
		{"exact", strings.Repeat("m", 1025), "longer than 1024 bytes"},
		{"urlpattern", "https://marker/" + strings.Repeat("m", 1024), "longer than 1024 bytes"},
		{"template", "https://marker/" + strings.Repeat("m", 1024), "longer than 1024 bytes"},
		{"exact", "marker\xff", "UTF-8"},
		{"exact", "marker\n", "control or format"},
		{"exact", "marker\u0085", "control or format"},
		{"template", "marker\u202e", "control or format"},
		{"urlpattern", "marker\u200b", "control or format"},
		{"urlpattern", "https://marker/(.*)", "regular expression"},
		{"urlpattern", `https://marker/:id(\d+)`, "regular expression"},
		{"urlpattern", `https://marker/\\(a|b)`, "regular expression"},
		{"urlpattern", "https://marker/:id:id", "not a valid URL pattern"},
		{"urlpattern", "https://marker/{a", "not a valid URL pattern"},
		{"urlpattern", "https://mar ker/", "not a valid URL pattern"},
		{"urlpattern", "https://marker/" + strings.Repeat("*/", 17), "more than 16"},
		{"urlpattern", "https://*.marker/" + strings.Repeat(":a{:b}", 1) + strings.Repeat("/*", 14), "more than 16"},
		{"template", "https://marker/{a,b,c,d,e,f,g,h}{i,j,k,l,m,n,o,p,q}", "more than 16"},
	} {
		_, err := compile(base, c.kind, c.text)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "marker") {
			t.Errorf("%s %q: got %v, want %q", c.kind, c.text, err, c.want)
		}
	}
	for _, text := range []string{"https://x/" + strings.Repeat("*/", 16), `https://x/\(a\)`, strings.Repeat("m", 1024)} {
		if _, err := base.Matcher(matcher.TypeURLPattern, text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := matcher.Selector("{a,b,c,d,e,f,g,h}{i,j,k,l,m,n,o,p}"); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"", "mailto:x", "/path", "://"} {
		if _, err := matcher.NewBase(bad); err == nil {
			t.Errorf("%q is taken as a hub's URL", bad)
		}
	}
}

// A topic that addresses the hub's own path is found in any spelling.
func TestReserved(t *testing.T) {
	base := newBase(t, hubURL)
	for _, topic := range []string{
		"/.well-known/mercure", "/.well-known/mercure/", "/.well-known/mercure/subscriptions/a/b", "https://hub.example/.well-known/mercure/x",
		"http://other.example:8080/.well-known/mercure", "//other.example/.well-known/mercure", "/.well-known/%6Dercure/x", "/.well-known/%6dercure",
		"/%2ewell-known/mercure", "/.well-known/mercure/../mercure/x", "/.well-known/x/%2e%2e/mercure", "mercure", "./mercure/x", "../.well-known/mercure",
		"/.well-known/mercure?x", "/.well-known/mercure#x", `\.well-known\mercure\x`, "  /.well-known/mercure", "/.well-known/mer\tcure", "foo:/.well-known/mercure/x",
		"HTTPS:/.well-known/mercure", "?x", "#x", "https:mercure", "/a/%252e%252e/../../.well-known/mercure",
	} {
		if !base.Reserved(topic) {
			t.Errorf("%q is not reserved", topic)
		}
	}
	for _, topic := range []string{
		"/.well-known/mercures", "/.well-known/Mercure", "/mercure", "books", "https://x/books/1", "/.well-known/%256Dercure", "https://x/a/.well-known/mercure",
		"/.well-known%2Fmercure", "urn:/.well-known/mercures", "https://", "https://x:99999/.well-known/mercure", "/.well-known//mercure", "//.well-known/mercure",
	} {
		if base.Reserved(topic) {
			t.Errorf("%q is reserved", topic)
		}
	}
	other := newBase(t, "http://hub.example/hub/")
	for topic, want := range map[string]bool{"/hub": false, "/hub/": true, "/hub/x": true, "/.well-known/mercure": false} {
		if got := other.Reserved(topic); got != want {
			t.Errorf("below /hub/: %s: got %v", topic, got)
		}
	}
}

// Equal patterns are one value while they are in use, and none is kept after that.
func TestShared(t *testing.T) {
	base := newBase(t, hubURL)
	if newBase(t, hubURL) != base {
		t.Error("equal hubs have two bases")
	}
	pattern := func(base *matcher.Base, kind, text string) *matcher.Pattern {
		m, err := compile(base, kind, text)
		if err != nil {
			t.Fatal(err)
		}
		return m.Pattern()
	}
	first := pattern(base, "urlpattern", "https://x/:shared")
	if pattern(base, "urlpattern", "https://x/:shared") != first {
		t.Error("equal URL patterns are two values")
	}
	if pattern(newBase(t, "https://other.example/hub"), "urlpattern", "https://x/:shared") == first {
		t.Error("URL patterns of two hubs are one value")
	}
	template := pattern(base, "template", "https://x/{shared}")
	if pattern(base, "template", "https://x/{shared}") != template {
		t.Error("equal templates are two values")
	}
	if pattern(base, "exact", "*") != matcher.All || pattern(base, "template", "*") != matcher.All {
		t.Error("* is more than one value")
	}
	const many = 1000
	for i := range many {
		pattern(base, "urlpattern", "https://x/:gone"+strings.Repeat("x", i))
	}
	runtime.KeepAlive(first)
	for range 1000 {
		runtime.GC()
		if matcher.Cached() < many/2 {
			runtime.KeepAlive(template)
			return
		}
	}
	t.Errorf("%d patterns are left", matcher.Cached())
}

func TestSet(t *testing.T) {
	base := newBase(t, hubURL)
	var matchers []matcher.Matcher
	for _, c := range []struct{ kind, text string }{
		{"exact", "books"}, {"urlpattern", "https://x/:id"}, {"exact", "books"}, {"exact", "films"}, {"urlpattern", "https://x/:id"}, {"template", "https://y/{id}"},
	} {
		m, err := compile(base, c.kind, c.text)
		if err != nil {
			t.Fatal(err)
		}
		matchers = append(matchers, m)
	}
	s := matcher.NewSet(matchers...)
	names := s.Names()
	slices.Sort(names)
	if !slices.Equal(names, []string{"books", "films"}) || len(s.Patterns()) != 2 || s.Len() != 4 {
		t.Errorf("got names %v, %d patterns, %d matchers", names, len(s.Patterns()), s.Len())
	}
	if texts := s.Matchers(); texts[0].Text() != "books" || texts[1].Text() != "https://x/:id" || texts[1].Type() != "urlpattern" || texts[3].Type() != "template" {
		t.Errorf("got matchers %v", texts)
	}
	for topic, want := range map[string]bool{"books": true, "films": true, "book": false, "https://x/1": true, "https://y/1": true, "https://z/1": false, "*": false} {
		if got := s.Match(topic); got != want {
			t.Errorf("%s: got %v", topic, got)
		}
	}
	if s.Size() < 4*100 {
		t.Errorf("its size is %d", s.Size())
	}
	var none *matcher.Set
	if none.Match("books") || none.Names() != nil || none.Patterns() != nil || none.Size() != 0 || none.Len() != 0 {
		t.Error("no set matches something")
	}
}
