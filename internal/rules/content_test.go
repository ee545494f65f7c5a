package rules_test

import (
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/internal/rules"
)

func TestCheckIDAndType(t *testing.T) {
	for _, c := range []struct {
		name, value string
		want        string // the error; empty: none
	}{
		{"ordinary", "order-1.created", ""},
		{"spaces, colons, tildes", " a: b ~c ", ""},
		{"non-ASCII", "Bestellung für 注文 🎉", ""},
		{"a real U+FFFD", "a\uFFFDb", ""},
		{"longest", strings.Repeat("x", 128), ""},
		{"empty", "", "must not be empty"},
		{"too long", strings.Repeat("x", 129), "must be at most 128 bytes long, not 129"},
		{"too long in bytes, not in characters", strings.Repeat("注", 43), "must be at most 128 bytes long, not 129"},
		{"not UTF-8", "ab\xff", "must be valid UTF-8, but is not at byte 2"},
		{"cut off in a character", "a\xe6\xb3", "must be valid UTF-8, but is not at byte 1"},
		{"surrogate", "\xed\xa0\x80", "must be valid UTF-8, but is not at byte 0"},
		{"LF", "a\nid: 9", "must not contain control characters, such as U+000A at byte 1"},
		{"CR", "ab\r", "must not contain control characters, such as U+000D at byte 2"},
		{"NUL", "\x00", "must not contain control characters, such as U+0000 at byte 0"},
		{"tab", "a\tb", "must not contain control characters, such as U+0009 at byte 1"},
		{"U+0001", "\x01", "must not contain control characters, such as U+0001 at byte 0"},
		{"DEL", "a\x7f", "must not contain control characters, such as U+007F at byte 1"},
		{"U+0085", "é\u0085", "must not contain control characters, such as U+0085 at byte 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			wantError(t, "CheckID", rules.CheckID(c.value), c.want)
			wantError(t, "CheckType", rules.CheckType(c.value), c.want)
		})
	}
}

func TestCheckTypeReserved(t *testing.T) {
	for value, want := range map[string]string{
		"open":          `must not be "open", a name that EventSource itself uses`,
		"error":         `must not be "error", a name that EventSource itself uses`,
		"sse:":          `must not begin with "sse:", the prefix of the server's own events`,
		"sse:connected": `must not begin with "sse:", the prefix of the server's own events`,
		"message":       "",
		"opened":        "",
		"Error":         "",
		"sse":           "",
		"x-sse:gap":     "",
	} {
		wantError(t, "CheckType of "+value, rules.CheckType(value), want)
		wantError(t, "CheckID of "+value, rules.CheckID(value), "")
	}
}

func TestCheckData(t *testing.T) {
	for _, c := range []struct{ name, value, want string }{
		{"empty", "", ""},
		{"lines", "a\r\nb\rc\n", ""},
		{"NUL and other control characters", "\x00\x01\x7f\u0085", ""},
		{"non-ASCII", "für 注文 🎉 \uFFFD", ""},
		{"stray byte", "héllo\x80", "must be valid UTF-8, but is not at byte 6"},
		{"overlong", "\xc0\xaf", "must be valid UTF-8, but is not at byte 0"},
		{"cut off", "ok\n\xf0\x9f\x8e", "must be valid UTF-8, but is not at byte 3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			wantError(t, "CheckData", rules.CheckData([]byte(c.value)), c.want)
		})
	}
}

func wantError(t *testing.T, what string, err error, want string) {
	t.Helper()
	got := ""
	if err != nil {
		got = err.Error()
	}
	if got != want {
		t.Errorf("%s: got error %q, want %q", what, got, want)
	}
}
