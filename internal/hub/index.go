package hub

import (
	"hash/maphash"
	"slices"

	"github.com/sse-push/caddy-sse-push/broker"
)

// index finds the connections of a shard by what they hear. A connection with a user and no topics takes two small entries. The
// shard's lock guards it.
type index struct {
	all      []*Conn
	plain    int              // how many of all have no matchers; they come first
	ids      map[uint64]*Conn // by the key of the id
	twins    map[string]*Conn // by id: those whose key another id had already; nil for none
	users    map[uint64]*Conn // by the key of the user: the first of a list linked by Conn.next, perhaps with another user's
	names    map[string]*set  // by topic
	patterns tree[*set]
	byName   map[string]*set // patterns, by name
	matched  matched

	seed maphash.Seed
	mask uint64 // of keys: all bits, but for tests of equal keys
}

func newIndex() index {
	return index{
		ids: map[uint64]*Conn{}, users: map[uint64]*Conn{}, names: map[string]*set{}, byName: map[string]*set{},
		seed: maphash.MakeSeed(), mask: ^uint64(0),
	}
}

// key returns what stands for a name in a map, in less memory than the name. Two names may have the same one.
func (x *index) key(name string) uint64 { return maphash.String(x.seed, name) & x.mask }

// find returns the connection with an id, or nil.
func (x *index) find(id string) *Conn {
	if c := x.ids[x.key(id)]; c != nil && c.ID == id {
		return c
	}
	return x.twins[id]
}

// name makes find return a connection for its id, which no other has.
func (x *index) name(c *Conn) {
	key := x.key(c.ID)
	if x.ids[key] == nil {
		x.ids[key] = c
		return
	}
	if x.twins == nil {
		x.twins = map[string]*Conn{}
	}
	x.twins[c.ID] = c
}

// unname undoes name, unless another connection has the id by now.
func (x *index) unname(c *Conn) {
	if key := x.key(c.ID); x.ids[key] == c {
		delete(x.ids, key)
	}
	if x.twins[c.ID] == c {
		delete(x.twins, c.ID)
	}
}

// hearers calls f for each live connection that hears an entry, once or several times. found has the sets of the patterns that match.
func (x *index) hearers(e *entry, found []*set, f func(*Conn)) {
	for _, t := range e.targets {
		switch t.Kind {
		case broker.Broadcast:
			all := x.all[:x.plain]
			if e.hole() {
				all = x.all
			}
			for _, c := range all {
				f(c)
			}
		case broker.Connection:
			if c := x.find(t.Name); c != nil && !c.matches {
				f(c)
			}
		default:
			x.named(t, f)
		}
	}
	if len(x.all) > x.plain {
		x.matched.hearers(e, found, f)
	}
}

// visit calls f for each connection that a target names. A connection that listens to a topic in several ways comes several times.
func (x *index) visit(t broker.Target, f func(*Conn)) {
	switch t.Kind {
	case broker.Broadcast:
		for _, c := range x.all {
			f(c)
		}
	case broker.Connection:
		if c := x.find(t.Name); c != nil {
			f(c)
		}
	default:
		x.named(t, f)
		if t.Kind == broker.Topic {
			x.matched.listeners(t.Name, f)
		}
	}
}

// named calls f for each connection that has a user or, without matchers, a topic.
func (x *index) named(t broker.Target, f func(*Conn)) {
	switch t.Kind {
	case broker.User:
		for c := x.users[x.key(t.Name)]; c != nil; c = c.next {
			if c.User == t.Name {
				f(c)
			}
		}
	case broker.Topic:
		if set := x.names[t.Name]; set != nil {
			set.visit(f)
		}
		x.patterns.covering(t.Name, func(set *set) { set.visit(f) })
	}
}

// gone is the place of a connection that is not in the index.
const gone = -1

func (x *index) add(c *Conn) {
	x.place(c)
	switch same := x.find(c.ID); {
	case same == nil:
		x.name(c)
	case same.claimed().since(c.claimed()):
		c.finish(superseded, 0)
	default:
		same.finish(superseded, 0)
		x.unname(same)
		x.name(c)
	}
	if c.User != "" {
		key := x.key(c.User)
		if c.next = x.users[key]; c.next != nil {
			c.next.prev = c
		}
		x.users[key] = c
	}
	x.subscribe(c)
}

func (x *index) remove(c *Conn) {
	x.displace(c)
	x.unname(c)
	switch {
	case c.User == "":
	case c.prev != nil:
		c.prev.next = c.next
	case c.next != nil:
		x.users[x.key(c.User)] = c.next
	default:
		delete(x.users, x.key(c.User))
	}
	if c.next != nil {
		c.next.prev = c.prev
	}
	c.prev, c.next = nil, nil
	x.unsubscribe(c)
}

// place puts a connection into the list of all.
func (x *index) place(c *Conn) {
	c.place = int32(len(x.all))
	x.all = append(x.all, c)
	if !c.matches {
		x.swap(int(c.place), x.plain)
		x.plain++
	}
}

