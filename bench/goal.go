package main

import (
	"fmt"
	"slices"
	"strings"
)

// goals collects what a row of sse_push should reach. A goal relative to another server is left out if that server has no row.
type goals struct {
	row  row
	all  []row
	text []string
	bad  bool
}

// most requires that figure i is at most limit.
func (g *goals) most(i int, limit float64) {
	c := g.row.cell(i)
	g.add(c.value <= limit, "≤ %v", cell{limit, c.unit})
}

// least requires that figure i is at least limit.
func (g *goals) least(i int, limit float64) {
	c := g.row.cell(i)
	g.add(c.value >= limit, "≥ %v", cell{limit, c.unit})
}

// none requires that all the figures are 0.
func (g *goals) none(what string, figures ...int) {
	sum := 0.0
	for _, i := range figures {
		sum += g.row.cell(i).value
	}
	g.add(sum == 0, "%s", what)
}

// times requires that figures are at most limit times those of another server.
func (g *goals) times(limit float64, server string, figures ...int) {
	if other, ok := g.other(server); ok {
		g.multiples(limit, other, other.cells, figures...)
	}
}

// multiples requires that figures are at most limit times those at the same places of another row's cells.
func (g *goals) multiples(limit float64, other row, cells []cell, figures ...int) {
	good := true
	var multiples []string
	for _, i := range figures {
		if i < len(cells) && cells[i].value > 0 && g.row.cell(i).unit != nil {
			multiple := g.row.cell(i).value / cells[i].value
			good = good && multiple <= limit
			multiples = append(multiples, fmt.Sprintf("%.2f", multiple))
		}
	}
	if len(multiples) > 0 {
		g.add(good, "≤ %.2f × %s (%s)", limit, other.server.name, strings.Join(multiples, ", "))
	}
}

// growth requires that figure i is at least limit times that of another server.
func (g *goals) growth(i int, limit float64, server string) {
	if other, ok := g.other(server); ok && other.cell(i).value > 0 {
		multiple := g.row.cell(i).value / other.cell(i).value
		g.add(multiple >= limit, "≥ %.2f × %s (%.2f)", limit, server, multiple)
	}
}

func (g *goals) add(good bool, format string, args ...any) {
	g.text = append(g.text, fmt.Sprintf(format, args...))
	g.bad = g.bad || !good
}

// other returns the row of another server with the same variant and protocol.
func (g *goals) other(server string) (row, bool) {
	return find(g.all, server, g.row.server.variant, g.row.protocol)
}

// String lists the goals and says whether all of them are met.
func (g *goals) String() string {
	text := slices.Compact(slices.Clone(g.text)) // two groups of columns may have the same goal
	switch {
	case len(text) == 0:
		return ""
	case g.bad:
		return strings.Join(text, ", ") + ": **missed**"
	}
	return strings.Join(text, ", ") + ": met"
}

// find returns the row of a server, variant and protocol.
func find(rows []row, server, variant string, p protocol) (row, bool) {
	for _, r := range rows {
		if r.server.key == server && r.server.variant == variant && r.protocol == p && r.problem == "" {
			return r, true
		}
	}
	return row{}, false
}
