package matcher

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// component matches one component of a URL. Most are a fixed text, "*", or a fixed text with one of the two wildcards at its end.
type component struct {
	prefix    string // fixed text at the beginning
	ending    ending
	delimiter byte    // between segments; 0: there are none
	rest      machine // of an expression: what comes after the prefix
	wildcards int     // and parts that are optional or repeated
}

// ending is what follows a component's fixed text.
type ending uint8

const (
	nothing    ending = iota
	segment           // one segment, which is not empty
	anything          // even nothing
	expression        // else
)

// fixed reports whether the component matches one text.
func (c *component) fixed() bool { return c.ending == nothing }

// match reports whether the component matches a text.
func (c *component) match(text string) bool {
	text, ok := strings.CutPrefix(text, c.prefix)
	switch {
	case !ok:
		return false
	case c.ending == nothing:
		return text == ""
	case c.ending == segment:
		return text != "" && strings.IndexByte(text, c.delimiter) < 0
	case c.ending == anything:
		return true
	}
	return c.rest.match(text)
}

// part is a piece of a component: a text, or a wildcard between two texts, either perhaps optional or repeated.
type part struct {
	before, after string
	wildcard      ending // segment, anything, or nothing
	modifier      byte   // '?', '*', '+', or 0
}

// compileComponent compiles the canonical form of a component, as a URLPattern object returns it
// (https://urlpattern.spec.whatwg.org/#generate-a-pattern-string).
func compileComponent(canonical string, delimiter byte) (component, error) {
	parts, err := parseComponent(canonical, delimiter)
	if err != nil {
		return component{}, err
	}
	c := component{delimiter: delimiter}
	for _, p := range parts {
		if p.wildcard != nothing || p.modifier != 0 {
			c.wildcards++
		}
	}
	for len(parts) > 0 && parts[0].wildcard == nothing && parts[0].modifier == 0 {
		c.prefix += parts[0].before
		parts = parts[1:]
	}
	if len(parts) > 0 && parts[0].modifier == 0 {
		c.prefix, parts[0].before = c.prefix+parts[0].before, ""
	}
	switch {
	case len(parts) == 0:
	case len(parts) == 1 && parts[0] == part{wildcard: parts[0].wildcard}:
		c.ending = parts[0].wildcard
	default:
		c.ending = expression
		classes := classesOf(delimiter)
		for _, p := range parts {
			p.compile(&c.rest, classes)
		}
	}
	return c, nil
}

// classesOf returns the classes of the wildcards.
func classesOf(delimiter byte) [expression]*class {
	return [expression]*class{
		segment:  classOf(false, func(c byte) bool { return c != delimiter }),
		anything: classOf(false, func(byte) bool { return true }),
	}
}

// compile adds a part to a machine.
func (p part) compile(m *machine, classes [expression]*class) {
	class := classes[p.wildcard]
	once := func() {
		m.fixed(p.before)
		if p.wildcard == segment {
			m.add(instruction{operation: one, class: class})
		}
		if p.wildcard != nothing {
			m.add(instruction{operation: many, class: class})
		}
		m.fixed(p.after)
	}
	// The texts around a wildcard stand between its repetitions, too: /a/b for /:name+.
	switch p.modifier {
	case 0:
		once()
	case '?':
		m.optional(once)
	case '*':
		m.repeated(once)
	case '+':
		once()
		m.repeated(once)
	}
}

// reader reads a component's canonical form.
type reader struct{ rest string }

// parseComponent takes a component's canonical form apart.
func parseComponent(canonical string, delimiter byte) (parts []part, err error) {
	r := reader{canonical}
	var text string // that comes before the next part
	last := false   // its last character may be the prefix of a wildcard: it is a delimiter of paths that is not escaped
	flush := func() {
		if text != "" {
			parts, text = append(parts, part{before: text}), ""
		}
		last = false
	}
	for r.rest != "" {
		var p part
		if p.wildcard = r.wildcard(); p.wildcard != nothing {
			if last {
				text, p.before = text[:len(text)-1], text[len(text)-1:]
			}
			p.modifier = r.modifier()
			flush()
			parts = append(parts, p)
			continue
		}
		if r.take('{') {
			p.before = r.text()
			p.wildcard = r.wildcard()
			p.after = r.text()
			if !r.take('}') {
				return nil, errPattern
			}
			p.modifier = r.modifier()
			flush()
			parts = append(parts, p)
			continue
		}
		escaped := r.rest[0] == '\\'
		c := r.character()
		if c == "" {
			return nil, errPattern
		}
		text, last = text+c, c == "/" && delimiter == '/' && !escaped
	}
	flush()
	return parts, nil
}

// take skips a character, and reports whether it was there.
func (r *reader) take(c byte) bool {
	if r.rest == "" || r.rest[0] != c {
		return false
	}
	r.rest = r.rest[1:]
	return true
}

// character reads one character of fixed text, or returns "".
func (r *reader) character() string {
	escaped := r.take('\\')
	c, n := utf8.DecodeRuneInString(r.rest)
	if n == 0 || !escaped && strings.ContainsRune("{}()*+?:", c) {
		return ""
	}
	text := r.rest[:n]
	r.rest = r.rest[n:]
	return text
}

// text reads fixed text.
func (r *reader) text() (text string) {
	for {
		c := r.character()
		if c == "" {
			return text
		}
		text += c
	}
}

// wildcard reads a wildcard, and returns nothing if there is none.
func (r *reader) wildcard() ending {
	const full = "(.*)" // how "*" is written after some parts, and after a name
	named := r.name()
	switch {
	case strings.HasPrefix(r.rest, full):
		r.rest = r.rest[len(full):]
		return anything
	case named:
		return segment
	case r.take('*'):
		return anything
	}
	return nothing
}

// name skips a wildcard's name, and reports whether it was there.
func (r *reader) name() bool {
	if !strings.HasPrefix(r.rest, ":") {
		return false
	}
	after := strings.TrimLeftFunc(r.rest[1:], isNamePart)
	if len(after) == len(r.rest)-1 {
		return false
	}
	r.rest = after
	return true
}

// isNamePart reports whether a name may have the character after its first (ID_Continue).
func isNamePart(c rune) bool {
	return unicode.In(c, unicode.L, unicode.Nl, unicode.Other_ID_Start, unicode.Mn, unicode.Mc, unicode.Nd, unicode.Pc, unicode.Other_ID_Continue) &&
		!unicode.In(c, unicode.Pattern_Syntax, unicode.Pattern_White_Space)
}

// modifier reads a modifier, or returns 0.
func (r *reader) modifier() byte {
	for _, c := range []byte("?*+") {
		if r.take(c) {
			return c
		}
	}
	return 0
}
