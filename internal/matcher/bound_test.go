package matcher_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/matcher"
)

// slowest are patterns, with topics, that take longest to match.
func slowest(t testing.TB) map[string]struct {
	m     matcher.Matcher
	topic string
} {
	t.Helper()
	base := newBase(t, hubURL)
	found := map[string]struct {
		m     matcher.Matcher
		topic string
	}{}
	fill := func(begin, piece, end string) string {
		return begin + strings.Repeat(piece, (matcher.MaxText-len(begin)-len(end))/len(piece)) + end
	}
	for _, c := range []struct{ name, kind, text, topic string }{
		{"template", "template", "{a}{b}{c}{d}{e}{f}{g}{h}{i}{j}{k}{l}{m}{n}{o}{p}!", fill("", "a", "")},
		{"template of lists", "template", "{a*,b*,c*,d*,e*,f*,g*,h*}{i*,j*,k*,l*,m*,n*,o*,p*}!", fill("", "a,", "")},
		{"reserved template", "template", "{+a}a{+b}a{+c}a{+d}a{+e}a{+f}a{+g}a{+h}a{+i}a{+j}a{+k}a{+l}a{+m}a{+n}a{+o}a{+p}!", fill("", "a", "")},
		{"wildcards", "urlpattern", "https://x/" + strings.Repeat("a*", 16) + "b", fill("https://x/", "a", "")},
		{"repeated", "urlpattern", "https://x/" + "{a:x}*" + strings.Repeat("a*", 14) + "b", fill("https://x/", "a", "")},
		{"optional", "urlpattern", "https://x/" + strings.Repeat("{a}?", 15) + "*b", fill("https://x/", "a", "")},
		{"long tail", "urlpattern", fill("https://x/*", "a", "b"), fill("https://x/", "a", "")},
		{"rounds", "urlpattern", "https://x/{ab}*{ba}*{abb}*{bba}*{aab}*{bab}*c", fill("https://x/", "ab", "")},
		{"letters", "urlpattern", "https://x/*abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ*0123456789", fill("https://x/", "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", "")},
		{"lists", "template", "{/a*}{/b*}{/c*}{/d*}{/e*}{/f*}{/g*}{/h*}!", fill("", "/a", "")},
		{"empty lists", "template", "{/a*}{/b*}{/c*}{/d*}{/e*}{/f*}{/g*}{/h*}!", fill("", "/", "")},
		{"pairs", "template", "{?a*}{&b*}{&c*}{&d*}{&e*}{&f*}{&g*}{&h*}!", "?" + fill("", "&a", "")},
		{"segments", "urlpattern", "https://x/" + ":a:b", fill("https://x/", "a", "/b")},
	} {
		m, err := compile(base, c.kind, c.text)
		if err != nil {
			t.Logf("%s: %v", c.name, err)
			continue
		}
		found[c.name] = struct {
			m     matcher.Matcher
			topic string
		}{m, c.topic}
	}
	if len(found) < 8 {
		t.Fatalf("only %d patterns are taken", len(found))
	}
	return found
}

// The slowest patterns end soon: the time that they take grows with the lengths of pattern and topic, and no faster.
func TestBoundedTime(t *testing.T) {
	quick, err := newBase(t, hubURL).Matcher(matcher.TypeURLPattern, "https://x/books/:id")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range slowest(t) {
		if effort := c.m.Pattern().Effort(); effort <= quick.Pattern().Effort() && name != "segments" {
			t.Errorf("%s has the effort %d", name, effort)
		}
		begin := time.Now()
		if c.m.Match(c.topic) {
			t.Errorf("%s matches", name)
		}
		if took := time.Since(begin); took > time.Second { // some 0.2 ms at most, without the race detector and with a core to itself
			t.Errorf("%s takes %v", name, took)
		}
	}
}

func BenchmarkSlowest(b *testing.B) {
	for name, c := range slowest(b) {
		b.Run(strings.ReplaceAll(name, " ", "-"), func(b *testing.B) {
			for b.Loop() {
				c.m.Match(c.topic)
			}
		})
	}
}

func BenchmarkMatch(b *testing.B) {
	base := newBase(b, hubURL)
	for name, c := range map[string]struct{ kind, text, topic string }{
		"segment":    {"urlpattern", "https://app.example/users/:id", "https://app.example/users/1"},
		"expression": {"urlpattern", "https://app.example/users/:id/books/:book", "https://app.example/users/1/books/2"},
		"other":      {"urlpattern", "https://app.example/films/:id", "https://app.example/users/1"},
		"template":   {"template", "https://app.example/users/{id}", "https://app.example/users/1"},
	} {
		m, err := compile(base, c.kind, c.text)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				m.Match(c.topic)
			}
		})
	}
	b.Run("compile", func(b *testing.B) {
		for b.Loop() {
			if _, err := base.Matcher(matcher.TypeURLPattern, "https://app.example/users/:id/books/:book"); err != nil {
				b.Fatal(err)
			}
		}
	})
}
