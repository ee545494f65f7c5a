package hub_test

import (
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker/membroker"
	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/rules"
)

// asRegexp returns a regular expression with the meaning of a pattern.
func asRegexp(pattern string) *regexp.Regexp {
	parts := strings.Split(pattern, "/")
	for i, part := range parts {
		switch {
		case part == "*":
			parts[i] = "[^/]*"
		case part == "**" && i == len(parts)-1:
			parts[i] = ".*"
		default:
			parts[i] = regexp.QuoteMeta(part)
		}
	}
	return regexp.MustCompile(`(?s)\A` + strings.Join(parts, "/") + `\z`)
}

// A pattern matches what it says, and a hub's index finds the same.
func FuzzPattern(f *testing.F) {
	for _, seed := range [][2]string{
		{"a/*", "a/b"}, {"a/**", "a/b/c"}, {"**", "a"}, {"*", ""}, {"a/*/c", "a/b/c"}, {"a/**", "a"}, {"*/*", "/"}, {"a//b", "a//b"},
		{"a/**/b", "a/x/b"}, {"user/*", "user/%2F"}, {"**/", "a/"}, {"a*", "ab"}, {"é/*", "é/\u2028"}, {"./..", "./.."},
	} {
		f.Add(seed[0], seed[1])
	}
	h := hub.New("fuzz", membroker.Open(), settings(10, 1<<20))
	f.Cleanup(func() { _ = h.Close() })
	f.Fuzz(func(t *testing.T, pattern, topic string) {
		if rules.CheckPattern(pattern) != nil || rules.CheckTopic(topic) != nil {
			return
		}
		want := asRegexp(pattern).MatchString(topic)
		if got := rules.Match(pattern, topic); got != want {
			t.Errorf("%q matches %q: got %v", pattern, topic, got)
		}
		c, err := h.Subscribe(t.Context(), hub.Subscription{Topics: []string{pattern}})
		if err != nil {
			t.Fatal(err)
		}
		n, err := h.Topic(t.Context(), topic)
		if err != nil || (n == 1) != want {
			t.Errorf("%q, to which %q is subscribed, is heard by %d connections, %v", topic, pattern, n, err)
		}
		c.Close(nil)
	})
}

// Whatever a user's name is, escaped it is one segment, not a pattern, and different from that of any other user.
func FuzzEscapeSegment(f *testing.F) {
	for _, seed := range [][2]string{{"a/b", "a%2Fb"}, {"*", "**"}, {"..", "."}, {"%", "%25"}, {"a", "A"}, {"\u2028", "\x7f"}, {"é", "e\u0301"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, user, other string) {
		if rules.CheckName(user) != nil {
			return
		}
		segment := rules.EscapeSegment(user)
		if strings.Contains(segment, "/") || rules.IsPattern("user/"+segment+"/x") {
			t.Errorf("%q becomes %q", user, segment)
		}
		if back, err := url.PathUnescape(segment); err != nil || back != user {
			t.Errorf("%q becomes %q, which is %q, %v", user, segment, back, err)
		}
		grant := "user/" + segment + "/*"
		if rules.CheckName(other) == nil && other != user && rules.Match(grant, "user/"+rules.EscapeSegment(other)+"/x") {
			t.Errorf("the grant of %q covers a topic of %q", user, other)
		}
	})
}
