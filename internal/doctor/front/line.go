package front

import "strings"

// Line says what to change in one place to mend a finding.
type Line struct {
	In     string `json:"in"`               // the name of a front, or sse_push, page or app
	Line   string `json:"line"`             // for a reader
	Block  string `json:"at,omitempty"`     // if it can be pasted: in which block, file or kind of option
	Paste  string `json:"paste,omitempty"`  // one or several lines, for the path /events and the address hub:8080
	Remove string `json:"remove,omitempty"` // how the lines begin that are to be removed there
}

// Say returns an instruction that the reader has to adapt.
func Say(text string) Line { return Line{Line: text} }

// Paste returns an instruction to paste a text into a block, to remove lines from the block, or both.
func Paste(block, text, remove string) Line { return Line{Block: block, Paste: text, Remove: remove} }

// At returns the line for a place.
func (l Line) At(place string) Line {
	l.In = place
	if l.Block == "" {
		return l
	}
	var parts []string
	if l.Paste != "" {
		parts = append(parts, strings.ReplaceAll(l.Paste, "\n", " / "))
	}
	if removed := l.Removed(); removed != "" {
		parts = append(parts, removed)
	}
	l.Line = strings.Join(parts, ", and ") + " (" + l.Block + ")"
	return l
}

// Removed tells the reader which lines to remove. It returns "" if Paste replaces them.
func (l Line) Removed() string {
	if l.Remove == "" || strings.HasPrefix(l.Paste, l.Remove) {
		return ""
	}
	return "no " + l.Remove
}
