package hub

import "github.com/sse-push/caddy-sse-push/broker"

// fewPatterns is how many patterns are tried with a topic without giving up the lock.
const fewPatterns = 100

// find returns the sets of the patterns that match an entry, each once. The caller, deliver, holds mu, which find gives up while it tries
// many patterns: that takes long, and writers wait. A connection that goes live meanwhile was in the index before, or has read the entry in
// the window.
func (s *shard) find(e *entry) (found []*set) {
	m := &s.index.matched
	if m.patterns.size() == 0 || !m.audible(e) {
		return nil
	}
	var likely []*indexed[*set]
	for _, t := range e.targets {
		if t.Kind != broker.Topic {
			continue
		}
		likely = likely[:0]
		m.patterns.likely(t.Name, func(i *indexed[*set]) { likely = append(likely, i) })
		many := len(likely) > fewPatterns
		if many {
			s.mu.Unlock()
		}
		for _, i := range likely {
			if i.seen != e.seq && i.pattern.Match(t.Name) {
				i.seen = e.seq
				found = append(found, i.value)
			}
		}
		if many {
			s.mu.Lock()
		}
	}
	return found
}
