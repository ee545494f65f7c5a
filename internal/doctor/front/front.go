package front

import (
	"maps"
	"slices"
)

// Front is what is known of a proxy.
type Front struct {
	Name string
	// marks are what its Via and Server contain, in lower case.
	marks []string
	// own reports whether this front itself gave an answer to a request that no server accepts. It is nil if such answers cannot be
	// recognised.
	own func(Answer) bool
	// mends are the lines that mend a finding, by its code.
	mends map[string][]Line
}

// Mends returns the lines that mend a finding in it.
func (f *Front) Mends(code string) (lines []Line) {
	for _, l := range f.mends[code] {
		lines = append(lines, l.At(f.Name))
	}
	return lines
}

// Codes returns the codes of the findings that it has lines for.
func (f *Front) Codes() []string { return slices.Sorted(maps.Keys(f.mends)) }
