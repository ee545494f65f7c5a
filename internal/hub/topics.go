package hub

import (
	"hash/maphash"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/sse-push/caddy-sse-push/internal/rules"
)

// topics has what a connection is subscribed to, sorted. It is nil for nothing. It is never changed, only replaced, and
// connections with the same list share it.
type topics struct {
	all, names, patterns []string
	matchers             *Matchers // nil for most; names are then theirs, and there are no patterns
}

func newTopics(list []string) *topics {
	if len(list) == 0 {
		return nil
	}
	t := new(topics)
	for _, name := range list {
		name = strings.Clone(name) // a copy, as the string would keep the request in memory
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

// matched returns the matchers; nil if there are none.
func (t *topics) matched() *Matchers {
	if t == nil {
		return nil
	}
	return t.matchers
}

// topicCache has topics that connections came with lately, so that the next one with the same list can share them.
type topicCache struct {
	seed  maphash.Seed
	slots [64]atomic.Pointer[topics]
}

// of returns the topics of a list, which it may sort.
func (tc *topicCache) of(list []string) *topics {
	if len(list) == 0 {
		return nil
	}
	slices.Sort(list)
	list = slices.Compact(list)
	var h maphash.Hash
	h.SetSeed(tc.seed)
	for _, name := range list {
		_, _ = h.WriteString(name)
	}
	slot := &tc.slots[h.Sum64()%uint64(len(tc.slots))]
	if t := slot.Load(); slices.Equal(t.list(), list) {
		return t
	}
	t := newTopics(list)
	slot.Store(t)
	return t
}
