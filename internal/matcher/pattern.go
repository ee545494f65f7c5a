package matcher

import "errors"

// wildcard is the text that matches every topic, whatever its type.
const wildcard = "*"

const (
	// maxWildcards is the most wildcards and groups of a URL pattern, and variables of a template.
	maxWildcards = 16
	// patternSize is about how many bytes a pattern takes besides its texts and what it is compiled to.
	patternSize = 320
)

var (
	errWildcards = errors.New("must not have more than 16 variables, wildcards and groups")
	errPattern   = errors.New("is not a valid URL pattern")
	errGroup     = errors.New("must not have a group with a regular expression, (…): write :name, * or {…}, and \\( for the character itself")
)

// Space says how an index spells topics for the patterns of this space. Spaces are comparable, and there are few: one for each
// Base, and one for all else.
type Space = interface{ Spell(topic string) string }

// Pattern matches any number of topics. Equal patterns are one value, which many connections share. Its methods may be called from
// many goroutines at once.
type Pattern struct {
	text, prefix string
	space        Space
	size, effort int
	match        func(topic string) bool
}

// patternKey is what makes patterns equal. A template has no base.
type patternKey struct{ base, text string }

// patterns holds the patterns in use.
var patterns cache[patternKey, Pattern]

// All matches every topic.
var All = &Pattern{text: wildcard, space: verbatim{}, effort: 1, match: func(string) bool { return true }}

// Text returns the pattern as it was given.
func (p *Pattern) Text() string { return p.text }

// Match reports whether the pattern matches a topic.
func (p *Pattern) Match(topic string) bool { return p.match(topic) }

// Prefix returns what the spelling of each topic that the pattern matches begins with.
func (p *Pattern) Prefix() string { return p.prefix }

// Space returns the space whose spellings the prefix is for.
func (p *Pattern) Space() Space { return p.space }

// Size returns about how many bytes the pattern takes.
func (p *Pattern) Size() int { return p.size }

// Effort returns about how long Match may take, in tenths of a microsecond.
func (p *Pattern) Effort() int { return p.effort }

// verbatim is the space of patterns that match a topic's bytes.
type verbatim struct{}

func (verbatim) Spell(topic string) string { return topic }
