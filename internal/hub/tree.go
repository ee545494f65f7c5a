package hub

import "strings"

// tree maps topics or patterns to values, segment by segment. The zero tree is empty.
type tree[V any] struct {
	children map[string]*tree[V]
	value    V
	set      bool
}

// at returns the node of name, and creates it if there is none.
func (t *tree[V]) at(name string) *tree[V] {
	for seg := range strings.SplitSeq(name, "/") {
		child := t.children[seg]
		if child == nil {
			if t.children == nil {
				t.children = map[string]*tree[V]{}
			}
			child = &tree[V]{}
			t.children[seg] = child
		}
		t = child
	}
	return t
}

func (t *tree[V]) put(name string, v V) {
	n := t.at(name)
	n.value, n.set = v, true
}

// remove removes name, and the nodes that are empty then.
func (t *tree[V]) remove(name string) {
	seg, rest, more := strings.Cut(name, "/")
	child := t.children[seg]
	if child == nil {
		return
	}
	if more {
		child.remove(rest)
	} else {
		var none V
		child.value, child.set = none, false
	}
	if !child.set && len(child.children) == 0 {
		delete(t.children, seg)
	}
}

// covering visits each pattern in the tree that covers topic once. A segment of a topic may be "*" or "**": other protocols have topics
// of any form.
func (t *tree[V]) covering(topic string, visit func(V)) {
	if len(t.children) == 0 {
		return
	}
	tail, one := t.children["**"], t.children["*"]
	if tail != nil && tail.set {
		visit(tail.value)
	}
	seg, rest, more := strings.Cut(topic, "/")
	same := t.children[seg]
	if same == one || same == tail {
		same = nil
	}
	for _, child := range [2]*tree[V]{same, one} {
		switch {
		case child == nil:
		case more:
			child.covering(rest, visit)
		case child.set:
			visit(child.value)
		}
	}
}

// covered visits the topics in the tree that pattern covers, until visit returns false. It reports whether it visited all.
func (t *tree[V]) covered(pattern string, visit func(V) bool) bool {
	seg, rest, more := strings.Cut(pattern, "/")
	step := func(child *tree[V]) bool {
		if more {
			return child.covered(rest, visit)
		}
		return !child.set || visit(child.value)
	}
	switch {
	case seg == "**" && !more:
		for _, child := range t.children {
			if !child.all(visit) {
				return false
			}
		}
	case seg == "*":
		for _, child := range t.children {
			if !step(child) {
				return false
			}
		}
	default:
		if child := t.children[seg]; child != nil {
			return step(child)
		}
	}
	return true
}

func (t *tree[V]) all(visit func(V) bool) bool {
	if t.set && !visit(t.value) {
		return false
	}
	for _, child := range t.children {
		if !child.all(visit) {
			return false
		}
	}
	return true
}
