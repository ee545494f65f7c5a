package hub

import (
	"hash/maphash"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/rules"
)

// interest is all that a connection hears: broadcasts, what is for itself, for its user, and its topics.
type interest struct {
	id, user string
	topics   *topics
}

// hears reports whether an entry is for this interest.
func (in interest) hears(e *entry) bool { return in.meets(e.targets) }

// meets reports whether one of the targets is this interest's.
func (in interest) meets(targets []broker.Target) bool {
	return slices.ContainsFunc(targets, func(t broker.Target) bool {
		switch t.Kind {
		case broker.Connection:
			return t.Name == in.id
		case broker.User:
			return t.Name == in.user
		case broker.Topic:
			_, exact := slices.BinarySearch(in.topics.exact(), t.Name)
			return exact || slices.ContainsFunc(in.topics.patterned(), func(p string) bool { return rules.Match(p, t.Name) })
		}
		return true
	})
}

// topics are what a connection is subscribed to, sorted; nil is none. They are never changed, but replaced, and
// connections with the same ones share them.
type topics struct{ all, names, patterns []string }

func newTopics(list []string) *topics {
	if len(list) == 0 {
		return nil
	}
	t := new(topics)
	for _, name := range list {
		name = strings.Clone(name) // of its own: else it would keep the request in memory
		t.all = append(t.all, name)
		if rules.IsPattern(name) {
			t.patterns = append(t.patterns, name)
		} else {
			t.names = append(t.names, name)
		}
	}
	t.all, t.names, t.patterns = slices.Clip(t.all), slices.Clip(t.names), slices.Clip(t.patterns)
	return t
}

func (t *topics) list() []string {
	if t == nil {
		return nil
	}
	return t.all
}

func (t *topics) exact() []string {
	if t == nil {
		return nil
	}
	return t.names
}

func (t *topics) patterned() []string {
	if t == nil {
		return nil
	}
	return t.patterns
}

// recent are topics that a connection came with not long ago, as the next one may come with the same.
type recent struct {
	seed  maphash.Seed
	slots [64]atomic.Pointer[topics]
}

// topics returns those of a list, which it may sort.
func (r *recent) topics(list []string) *topics {
	if len(list) == 0 {
		return nil
	}
	slices.Sort(list)
	list = slices.Compact(list)
	var h maphash.Hash
	h.SetSeed(r.seed)
	for _, name := range list {
		_, _ = h.WriteString(name)
	}
	slot := &r.slots[h.Sum64()%uint64(len(r.slots))]
	if t := slot.Load(); slices.Equal(t.list(), list) {
		return t
	}
	t := newTopics(list)
	slot.Store(t)
	return t
}
