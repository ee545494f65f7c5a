package command

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// printable escapes all characters of a text that could control a terminal, or make it show something other than the text.
func printable(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return r == utf8.RuneError || !unicode.IsGraphic(r) }) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case unicode.IsGraphic(r):
			b.WriteRune(r)
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
		i += size
	}
	return b.String()
}

// printer prints rows: with --json as lines of JSON, otherwise as a table, or as blocks if the table is wider than the terminal.
type printer struct {
	out    *bufio.Writer
	json   *json.Encoder // nil without --json
	width  int           // of the terminal; 0: there is none
	header []string
	widths []int // of the columns; nil before the first page
	blocks bool
}

func newPrinter(cmd *cobra.Command, header ...string) *printer {
	p := &printer{out: bufio.NewWriter(cmd.OutOrStdout()), header: header, width: terminalWidth(cmd.OutOrStdout())}
	if asJSON, err := cmd.Flags().GetBool("json"); err == nil && asJSON {
		p.json = json.NewEncoder(p.out)
		p.json.SetEscapeHTML(false)
	}
	return p
}

// terminalWidth returns how many columns a terminal has, or 0 if w is not a terminal.
func terminalWidth(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}

// page prints rows, given both as values for JSON and as cells.
func (p *printer) page(values []any, cells [][]string) error {
	for _, v := range values {
		if p.json != nil {
			if err := p.json.Encode(v); err != nil {
				return err
			}
		}
	}
	if p.json == nil {
		p.rows(cells)
	}
	return p.out.Flush()
}

// rows prints cells. The first page decides on the widths, and whether they become a table or blocks.
func (p *printer) rows(cells [][]string) {
	for _, row := range cells {
		for i := range row {
			row[i] = printable(row[i])
		}
	}
	if p.widths == nil && len(cells) > 0 {
		p.widths = make([]int, len(p.header))
		total := 2 * (len(p.header) - 1)
		for i, name := range p.header {
			p.widths[i] = utf8.RuneCountInString(name)
			for _, row := range cells {
				p.widths[i] = max(p.widths[i], utf8.RuneCountInString(row[i]))
			}
			total += p.widths[i]
		}
		if p.blocks = p.width > 0 && total > p.width; !p.blocks {
			p.row(p.header)
		}
	}
	for _, row := range cells {
		if !p.blocks {
			p.row(row)
			continue
		}
		for i, cell := range row {
			fmt.Fprintf(p.out, "%s: %s\n", p.header[i], cell)
		}
		fmt.Fprintln(p.out)
	}
}

func (p *printer) row(row []string) {
	for i, cell := range row {
		if i == len(row)-1 {
			fmt.Fprintln(p.out, cell)
			return
		}
		fmt.Fprint(p.out, cell, strings.Repeat(" ", max(0, p.widths[i]-utf8.RuneCountInString(cell))+2))
	}
}
