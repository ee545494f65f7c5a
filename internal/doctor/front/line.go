package front

import "strings"

// Line is what mends a finding in one place.
type Line struct {
	In     string `json:"in"`               // the name of a front, or sse_push, page or app
	Line   string `json:"line"`             // for a reader
	Block  string `json:"at,omitempty"`     // if it can be pasted: in which block, file or kind of option
	Paste  string `json:"paste,omitempty"`  // one or several lines, for the path /events and the address hub:8080
	Remove string `json:"remove,omitempty"` // how the lines begin that go from there
}

// Say returns what a reader has to do by judgement.
func Say(text string) Line { return Line{Line: text} }

// Paste returns a text that is pasted in a block, or lines that are removed from it, or both.
func Paste(block, text, remove string) Line { return Line{Block: block, Paste: text, Remove: remove} }

// At returns the line as one of a place.
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

// Removed says for a reader what has to go, unless Paste is another line of the same kind.
func (l Line) Removed() string {
	if l.Remove == "" || strings.HasPrefix(l.Paste, l.Remove) {
		return ""
	}
	return "no " + l.Remove
}
