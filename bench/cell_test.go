package main

import (
	"strings"
	"testing"
)

func TestCellsAreComparedWithTheBuildBefore(t *testing.T) {
	for _, test := range []struct {
		now, before cell
		want        string
	}{
		{cell{12, inMicros}, cell{24, inMicros}, "12.0 µs (×0.50)"},
		{cell{12, inMicros}, cell{}, "12.0 µs"},
		{count(1_234), count(617), "1,234"},
		{cell{}, cell{24, inMicros}, "–"},
	} {
		if got := test.now.against(test.before); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

func TestMedianIgnoresWhatIsMissing(t *testing.T) {
	cells := []cell{{9, inKiB}, {}, {1, inKiB}, {2, inKiB}}
	if got := median(cells); got != (cell{2, inKiB}) {
		t.Errorf("got %v", got)
	}
	if got := median(cells[:3]); got != (cell{5, inKiB}) {
		t.Errorf("of an even number: got %v", got)
	}
	if got := median([]cell{{}}); got != (cell{}) {
		t.Errorf("of none: got %v", got)
	}
}

func TestTablesCompareRowsOfTheSameConfiguration(t *testing.T) {
	limited := newCaddy("sse_push, limits", caddy{streams: true, limits: true})
	limitedBefore := newCaddy("before, limits", caddy{before: true, streams: true, limits: true})
	before, now := servers[1], servers[2]
	s := &scenario{
		title:   func(*bench) string { return "Title" },
		columns: func(*bench) []string { return []string{"CPU", "lost"} },
		goal: func(g *goals) {
			g.times(0.55, "before", 0)
			g.none("none lost", 1)
		},
	}
	line := func(s *server, p protocol, cpu float64, lost int) row {
		return row{server: s, label: s.name, protocol: p, cells: []cell{{cpu, inMicros}, count(lost)}}
	}
	table := s.markdown(&bench{}, []row{
		line(before, h1, 10, 0), line(now, h1, 5, 0), line(before, h2, 40, 0), line(now, h2, 10, 3),
		line(limitedBefore, h1, 20, 0), line(limited, h1, 15, 0), {server: now, label: "sse_push", protocol: h3, problem: "no"},
	})
	for _, want := range []string{
		"| before | h1 | 10.0 µs | 0 |  |",
		"| sse_push | h1 | 5.0 µs (×0.50) | 0 | ≤ 0.55 × before (0.50), none lost: met |",
		"| sse_push | h2 | 10.0 µs (×0.25) | 3 | ≤ 0.55 × before (0.25), none lost: **missed** |",
		"| sse_push, limits | h1 | 15.0 µs (×0.75) | 0 | ≤ 0.55 × before, limits (0.75), none lost: **missed** |",
		"| sse_push | h3 | no |  |  |",
	} {
		if !strings.Contains(table, want+"\n") {
			t.Errorf("no line %q in\n%s", want, table)
		}
	}
}