// displace takes a connection out of the list of all.
func (x *index) displace(c *Conn) {
	if !c.matches {
		x.plain--
		x.swap(int(c.place), x.plain)
	}
	x.swap(int(c.place), len(x.all)-1)
	x.all = shorten(x.all)
	c.place = gone
}

func (x *index) swap(i, j int) {
	x.all[i], x.all[j] = x.all[j], x.all[i]
	x.all[i].place, x.all[j].place = int32(i), int32(j)
}

// subscribe puts a connection into the sets of its topics.
func (x *index) subscribe(c *Conn) {
	if c.matches {
		x.matched.subscribe(c, c.topics.matchers)
		return
	}
	for _, name := range c.topics.exact() {
		if x.names[name] == nil {
			x.names[name] = &set{}
		}
		x.names[name].add(c)
	}
	for _, p := range c.topics.patterned() {
		if x.byName[p] == nil {
			x.byName[p] = &set{}
			x.patterns.put(p, x.byName[p])
		}
		x.byName[p].add(c)
	}
}

func (x *index) unsubscribe(c *Conn) {
	if c.sets == nil {
		return
	}
	for _, m := range *c.sets {
		m.set.remove(m.place)
	}
	c.sets = nil
	if c.matches {
		x.matched.unsubscribe(c.topics.matchers)
		return
	}
	for _, name := range c.topics.exact() {
		if len(x.names[name].members) == 0 {
			delete(x.names, name)
		}
	}
	for _, p := range c.topics.patterned() {
		if len(x.byName[p].members) == 0 {
			delete(x.byName, p)
			x.patterns.remove(p)
		}
	}
}

// matched finds connections by their matchers. A pattern that many of them have is matched once for each event.
type matched struct {
	names    map[string]*set
	patterns patternIndex[*set]
	granted  int // how many of the connections have a grant
}

// audible reports whether any of the connections may hear an entry.
func (x *matched) audible(e *entry) bool { return x.granted > 0 || e.public || e.hole() }

// hearers is that of index.
func (x *matched) hearers(e *entry, found []*set, f func(*Conn)) {
	if !x.audible(e) {
		return
	}
	hear := func(c *Conn) {
		if c.cursor < e.seq && e.openOnce(c.topics.matchers) { // else it has the entry already
			f(c)
		}
	}
	for _, t := range e.targets {
		if s := x.names[t.Name]; s != nil && t.Kind == broker.Topic {
			s.visit(hear)
		}
	}
	for _, s := range found {
		s.visit(hear)
	}
}

// listeners calls f for each connection that listens to a topic.
func (x *matched) listeners(topic string, f func(*Conn)) {
	if s := x.names[topic]; s != nil {
		s.visit(f)
	}
	x.patterns.likely(topic, func(i *indexed[*set]) {
		if i.pattern.Match(topic) {
			i.value.visit(f)
		}
	})
}

func (x *matched) subscribe(c *Conn, m *Matchers) {
	if m.Granted != nil {
		x.granted++
	}
	if x.names == nil {
		x.names = map[string]*set{}
	}
	for _, name := range m.Names {
		if x.names[name] == nil {
			x.names[name] = &set{}
		}
		x.names[name].add(c)
	}
	for _, p := range m.Patterns {
		s, known := x.patterns.get(p)
		if !known {
			s = &set{}
			x.patterns.put(p, s)
		}
		s.add(c)
	}
}

// unsubscribe removes the names and patterns that are left without connections, after one has left its sets.
func (x *matched) unsubscribe(m *Matchers) {
	if m.Granted != nil {
		x.granted--
	}
	for _, name := range m.Names {
		if len(x.names[name].members) == 0 {
			delete(x.names, name)
		}
	}
	for _, p := range m.Patterns {
		if s, known := x.patterns.get(p); known && len(s.members) == 0 {
			x.patterns.remove(p)
		}
	}
}

// set holds the connections that have one topic in common. Each connection knows its place, so that removing one takes constant
// time.
type set struct{ members []*Conn }

// setPlace is a connection's place in a set.
type setPlace struct {
	set   *set
	place int
}

func (s *set) visit(f func(*Conn)) {
	for _, c := range s.members {
		f(c)
	}
}

func (s *set) add(c *Conn) {
	if c.sets == nil {
		sets := make([]setPlace, 0, len(c.topics.all))
		c.sets = &sets
	}
	*c.sets = append(*c.sets, setPlace{s, len(s.members)})
	s.members = append(s.members, c)
}

func (s *set) remove(place int) {
	last := len(s.members) - 1
	moved := s.members[last]
	s.members[place] = moved
	if place != last {
		sets := *moved.sets
		sets[slices.Index(sets, setPlace{s, last})].place = place
	}
	s.members = shorten(s.members)
}

// shorten removes the last element, and gives back room that is no longer needed.
func shorten(members []*Conn) []*Conn {
	last := len(members) - 1
	members[last] = nil
	members = members[:last]
	if cap(members) > 64 && last < cap(members)/4 {
		members = slices.Clone(members)
	}
	return members
}
