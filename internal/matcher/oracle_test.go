package matcher_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/dunglas/go-urlpattern"
	"github.com/yosida95/uritemplate/v3"

	"github.com/sse-push/caddy-sse-push/internal/matcher"
)

// Patterns and topics that try each part of the syntax.
var (
	urlPatterns = []string{
		"https://x/books/:id", "https://x/books/*", "https://x/*", "https://*/books/1", "https://*.x/books", "https://:sub.x/books/:id.json", "*://x/books", "http{s}?://x/books",
		"https://x:8080/books", "https://x:*/books", "https://x/books/:id?", "https://x/books/:id+", "https://x/books/:id*", "https://x/books{/}?", "https://x/{books/}+1",
		"https://x/books{/edition}*", "https://x/a{-:id}?b", "https://x/a{b:id}*", "https://x/:a-:b", "https://x/:a{:b}", "https://x/:a{*}", "https://x/**", "https://x/*?", "https://x/*+",
		"https://x/**/*", "https://x/:a{b}", "https://x/books?q=:q", "https://x/books\\?q=*", "https://x/books#*", "https://x/books#a", "https://user@x/books", "https://*:*@x/books",
		"/books/:id", "books/:id", "../books/:id", "?q=:q", "#*", "/*", "/", "*", "https://[\\:\\:1]/books", "https://x/%C3%A9/:id", "https://x/é/:id", "https://é.x/:id",
		"urn\\:uuid\\:*", "data\\:foo*", "foo:/a/:b", "foo://h/a/:b", "https://x/\\:id", "https://x/a\\*b", "https://x/a\\{b\\}", "https://x/.", "https://x/a/../:b", "https://X/A/:b",
		"https://x/{}?a", "https://x/{:a}?/{:b}?", "https://x/:a?/:b?/:c?", "https://x/a/{*}?b", "https://x/{/:a}+", "https://x/:é", "ws{s}?://x/:a", "file:///a/:b", "https://x", "https://x?",
	}
	urlTopics = []string{
		"https://x/books/1", "https://x/books/", "https://x/books", "https://x/books/1/2", "https://x/books/1.json", "https://a.x/books", "https://a.x/books/1.json", "http://x/books",
		"https://x:8080/books", "https://x/books/edition/edition", "https://x/a-1b", "https://x/ab", "https://x/a", "https://x/ab1b2", "https://x/1-2", "https://x/a-b-c", "https://x/",
		"https://x", "https://x/books?q=1", "https://x/books#a", "https://user@x/books", "https://u:p@x/books", "/books/1", "books/1", "../books/1", "?q=1", "#a", "/", "",
		"https://[::1]/books", "https://x/%C3%A9/1", "https://x/é/1", "https://é.x/1", "urn:uuid:1", "data:foobar", "foo:/a/b", "foo://h/a/b", "https://x/:id", "https://x/a*b",
		"https://x/a{b}", "https://x/b", "https://X/A/b", "HTTPS://x:443/books", "https://x/a/b/c", "https://x/a/xb", "https://x//a/b", "wss://x/a", "file:///a/b", "https://x/books/books/1",
		"https://x/books/1?", "https://x:99999/books", "https://x/books/1 ", "https:x/books", "https://x/a\nb", "https://x/books/1/", "https://y/books/1", "x", "%", "https://x/%",
	}
)

// oracle returns the library's own pattern, or nil.
func oracle(text, hubURL string) *urlpattern.URLPattern {
	p, err := urlpattern.New(text, "", nil)
	if errors.Is(err, urlpattern.ErrNoBaseURL) {
		p, err = urlpattern.New(text, hubURL, nil)
	}
	if err != nil {
		return nil
	}
	return p
}

// check compares a pattern with the library's, and its prefix with what it matches. It reports whether it matches.
func check(t *testing.T, p *matcher.Pattern, library *urlpattern.URLPattern, topic string) bool {
	t.Helper()
	got, want := p.Match(topic), library.Test(topic, hubURL)
	if got != want {
		t.Errorf("%q, topic %q: got %v, the library says %v", p.Text(), topic, got, want)
	}
	if spelled := p.Space().Spell(topic); got && !strings.HasPrefix(spelled, p.Prefix()) {
		t.Errorf("%q matches %q, which is spelled %q, without the prefix %q", p.Text(), topic, spelled, p.Prefix())
	}
	return got
}

func TestURLPatternsAsTheLibrary(t *testing.T) {
	base, matches := newBase(t, hubURL), 0
	for _, text := range urlPatterns {
		library := oracle(text, hubURL)
		m, err := base.Matcher(matcher.TypeURLPattern, text)
		if (err == nil) != (library != nil) {
			t.Errorf("%s: %v, unlike the library", text, err)
		}
		if err != nil {
			continue
		}
		for _, topic := range urlTopics {
			if text != "*" && check(t, m.Pattern(), library, topic) {
				matches++
			}
		}
	}
	if matches < 100 {
		t.Errorf("only %d topics match", matches)
	}
}

