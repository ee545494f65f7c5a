package main

import (
	"slices"
	"testing"
)

// A run of some scenarios replaces their tables, says so, and leaves the others alone.
func TestReportIsMerged(t *testing.T) {
	all := report{"# Benchmark\n\n- a line\n", []string{"\n## Idle\n\nOld.\n", "\n## Idle: more\n\nKept.\n"}}
	got := parseReport(all.String())
	got.merge(report{tables: []string{"\n## Idle\n\nNew.\n", "\n## Mercure\n\nFirst.\n"}}, "By itself.")
	want := []string{"\n## Idle\n\nBy itself.\n\nNew.\n", "\n## Idle: more\n\nKept.\n", "\n## Mercure\n\nBy itself.\n\nFirst.\n"}
	if got.heading != all.heading || !slices.Equal(got.tables, want) {
		t.Errorf("got %q and %q, want %q", got.heading, got.tables, want)
	}
}
