package main

import (
	"context"
	"fmt"
	"strings"
)

// scenario is one table.
type scenario struct {
	name  string // in -only
	title func(b *bench) string
	note  string

	protocols   []protocol
	servers     []*server // those of the package if nil
	broadcasts  bool      // events go to everybody
	slowClients bool
	files       bool // the site has a file, and takes uploads

	columns func(b *bench) []string
	measure func(ctx context.Context, r *session) (row, error)
	// goal adds the goals of a row of sse_push. It may be nil.
	goal func(g *goals)

	// whole makes the table instead of all of the above.
	whole func(ctx context.Context, b *bench) (string, error)
}

var (
	// every is for scenarios whose cost is mostly that of the connections.
	every = []protocol{h1, h1TLS, h2, h3}
	// paces adds clients with Go's windows, which send an update for every 4 KiB.
	paces = []protocol{h1, h1TLS, h2, h2Go, h3}
	// browsers is for all others: plain HTTP, as behind another proxy, and what browsers speak to a public server.
	browsers = []protocol{h1, h2, h3}
)

var scenarios = []*scenario{&idle, &idleH3, &furtherStreams, &paced, &saturated, &oneUser, &batches, &connectStorm, &resumeStorm,
	&slowClients, &tokens, &relays, &mercure, &ordinary, &goBenchmarks}

func scenarioNames() (names []string) {
	for _, s := range scenarios {
		names = append(names, s.name)
	}
	return names
}

// row is a line of a table.
type row struct {
	server   *server
	label    string // the server and its configuration
	protocol protocol
	cells    []cell
	problem  string // instead of cells
}

// cell returns a figure, or the zero value if the row is shorter.
func (r row) cell(i int) cell {
	if i >= len(r.cells) {
		return cell{}
	}
	return r.cells[i]
}

// markdown writes the table.
func (s *scenario) markdown(b *bench, rows []row) string {
	columns := s.columns(b)
	var out strings.Builder
	fmt.Fprintf(&out, "\n## %s\n\n%s\n\n", s.title(b), s.note)
	fmt.Fprintf(&out, "| server | protocol | %s | goal |\n|---|---|%s---|\n", strings.Join(columns, " | "), strings.Repeat("---:|", len(columns)))
	for _, r := range rows {
		texts := make([]string, len(columns))
		before := row{}
		if r.server.key == "ssepush" {
			before, _ = find(rows, "before", r.server.variant, r.protocol)
		}
		for i := range texts {
			texts[i] = r.cell(i).against(before.cell(i))
		}
		if r.problem != "" {
			clear(texts)
			texts[0] = r.problem
		}
		goal := ""
		if r.server.key == "ssepush" && r.server.judged && r.problem == "" && s.goal != nil && !b.quick {
			g := &goals{row: r, all: rows}
			s.goal(g)
			goal = g.String()
		}
		fmt.Fprintf(&out, "| %s | %s | %s | %s |\n", r.label, r.protocol, strings.Join(texts, " | "), goal)
	}
	return out.String()
}
