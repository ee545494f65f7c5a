package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// scenario is one table.
type scenario struct {
	name  string // in -only
	title func(b *bench) string
	note  string

	protocols   []protocol
	also        []*server // beside the usual ones
	broadcasts  bool      // events go to everybody
	slowClients bool

	columns func(b *bench) []string
	measure func(ctx context.Context, r *session) (row, error)
	// goal says what DESIGN.md asks of a row, and whether the row is as good. All rows may be looked at.
	goal func(r row, all []row) (text string, v verdict)

	// whole makes the table instead of all of the above.
	whole func(ctx context.Context, b *bench) (string, error)
}

var (
	plain = []protocol{h1}
	every = []protocol{h1, h1TLS, h2}
)

var scenarios = []*scenario{&idle, &paced, &saturated, &oneUser, &batches, &connectStorm, &resumeStorm, &slowClients, &goBenchmarks}

func scenarioNames() (names []string) {
	for _, s := range scenarios {
		names = append(names, s.name)
	}
	return names
}

// markdown writes the table.
func (s *scenario) markdown(b *bench, rows []row) string {
	columns := s.columns(b)
	var out strings.Builder
	fmt.Fprintf(&out, "\n## %s\n\n%s\n\n", s.title(b), s.note)
	fmt.Fprintf(&out, "| server | protocol | %s | goal |\n|---|---|%s---|\n", strings.Join(columns, " | "), strings.Repeat("---:|", len(columns)))
	for _, r := range rows {
		cells := make([]string, len(columns))
		copy(cells, r.cells)
		if r.problem != "" {
			cells[0] = r.problem
		}
		goal := ""
		if r.server == "sse_push" && r.problem == "" {
			text, v := s.goal(r, rows)
			goal = text
			if !b.quick {
				goal += string(v)
			}
		}
		fmt.Fprintf(&out, "| %s | %s | %s | %s |\n", r.server, r.protocol, strings.Join(cells, " | "), goal)
	}
	return out.String()
}

// of finds another server's row.
func of(rows []row, server string, p protocol) (row, bool) {
	for _, r := range rows {
		if r.server == server && r.protocol == p && r.problem == "" {
			return r, true
		}
	}
	return row{}, false
}

// verdict is what a goal ends with.
type verdict string

const (
	unknown verdict = ""
	met     verdict = ": met"
	missed  verdict = ": **missed**"
)

func judge(good bool) verdict {
	if good {
		return met
	}
	return missed
}

func noGoal(row, []row) (string, verdict) { return "", unknown }

// number has thousands apart.
func number(n int) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

func micros(d time.Duration, of int) float64 {
	if of == 0 {
		return 0
	}
	return float64(d) / float64(of) / float64(time.Microsecond)
}

func inMicros(v float64) string { return fmt.Sprintf("%.1f µs", v) }

func inMillis(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}

func kib(bytes float64) string { return fmt.Sprintf("%.2f KiB", bytes/1024) }
