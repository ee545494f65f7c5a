package hub

import "testing"

// The first event of a stream has its strings in the form in which all others have them.
func FuzzAppendText(f *testing.F) {
	for _, s := range []string{"", "u1", "a/b/*", `q"uote`, `back\slash`, "<&>", "tab\t", "\x7f", "für", "\u2028", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := string(appendText([]byte("x"), s)), "x"+string(encode(s)); got != want {
			t.Errorf("%q: got %s, want %s", s, got, want)
		}
	})
}
