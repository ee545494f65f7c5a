package matcher

import (
	"errors"
	"strings"
)

// Names of the matcher types. Protocol 1.0 knows the first two.
const (
	TypeExact      = "exact"
	TypeURLPattern = "urlpattern"
	TypeTemplate   = "template"
)

// ErrType is the error for a matcher type that protocol 1.0 does not have.
var ErrType = errors.New("unknown matcher type: the types are exact and urlpattern")

// Matcher is one topic matcher as a client or a token names it. Equal matchers are equal values.
type Matcher struct {
	kind, text string
	pattern    *Pattern // nil: the text is a topic
}

// Any is the matcher of every topic.
var Any = Matcher{kind: TypeExact, text: wildcard, pattern: All}

// Matcher returns the matcher of a type of protocol 1.0. No type is the exact one.
func (b *Base) Matcher(matchType, text string) (Matcher, error) {
	m := Matcher{kind: TypeExact}
	switch matchType {
	case "", TypeExact:
	case TypeURLPattern:
		m.kind = TypeURLPattern
	default:
		return Matcher{}, ErrType
	}
	if err := CheckText(text); err != nil {
		return Matcher{}, err
	}
	m.text = strings.Clone(text) // so that it does not hold on to a whole request or token
	var err error
	switch {
	case m.text == wildcard:
		m.pattern = All
	case m.kind == TypeURLPattern:
		m.pattern, err = patterns.get(patternKey{b.url, m.text}, func() (*Pattern, error) { return newURLPattern(b, m.text) })
	}
	return m, err
}

// Selector returns the matcher of a topic selector of protocol 0.x.
func Selector(text string) (Matcher, error) {
	if err := CheckText(text); err != nil {
		return Matcher{}, err
	}
	m := Matcher{kind: TypeExact, text: strings.Clone(text)}
	var err error
	switch {
	case m.text == wildcard:
		m.pattern = All
	case isTemplate(m.text):
		m.kind = TypeTemplate
		m.pattern, err = patterns.get(patternKey{"", m.text}, func() (*Pattern, error) { return newTemplate(m.text) })
	}
	return m, err
}

// Text returns the matcher as it was given.
func (m Matcher) Text() string { return m.text }

// Type returns the name of the matcher's type.
func (m Matcher) Type() string { return m.kind }

// Pattern returns the pattern, or nil if the matcher names one topic, its text.
func (m Matcher) Pattern() *Pattern { return m.pattern }

// Match reports whether the matcher matches a topic.
func (m Matcher) Match(topic string) bool {
	if m.pattern == nil {
		return topic == m.text
	}
	return m.pattern.Match(topic)
}
