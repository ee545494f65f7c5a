package matcher

import (
	"strings"

	"github.com/yosida95/uritemplate/v3"
)

// isTemplate reports whether a selector is a URI template with variables.
func isTemplate(text string) bool {
	if !strings.Contains(text, "{") {
		return false
	}
	return recovered(errPattern, func() error {
		_, err := uritemplate.New(text)
		return err
	}) == nil
}

// newTemplate compiles a valid template.
func newTemplate(text string) (*Pattern, error) {
	if variables(text) > maxWildcards {
		return nil, errWildcards
	}
	prefix, _, _ := strings.Cut(text, "{")
	var rest machine
	for _, piece := range strings.Split(text, "{")[1:] { // braces stand for nothing else in a valid template
		expression, literal, _ := strings.Cut(piece, "}")
		compileExpression(&rest, expression)
		rest.fixed(literal)
	}
	return &Pattern{
		text: text, prefix: prefix, space: verbatim{}, size: patternSize + len(text) + rest.size(), effort: 1 + rest.effort(),
		match: func(topic string) bool {
			after, ok := strings.CutPrefix(topic, prefix)
			return ok && (topic == text || rest.match(after))
		},
	}, nil
}

// variables returns how many variables a valid template has.
func variables(text string) (n int) {
	for _, piece := range strings.Split(text, "{")[1:] {
		expression, _, _ := strings.Cut(piece, "}")
		n += 1 + strings.Count(expression, ",")
	}
	return n
}

// operators are what an expression may begin with (RFC 6570, appendix A). What comes first is left out if there are no values.
var operators = map[byte]struct{ first, separator string }{
	'+': {"", ","}, '#': {"#", ","}, '.': {".", "."}, '/': {"/", "/"}, ';': {";", ";"}, '?': {"?", "&"}, '&': {"&", "&"},
}

// The characters of values (RFC 3986).
var (
	valueClass    = classOf(true, func(c byte) bool { return isUnreserved(c) || c == ',' })
	pairClass     = classOf(true, func(c byte) bool { return isUnreserved(c) || c == ',' || c == '=' })
	reservedClass = classOf(true, func(c byte) bool { return isUnreserved(c) || strings.IndexByte("!#$&'()*+,/:;=?@[]", c) >= 0 })
)

// listClasses are the characters of any number of values that may be empty, with their names, and of the separator between them, if that is
// in no value.
var listClasses = map[string]*class{"/": listClass('/'), ";": listClass(';'), "&": listClass('&')}

func listClass(separator byte) *class {
	return classOf(true, func(c byte) bool { return isUnreserved(c) || c == ',' || c == '=' || c == separator })
}

// compileExpression adds what an expression may expand to. The names and the lengths of values do not count.
func compileExpression(m *machine, expression string) {
	kind, known := operators[expression[0]]
	if !known {
		kind.separator = ","
	}
	exploded := strings.Contains(expression, "*") // as many values as there are
	class := valueClass
	switch c := expression[0]; {
	case c == '+' || c == '#':
		class = reservedClass
	case exploded || strings.IndexByte(";?&", c) >= 0:
		class = pairClass
	}
	several := listClasses[kind.separator]
	if several == nil {
		several = class // it has the separator
	}
	values := instruction{operation: many, class: class}
	m.optional(func() {
		m.fixed(kind.first)
		if exploded || several == class {
			m.add(instruction{operation: many, class: several})
			return
		}
		m.add(values)
		for range strings.Count(expression, ",") {
			m.optional(func() {
				m.fixed(kind.separator)
				m.add(values)
			})
		}
	})
}
