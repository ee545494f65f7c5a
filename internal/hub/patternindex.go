package hub

import "slices"

// patternIndex maps patterns to values, and finds those that may match a topic, as it has their fixed prefix.
type patternIndex[V any] struct {
	patterns map[Pattern]*indexed[V]
	spaces   map[Space]*prefixes[V]
}

// indexed is a pattern in an index.
type indexed[V any] struct {
	pattern Pattern
	value   V
	place   int    // among those of its prefix
	seen    uint64 // the place of the newest entry that it matched; only shard.find uses it
}

// prefixes finds patterns by their fixed prefix.
type prefixes[V any] struct {
	patterns map[string][]*indexed[V]
	lengths  []prefixLength // ascending
}

// prefixLength is a length that some prefixes have.
type prefixLength struct{ bytes, prefixes int }

// size returns how many patterns there are.
func (x *patternIndex[V]) size() int { return len(x.patterns) }

// get returns the value of a pattern. known is false if there is none.
func (x *patternIndex[V]) get(p Pattern) (v V, known bool) {
	if i := x.patterns[p]; i != nil {
		return i.value, true
	}
	return v, false
}

// put adds a pattern that the index does not have.
func (x *patternIndex[V]) put(p Pattern, v V) {
	if x.patterns == nil {
		x.patterns, x.spaces = map[Pattern]*indexed[V]{}, map[Space]*prefixes[V]{}
	}
	i, space := &indexed[V]{pattern: p, value: v}, p.Space()
	x.patterns[p] = i
	if x.spaces[space] == nil {
		x.spaces[space] = &prefixes[V]{patterns: map[string][]*indexed[V]{}}
	}
	x.spaces[space].put(i)
}

// remove removes a pattern that the index has.
func (x *patternIndex[V]) remove(p Pattern) {
	space := p.Space()
	if x.spaces[space].remove(x.patterns[p]); len(x.spaces[space].patterns) == 0 {
		delete(x.spaces, space)
	}
	delete(x.patterns, p)
}

// likely visits the patterns that may match a topic, by their prefixes.
func (x *patternIndex[V]) likely(topic string, visit func(*indexed[V])) {
	for space, px := range x.spaces {
		px.covering(space.Spell(topic), visit)
	}
}

// covering visits the patterns whose prefix a spelling has.
func (px *prefixes[V]) covering(spelling string, visit func(*indexed[V])) {
	for _, n := range px.lengths {
		if n.bytes > len(spelling) {
			return
		}
		for _, i := range px.patterns[spelling[:n.bytes]] {
			visit(i)
		}
	}
}

func (px *prefixes[V]) put(i *indexed[V]) {
	prefix := i.pattern.Prefix()
	same := px.patterns[prefix]
	i.place, px.patterns[prefix] = len(same), append(same, i)
	if len(same) > 0 {
		return
	}
	at, known := px.length(prefix)
	if !known {
		px.lengths = slices.Insert(px.lengths, at, prefixLength{bytes: len(prefix)})
	}
	px.lengths[at].prefixes++
}

func (px *prefixes[V]) remove(i *indexed[V]) {
	prefix := i.pattern.Prefix()
	same := px.patterns[prefix]
	last := len(same) - 1
	same[i.place], same[last].place = same[last], i.place
	same[last] = nil
	if last > 0 {
		px.patterns[prefix] = same[:last]
		return
	}
	delete(px.patterns, prefix)
	at, _ := px.length(prefix)
	if px.lengths[at].prefixes--; px.lengths[at].prefixes == 0 {
		px.lengths = slices.Delete(px.lengths, at, at+1)
	}
}

// length returns the place of a prefix's length.
func (px *prefixes[V]) length(prefix string) (int, bool) {
	return slices.BinarySearchFunc(px.lengths, len(prefix), func(n prefixLength, bytes int) int { return n.bytes - bytes })
}
