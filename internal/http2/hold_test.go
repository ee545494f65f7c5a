package http2

import (
	"io"
	"strings"
	"testing"
)

// A held stream goes on without an inner server, and beside further ones.
func TestHold(t *testing.T) {
	s := newSite(t)
	b := s.browser(t)
	body := b.events("a")
	f := s.feed(t, "a")
	if f.st == nil {
		t.Fatal("the stream is not held")
	}
	if _, err := f.st.Write([]byte("data: 1\n\n")); err != nil {
		t.Fatal(err)
	}
	expect(t, body, "data: 1\n\n")
	b.parked()
	if _, err := f.st.Write([]byte("data: 2\n\n")); err != nil {
		t.Fatal(err)
	}
	expect(t, body, "data: 2\n\n")
	if got := b.do("POST", "/post", "hello"); got != "5 <nil>" {
		t.Fatal(got)
	}
	b.parked()
	f.st.End(nil)
	if rest, err := io.ReadAll(body); err != nil || len(rest) > 0 {
		t.Fatalf("%q, %v", rest, err)
	}
}

// Each request can have an inner server of its own, and large ones as well.
func TestFreshInnerServers(t *testing.T) {
	s := newSite(t)
	b := s.browser(t)
	body := b.events("a")
	f := s.feed(t, "a")
	const posts = 10_000
	for range posts {
		b.parked()
		if got := b.do("POST", "/post", "hello"); got != "5 <nil>" {
			t.Fatal(got)
		}
	}
	b.parked()
	if s.fresh != 1+posts {
		t.Errorf("%d inner servers", s.fresh)
	}
	const size = 5_000_000
	if got := b.do("POST", "/post", strings.Repeat("x", size)); got != "5000000 <nil>" {
		t.Error(got)
	}
	b.parked()
	if got := b.do("GET", "/file?5000000", ""); got != string(file[:size]) {
		t.Errorf("%d other bytes", len(got))
	}
	b.parked()
	if _, err := f.st.Write([]byte("data: 1\n\n")); err != nil {
		t.Fatal(err)
	}
	expect(t, body, "data: 1\n\n")
}
