package matcher

import (
	"errors"

	"github.com/dunglas/go-urlpattern"
)

// newURLPattern compiles a URL pattern. The library takes the text apart and brings each component into its canonical form; what
// is left to match is made here, since a topic is parsed once for many patterns.
func newURLPattern(base *Base, text string) (*Pattern, error) {
	if hasGroup(text) {
		return nil, errGroup
	}
	var canonical [components]string
	if err := recovered(errPattern, func() error {
		p, err := urlpattern.New(text, "", nil)
		if errors.Is(err, urlpattern.ErrNoBaseURL) { // relative
			p, err = urlpattern.New(text, base.url, nil)
		}
		if err != nil || p.HasRegexpGroups() {
			return errPattern
		}
		canonical = [components]string{
			p.Protocol(), p.Username(), p.Password(), p.Hostname(), p.Port(), p.Pathname(), p.Search(), p.Hash(),
		}
		return nil
	}); err != nil {
		return nil, err
	}
	var all [components]component
	wildcards, size, effort := 0, components*80, 1
	for i := range all {
		c, err := compileComponent(canonical[i], delimiterOf(i, &all[protocol]))
		if err != nil {
			return nil, err
		}
		if canonical[i] != wildcard { // what the text leaves open
			wildcards += c.wildcards
		}
		all[i], size, effort = c, size+len(c.prefix)+c.rest.size(), effort+c.rest.effort()
	}
	if wildcards > maxWildcards {
		return nil, errWildcards
	}
	prefix := prefixOf(&all)
	return &Pattern{
		text: text, prefix: prefix, space: base, size: patternSize + len(text) + len(prefix) + size, effort: effort,
		match: func(topic string) bool {
			t := base.parse(topic)
			return t.valid && matchAll(&all, &t.parts)
		},
	}, nil
}

// matchAll reports whether each component matches its part.
func matchAll(all *[components]component, parts *[components]string) bool {
	for i := range all {
		if !all[i].match(parts[i]) {
			return false
		}
	}
	return true
}

// prefixOf returns the fixed beginning of what Base.Spell makes of topics that match.
func prefixOf(all *[components]component) string {
	if !all[protocol].fixed() {
		return all[protocol].prefix
	}
	prefix := all[protocol].prefix + "://" + all[hostname].prefix
	if !all[hostname].fixed() {
		return prefix
	}
	prefix += ":" + all[port].prefix
	if !all[port].fixed() {
		return prefix
	}
	return prefix + all[pathname].prefix
}

// specialSchemes are those whose URLs have a path of segments, and a host, by the URL standard. The file scheme is not among them
// for URL patterns.
var specialSchemes = []string{"http", "https", "ws", "wss", "ftp"}

// delimiterOf returns what separates the segments of a component, or 0. A path has segments if the protocol may be a special one.
func delimiterOf(i int, scheme *component) byte {
	switch i {
	case hostname:
		return '.'
	case pathname:
		for _, special := range specialSchemes {
			if scheme.match(special) {
				return '/'
			}
		}
	}
	return 0
}

// hasGroup reports whether a URL pattern has a group with a regular expression.
func hasGroup(text string) bool {
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '(':
			return true
		}
	}
	return false
}
