package main

import (
	"fmt"
	"strings"
)

// goals are what a row of sse_push is asked for. Those that need a row of another server hold only if that row is there.
type goals struct {
	row  row
	all  []row
	text []string
	bad  bool
}

// most asks for a figure of at most a limit.
func (g *goals) most(i int, limit float64) {
	c := g.row.cell(i)
	g.add(c.value <= limit, "≤ %v", cell{limit, c.unit})
}

// least asks for a figure of at least a limit.
func (g *goals) least(i int, limit float64) {
	c := g.row.cell(i)
	g.add(c.value >= limit, "≥ %v", cell{limit, c.unit})
}

// none asks for figures of 0.
func (g *goals) none(what string, figures ...int) {
	sum := 0.0
	for _, i := range figures {
		sum += g.row.cell(i).value
	}
	g.add(sum == 0, "%s", what)
}

// times asks for a figure of at most a multiple of another server's.
func (g *goals) times(i int, limit float64, server string) {
	if other, ok := g.other(server); ok {
		g.multiple(i, i, limit, other)
	}
}

// multiple is times for a figure that stands elsewhere in the other row.
func (g *goals) multiple(i, elsewhere int, limit float64, other row) {
	if c := other.cell(elsewhere); c.value > 0 {
		multiple := g.row.cell(i).value / c.value
		g.add(multiple <= limit, "≤ %.2f × %s (%.2f)", limit, other.server.name, multiple)
	}
}

// growth asks for a figure of at least a multiple of another server's.
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

// other finds the row of another server that was asked for the same, over the same protocol.
func (g *goals) other(server string) (row, bool) {
	return find(g.all, server, g.row.server.variant, g.row.protocol)
}

// String writes the goals and whether all are met.
func (g *goals) String() string {
	switch {
	case len(g.text) == 0:
		return ""
	case g.bad:
		return strings.Join(g.text, ", ") + ": **missed**"
	}
	return strings.Join(g.text, ", ") + ": met"
}

// find finds a server's row.
func find(rows []row, server, variant string, p protocol) (row, bool) {
	for _, r := range rows {
		if r.server.key == server && r.server.variant == variant && r.protocol == p && r.problem == "" {
			return r, true
		}
	}
	return row{}, false
}