// Prefixes are as long as they can be for what people write.
func TestPrefixes(t *testing.T) {
	base := newBase(t, hubURL)
	for text, want := range map[string]string{
		"https://x/books/:id":      "https://x:/books/",
		"https://x:8080/books/*":   "https://x:8080/books/",
		"https://x/books/1":        "https://x:/books/1",
		"/users/:id":               "https://hub.example:/users/",
		"https://*.x/books":        "https://",
		"https://x/books{/:id}?":   "https://x:/books",
		"https://x/books/:id?":     "https://x:/books",
		"http{s}?://x/books":       "http",
		"*://x/books":              "",
		"https://x/a\\*b/*":        "https://x:/a*b/",
		"https://x/{fixed}:id":     "https://x:/fixed",
		"https://x/caf\u00e9/:id":  "https://x:/caf%C3%A9/",
		"https://X/books/../b/:id": "https://x:/b/",
	} {
		m, err := base.Matcher(matcher.TypeURLPattern, text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if got := m.Pattern().Prefix(); got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
	m, err := matcher.Selector("https://x/books/{id}/{name}")
	if err != nil || m.Pattern().Prefix() != "https://x/books/" || m.Pattern().Space().Spell("a b") != "a b" {
		t.Errorf("got %v, %v", m, err)
	}
}

// one returns one of several texts; several, up to most of them, one after the other.
func one(rng *rand.Rand, of []string) string { return of[rng.IntN(len(of))] }

func several(rng *rand.Rand, most int, of ...string) (text string) {
	for range 1 + rng.IntN(most) {
		text += one(rng, of)
	}
	return text
}

// Templates match what the library's regular expressions do, also where a value's encoded bytes begin or end in the middle of what the
// template spells out, and in texts of more than 64 bytes.
func TestTemplatesAsTheLibrary(t *testing.T) {
	rng, matches := rand.New(rand.NewPCG(1, 2)), 0
	for range 1000 {
		text := several(rng, 5, "{a}", "{+a}", "{a,b}", "{/a*}", "{?a,b}", "{a*}", "4", "1", "a", "/", "%41", "41") + "{z}"
		template, err := uritemplate.New(text)
		if err != nil {
			t.Fatal(err)
		}
		m, err := matcher.Selector(text)
		if err != nil {
			t.Fatal(err)
		}
		for range 50 {
			topic := several(rng, 1+rng.IntN(60), "%", "4", "1", "%41", "%6a", "a", "/", ",", "?", "a=", "&b=")
			want := template.Regexp().MatchString(topic)
			if got := m.Match(topic); got != want {
				t.Fatalf("%q, topic %q: got %v, the library says %v", text, topic, got, want)
			}
			if want {
				matches++
			}
		}
	}
	if matches < 1000 {
		t.Errorf("only %d topics match", matches)
	}
}

// URL patterns with parts that are optional or repeated match what the library's do, in texts of more than 64 bytes, too.
func TestLongURLsAsTheLibrary(t *testing.T) {
	rng, base, matches := rand.New(rand.NewPCG(1, 2)), newBase(t, hubURL), 0
	for range 500 {
		text := "https://x/" + several(rng, 6, "{ab}*", "{a}+", "{/b}*", "{a:x}*", "{:y/}+", "*", "{a}?", "a", "b", "/", "/:z")
		library := oracle(text, hubURL)
		m, err := base.Matcher(matcher.TypeURLPattern, text)
		if (err == nil) != (library != nil) {
			t.Errorf("%s: %v, unlike the library", text, err)
		}
		for range 30 {
			if err == nil && check(t, m.Pattern(), library, "https://x/"+several(rng, 1+rng.IntN(90), "a", "b", "ab", "/", "/a", "aa")) {
				matches++
			}
		}
	}
	if matches < 1000 {
		t.Errorf("only %d topics match", matches)
	}
}

func FuzzURLPattern(f *testing.F) {
	for i, text := range urlPatterns {
		f.Add(text, urlTopics[i%len(urlTopics)])
	}
	base := newBase(f, hubURL)
	f.Fuzz(func(t *testing.T, text, topic string) {
		m, err := base.Matcher(matcher.TypeURLPattern, text)
		switch {
		case err != nil && len(text) > 8 && strings.Contains(err.Error(), text):
			t.Errorf("the error repeats %q", text)
		case err == nil && text != "*" && matcher.CheckText(topic) == nil:
			check(t, m.Pattern(), oracle(text, hubURL), topic)
			base.Reserved(topic)
		}
	})
}

func FuzzSelector(f *testing.F) {
	for _, text := range []string{"a", "{a}", "/b/{id}", "/{+a}{?b,c*}", "{/a*}", "{;a:3}", "{&a}{.b}{#c}", "{", "}", "{}", "a%20{b}", "a b{c}", "{a,b}/{c}", "{é}"} {
		f.Add(text, text)
		f.Add(text, "/b/1")
	}
	f.Fuzz(func(t *testing.T, text, topic string) {
		m, err := matcher.Selector(text)
		if err != nil || text == "*" {
			return
		}
		template, err := uritemplate.New(text)
		got, want := m.Match(topic), topic == text || err == nil && template.Regexp().MatchString(topic)
		if got != want {
			t.Errorf("%q, topic %q: got %v, want %v", text, topic, got, want)
		}
		if p := m.Pattern(); p != nil && got && !strings.HasPrefix(topic, p.Prefix()) {
			t.Errorf("%q matches %q, without the prefix %q", text, topic, p.Prefix())
		}
	})
}
