package hub

import (
	"slices"
	"strings"

	"github.com/sse-push/caddy-sse-push/broker"
)

// Matchers are what a connection listens to that speaks another protocol, such as Mercure's, in place of Subscription.Topics. It hears
// an event if a name or pattern hits one of the event's topics, and the event is public or one of its topics is granted. The two
// need not be the same topic. It hears nothing that is sent to users, to connections or to all. Each connection has its own.
type Matchers struct {
	Names    []string // topics, as they are
	Patterns []Pattern
	Granted  Granted // what it may hear of what is not public; nil for nothing
	Size     int64   // about how many bytes Patterns and Granted take; what connections share is charged to each

	// Exact is set by Subscribe: the client's last event id was found, and the stream goes on after that. Otherwise a client that gave
	// an id gets all that the window has.
	Exact bool

	// Unsure says that some of what the client listens to may not have been published before it came. A client that comes back is
	// then told of a gap.
	Unsure bool

	// Ended is called once the connection has ended; nil for nothing.
	Ended func()

	effort int // about how long it takes to look at one topic, in tenths of a microsecond

	// Guarded by shard.mu.
	judged uint64 // the place of the entry that was last looked at
	opened bool   // and whether it was open
}

func (m *Matchers) patterns() []Pattern {
	if m == nil {
		return nil
	}
	return m.Patterns
}

// Pattern matches topics. Equal patterns are one comparable value, so that what many connections listen to is looked at once. Its
// methods may be called by several goroutines at once.
type Pattern interface {
	Match(topic string) bool
	// Prefix begins the spelling, in Space, of every topic that matches.
	Prefix() string
	Space() Space
	// Effort is about how long Match may take, in tenths of a microsecond.
	Effort() int
	// Text is how lists of connections name it.
	Text() string
}

// Space is a way to spell topics. It is comparable.
type Space = interface{ Spell(topic string) string }

// Granted says which topics a client may hear.
type Granted interface {
	Grants(topic string) bool
	// Effort is about how long Grants may take, in tenths of a microsecond.
	Effort() int
}

// newMatched returns what lists a connection's matchers. The strings are copies, as the caller's would keep the request in memory.
func newMatched(m *Matchers) *topics {
	t := &topics{matchers: m}
	for _, name := range m.Names {
		t.names = append(t.names, strings.Clone(name))
	}
	slices.Sort(t.names)
	t.names = slices.Clip(slices.Compact(t.names))
	m.Names, t.all, m.effort = t.names, t.names, 1
	for _, p := range m.Patterns {
		m.effort += p.Effort()
	}
	if m.Granted != nil {
		m.effort += m.Granted.Effort()
	}
	if len(m.Patterns) > 0 {
		t.all = make([]string, 0, len(t.names)+len(m.Patterns))
		t.all = append(t.all, t.names...)
		for _, p := range m.Patterns {
			t.all = append(t.all, p.Text())
		}
	}
	return t
}

// hits reports whether a name or pattern matches a topic.
func (m *Matchers) hits(topic string) bool {
	if _, named := slices.BinarySearch(m.Names, topic); named {
		return true
	}
	return slices.ContainsFunc(m.Patterns, func(p Pattern) bool { return p.Match(topic) })
}

// may reports whether one of the topics among the targets is granted.
func (m *Matchers) may(targets []broker.Target) bool {
	return m.Granted != nil && slices.ContainsFunc(targets, func(t broker.Target) bool {
		return t.Kind == broker.Topic && m.Granted.Grants(t.Name)
	})
}

// heed reports whether one of the topics among the targets is listened to.
func (m *Matchers) heed(targets []broker.Target) bool {
	return slices.ContainsFunc(targets, func(t broker.Target) bool { return t.Kind == broker.Topic && m.hits(t.Name) })
}
