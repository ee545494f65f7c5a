package hub

import (
	"slices"
	"strings"

	"github.com/sse-push/caddy-sse-push/broker"
)

// mark is the newest entry trimmed of a target.
type mark struct {
	seq uint64
	pos broker.Position
}

// postings lists the entries of one target, oldest first.
type postings struct {
	target     broker.Target
	seqs       []uint64
	trimmed    mark
	open       *mark     // the newest trimmed that some may have heard without a grant of this topic; nil for none
	prev, next *postings // in the list of targets without entries
}

// trim marks an entry as trimmed.
func (p *postings) trim(e *entry) {
	p.trimmed = mark{e.seq, e.pos}
	if e.public || e.hole() || len(e.targets) > 1 {
		if p.open == nil {
			p.open = new(mark)
		}
		*p.open = p.trimmed
	}
}

// maxQuiet bounds the bytes taken by targets that have no entries left, and are kept only for their marks.
const maxQuiet = 16 << 20

// memory returns about what the postings take while they have no entries.
func (p *postings) memory() int64 {
	n := int64(len(p.target.Name)) + 256
	if p.target.Kind == broker.Topic {
		n += 256 * int64(strings.Count(p.target.Name, "/")+1) // a node of the tree for each segment
	}
	return n
}

// postings returns the list of a target that is about to get an entry.
func (w *window) postings(t broker.Target) *postings {
	p := w.index[t]
	if p == nil {
		p = &postings{target: t}
		w.index[t] = p
	} else if len(p.seqs) == 0 {
		w.unlink(p)
	}
	if len(p.seqs) == 0 && t.Kind == broker.Topic {
		w.topics.put(t.Name, p)
	}
	return p
}

// link appends a target without entries to the list of the quiet ones.
func (w *window) link(p *postings) {
	p.seqs = nil
	p.prev, p.next = w.quietTail, nil
	if w.quietTail != nil {
		w.quietTail.next = p
	} else {
		w.quietHead = p
	}
	w.quietTail = p
	if p.target.Kind == broker.Topic {
		w.topics.remove(p.target.Name)
		w.quietTopics.put(p.target.Name, p)
	}
	for w.quiet += p.memory(); w.quiet > maxQuiet; {
		oldest := w.quietHead
		w.unlink(oldest)
		if oldest.trimmed.seq > w.mark.seq {
			w.mark = oldest.trimmed
		}
		delete(w.index, oldest.target)
	}
}

func (w *window) unlink(p *postings) {
	if p.prev != nil {
		p.prev.next = p.next
	} else {
		w.quietHead = p.next
	}
	if p.next != nil {
		p.next.prev = p.prev
	} else {
		w.quietTail = p.prev
	}
	p.prev, p.next = nil, nil
	w.quiet -= p.memory()
	if p.target.Kind == broker.Topic {
		w.quietTopics.remove(p.target.Name)
	}
}

// Retire drops what the hub keeps of a topic without entries for clients that come back to it, as none will. If the topic has entries,
// Retire does nothing.
func (h *Hub) Retire(topic string) { h.window.retire(broker.Target{Kind: broker.Topic, Name: topic}) }

func (w *window) retire(t broker.Target) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p := w.index[t]; p != nil && len(p.seqs) == 0 {
		w.unlink(p)
		delete(w.index, t)
	}
}

// lists visits the postings of everything that an interest hears, until visit returns false. It reports whether it visited all. Those of
// matchers may have entries that are not heard; those of an interest with patterns among its matchers are not visited at all.
func (w *window) lists(in interest, visit func(*postings) bool) bool {
	m := in.topics.matched()
	if m != nil && len(m.Patterns) > 0 {
		return false // too many topics may match
	}
	look := func(kind broker.TargetKind, name string) bool {
		p := w.index[broker.Target{Kind: kind, Name: name}]
		return p == nil || visit(p)
	}
	if !look(broker.Broadcast, "") || !look(broker.Connection, in.id) || in.user != "" && !look(broker.User, in.user) {
		return false
	}
	for _, name := range in.topics.exact() {
		if !look(broker.Topic, name) {
			return false
		}
	}
	for _, pattern := range in.topics.patterned() {
		if !w.topics.covered(pattern, visit) {
			return false
		}
	}
	return true
}

// missed reports whether something of an interest may have been trimmed. newer reports whether a mark is newer than the place
// that the connection has come to.
func (w *window) missed(in interest, newer func(mark) bool) bool {
	if newer(w.mark) {
		return true
	}
	if m := in.topics.matched(); m != nil {
		return w.missedBy(m, newer)
	}
	kept := func(p *postings) bool { return p.trimmed.seq == 0 || !newer(p.trimmed) }
	if !w.lists(in, kept) {
		return true
	}
	return slices.ContainsFunc(in.topics.patterned(), func(pattern string) bool { return !w.quietTopics.covered(pattern, kept) })
}

// maxGuess is about how long the matchers of one client may look at trimmed topics, in tenths of a microsecond, before it is taken for
// granted that it has missed something. The window's lock is held meanwhile.
const maxGuess = 1 << 16

// missedBy is missed for matchers.
func (w *window) missedBy(m *Matchers, newer func(mark) bool) bool {
	guesses := 0
	gone := func(p *postings) bool {
		if p.open != nil && newer(*p.open) {
			return true
		}
		if m.Granted == nil || p.trimmed.seq == 0 || !newer(p.trimmed) {
			return false
		}
		guesses += m.Granted.Effort()
		return guesses > maxGuess || m.Granted.Grants(p.target.Name)
	}
	if all := w.index[everyone[0]]; all != nil && all.open != nil && newer(*all.open) { // a hole
		return true
	}
	for _, name := range m.Names {
		if p := w.index[broker.Target{Kind: broker.Topic, Name: name}]; p != nil && gone(p) {
			return true
		}
	}
	if len(m.Patterns) == 0 {
		return false
	}
	for t, p := range w.index {
		if t.Kind != broker.Topic || !gone(p) {
			continue
		}
		if guesses += m.effort; guesses > maxGuess || m.hits(t.Name) {
			return true
		}
	}
	return false
}
