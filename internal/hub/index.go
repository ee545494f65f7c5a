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
	ids      map[uint64]*Conn // by the key of the id
	twins    map[string]*Conn // by id: those whose key another id had already; nil for none
	users    map[uint64]*Conn // by the key of the user: the first of a list linked by Conn.next, perhaps with another user's
	names    map[string]*set  // by topic
	patterns tree[*set]
	byName   map[string]*set // patterns, by name

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

// visit calls f for each connection that hears a target. A connection that hears a topic in several ways comes several times.
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
	c.place = int32(len(x.all))
	x.all = append(x.all, c)
	switch same := x.find(c.ID); {
	case same == nil:
		x.name(c)
	case same.claimed().since(c.claimed()):
		c.finish(superseded)
	default:
		same.finish(superseded)
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
	last := x.all[len(x.all)-1]
	x.all[c.place], last.place = last, c.place
	x.all = shorten(x.all)
	c.place = gone
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

// subscribe puts a connection into the sets of its topics.
func (x *index) subscribe(c *Conn) {
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
