package matcher

import "slices"

// Set is what a connection listens to, or what a token grants. A nil Set matches nothing. A Set does not change.
type Set struct {
	matchers []Matcher
	names    map[string]struct{}
	patterns []*Pattern
	size     int
	effort   int
}

// NewSet returns a set of matchers. It drops duplicates.
func NewSet(matchers ...Matcher) *Set {
	s := &Set{names: make(map[string]struct{}, len(matchers))}
	seen := make(map[Matcher]struct{}, len(matchers))
	for _, m := range matchers {
		if _, again := seen[m]; again {
			continue
		}
		seen[m] = struct{}{}
		s.matchers = append(s.matchers, m)
		s.size += len(m.text) + 128
		if m.pattern == nil {
			s.names[m.text] = struct{}{}
		} else if !slices.Contains(s.patterns, m.pattern) { // "*" may come by several types
			s.patterns = append(s.patterns, m.pattern)
			s.size += m.pattern.size
			s.effort += m.pattern.effort
		}
	}
	return s
}

// Match reports whether a matcher of the set matches a topic.
func (s *Set) Match(topic string) bool {
	if s == nil {
		return false
	}
	if _, ok := s.names[topic]; ok {
		return true
	}
	for _, p := range s.patterns {
		if p.Match(topic) {
			return true
		}
	}
	return false
}

// Matchers returns the matchers, in the order given.
func (s *Set) Matchers() []Matcher {
	if s == nil {
		return nil
	}
	return s.matchers
}

// Names returns the topics that the set names exactly, in no order.
func (s *Set) Names() []string {
	if s == nil {
		return nil
	}
	names := make([]string, 0, len(s.names))
	for name := range s.names {
		names = append(names, name)
	}
	return names
}

// Patterns returns the patterns of the set.
func (s *Set) Patterns() []*Pattern {
	if s == nil {
		return nil
	}
	return s.patterns
}

// Size returns about how many bytes the set takes, its patterns included.
func (s *Set) Size() int {
	if s == nil {
		return 0
	}
	return s.size
}

// Effort returns about how long Match may take, in tenths of a microsecond.
func (s *Set) Effort() int {
	if s == nil {
		return 0
	}
	return 1 + s.effort
}

// Len returns how many matchers the set has.
func (s *Set) Len() int {
	if s == nil {
		return 0
	}
	return len(s.matchers)
}
