package sse_test

import (
	"errors"
	"testing"

	"github.com/sse-push/caddy-sse-push/internal/sse"
)

func TestParserMidway(t *testing.T) {
	for in, want := range map[string]bool{
		"":                     false,
		"data: a\n\n":          false,
		"data: a\n":            true,
		"data: a\n\nda":        true,
		"data: a\n\n:":         true, // a line has begun, which may be one of an event
		"data: a\n\n:beat\n":   false,
		"data: a\r\n\r":        false,
		"event: a\n":           true,
		"event: a\n\n":         false,
		"id: 1\n\nretry: 20\n": true,
	} {
		p := sse.NewParser(0)
		for i := range len(in) {
			if err := p.Feed([]byte{in[i]}, func(sse.Message) error { return nil }); err != nil {
				t.Fatal(err)
			}
		}
		if got := p.Midway(); got != want {
			t.Errorf("%q: got %v, want %v", in, got, want)
		}
	}
}

func TestParserErrorsAreFinal(t *testing.T) {
	enough := errors.New("enough")
	p := sse.NewParser(0)
	seen := 0
	emit := func(sse.Message) error {
		seen++
		return enough
	}
	for _, in := range []string{"data: a\n\ndata: b\n\n", "data: c\n\n", ""} {
		if err := p.Feed([]byte(in), emit); err != enough || seen != 1 {
			t.Errorf("%q: got %v after %d events, want %v after 1", in, err, seen, enough)
		}
	}
}
