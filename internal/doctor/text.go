package doctor

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/sse-push/caddy-sse-push/internal/doctor/front"
)

const (
	minWidth  = 30
	wideTable = 70 // from this width on, the table has all its columns
)

// WriteText writes a report for a person, in lines of at most width columns.
func (r *Report) WriteText(w io.Writer, width int, color bool) error {
	p := &printer{width: max(width, minWidth), color: color}
	p.wrap("", "", r.URL)
	seen := strings.Join(r.Fronts, ", then ")
	if seen == "" {
		seen = "nothing that is recognised"
	}
	p.wrap("in front: ", "  ", seen)
	p.line("")
	p.table(r.Streams)
	for _, f := range r.Findings {
		p.line("")
		p.finding(f, r.Fronts)
	}
	if len(r.Unchecked) > 0 {
		p.line("")
		p.line("Not checked")
		for _, u := range r.Unchecked {
			p.wrap("  - ", "    ", u)
		}
	}
	p.line("")
	word, severity := "Healthy", Severity("")
	if !r.Healthy {
		word, severity = "Not healthy", Fault
	}
	p.line(p.paint(word, severity))
	if len(r.Findings) > 0 {
		p.wrap("", "", r.counts())
	}
	_, err := io.WriteString(w, p.text.String())
	return err
}

// counts says how many findings there are of each severity.
func (r *Report) counts() string {
	n := map[Severity]int{}
	for _, f := range r.Findings {
		n[f.Severity]++
	}
	var parts []string
	for _, s := range []Severity{Fault, Warning, Note} {
		switch {
		case n[s] == 1:
			parts = append(parts, "1 "+string(s))
		case n[s] > 1:
			parts = append(parts, fmt.Sprintf("%d %ss", n[s], s))
		}
	}
	return strings.Join(parts, ", ")
}

type printer struct {
	text  strings.Builder
	width int
	color bool
}

func (p *printer) line(s string) {
	p.text.WriteString(strings.TrimRight(s, " "))
	p.text.WriteByte('\n')
}

// paint colors a text by severity, if colors are wanted. No severity means that all is well.
func (p *printer) paint(text string, s Severity) string {
	if !p.color {
		return text
	}
	code := map[Severity]string{Fault: "31", Warning: "33", Note: "36", "": "32"}[s]
	return "\x1b[1;" + code + "m" + text + "\x1b[0m"
}

func (p *printer) finding(f Finding, seen []string) {
	p.line(p.paint(strings.ToUpper(string(f.Severity))+" "+f.Code, f.Severity))
	if len(f.On) > 0 {
		p.wrap("  on     ", "         ", strings.Join(f.On, ", "))
	}
	p.wrap("  seen   ", "         ", f.Seen)
	if f.Where != "" {
		p.wrap("  where  ", "         ", f.Where)
	}
	p.wrap("  felt   ", "         ", f.Felt)
	lead := "  mend   "
	for _, m := range f.shown(seen) {
		text := m.In + ": " + m.Line
		if m.Paste != "" {
			text = m.In + ", " + m.Block + ":"
		}
		p.wrap(lead, "           ", text)
		lead = "         "
		for line := range strings.Lines(m.Paste) {
			indent := strings.Repeat("  ", len(line)-len(strings.TrimLeft(line, "\t")))
			p.wrap("             "+indent, "             "+indent, line) // on lines of its own, so that it can be copied
		}
		if removed := m.Removed(); m.Paste != "" && removed != "" {
			p.wrap("           ", "           ", "and "+removed)
		}
	}
}

// shown returns the lines that mend the finding. It leaves out those of fronts that were not seen, unless no front was seen.
func (f Finding) shown(seen []string) (lines []front.Line) {
	known := func(name string) bool {
		return slices.ContainsFunc(front.Known, func(f *front.Front) bool { return f.Name == name })
	}
	if !slices.ContainsFunc(f.Mend, func(l front.Line) bool { return slices.Contains(seen, l.In) }) {
		return f.Mend
	}
	for _, l := range f.Mend {
		if slices.Contains(seen, l.In) || !known(l.In) {
			lines = append(lines, l)
		}
	}
	return lines
}

// table writes a row for each stream.
func (p *printer) table(streams []Stream) {
	head := []string{"stream", "headers", "first", "probe"}
	if p.width >= wideTable {
		head = append(head, "protocol", "status", "encoding")
	}
	rows := [][]string{head}
	for _, s := range streams {
		row := []string{s.Name, milliseconds(s.Headers), milliseconds(s.First), milliseconds(s.Probe)}
		if p.width >= wideTable {
			row = append(row, orDash(s.Protocol), orDash(status(s.Status)), orDash(s.Encoding))
		}
		rows = append(rows, row)
	}
	widths := make([]int, len(head))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		var b strings.Builder
		for i, cell := range row {
			b.WriteString(cell)
			b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+1))
		}
		p.line(cut(b.String(), p.width))
	}
}

func milliseconds(ms *int64) string {
	if ms == nil {
		return "-"
	}
	return fmt.Sprintf("%d ms", *ms)
}

func status(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// wrap writes a text in lines. The first line begins with first, the others with rest. Words longer than a line are broken.
func (p *printer) wrap(first, rest, text string) {
	line, empty := first, true
	room := func() int { return max(1, p.width-utf8.RuneCountInString(line)) }
	next := func() {
		p.line(cut(line, p.width))
		line, empty = rest, true
	}
	for word := range strings.FieldsSeq(text) {
		if !empty && utf8.RuneCountInString(word)+1 > room() {
			next()
		}
		if !empty {
			line += " "
		}
		for utf8.RuneCountInString(word) > room() {
			head := string([]rune(word)[:room()])
			word = word[len(head):]
			line += head
			next()
		}
		line, empty = line+word, false
	}
	p.line(cut(line, p.width))
}

func cut(s string, width int) string {
	if runes := []rune(strings.TrimRight(s, " ")); len(runes) > width {
		return string(runes[:width])
	}
	return s
}
