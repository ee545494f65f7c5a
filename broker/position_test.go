package broker_test

import (
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker"
)

func FuzzParsePosition(f *testing.F) {
	for _, s := range []string{"", "1.0", "abc.1-2.3", "zz.1.", ".", "-", "1.0-1", "01.1", "1.1~x", "AB.1", strings.Repeat("z", 60)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, ok := broker.ParsePosition(s)
		if ok && p.String() != s {
			t.Errorf("%q reads as %+v, which is written %q: a position must have one text", s, p, p)
		}
		if !ok && !p.IsZero() {
			t.Errorf("%q is refused and yet %+v", s, p)
		}
	})
}

func TestPositionText(t *testing.T) {
	for want, p := range map[string]broker.Position{
		"":        {},
		"1.0":     {Epoch: 1},
		"z.10":    {Epoch: 35, Minor: 36},
		"1.2-3":   {Epoch: 1, Major: 2, Minor: 3},
		"1.2-0.4": {Epoch: 1, Major: 2, Check: 4},
		"3w5e11264sgsf.3w5e11264sgsf-3w5e11264sgsf.1z141z3": {Epoch: 1<<64 - 1, Major: 1<<64 - 1, Minor: 1<<64 - 1, Check: 1<<32 - 1},
	} {
		if got := p.String(); got != want {
			t.Errorf("%+v: got %q, want %q", p, got, want)
		}
		if back, ok := broker.ParsePosition(want); back != p || ok == p.IsZero() {
			t.Errorf("%q reads as %+v, %v", want, back, ok)
		}
	}
}

func TestCompare(t *testing.T) {
	order := []broker.Position{{Minor: 1}, {Minor: 2}, {Major: 1}, {Major: 1, Minor: 5}, {Major: 2}}
	for i, p := range order {
		for j, q := range order {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got := p.Compare(q); got != want {
				t.Errorf("%+v to %+v: got %d, want %d", p, q, got, want)
			}
		}
	}
}
