package hub

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"strings"
)

// Standing is how a connection is getting on.
type Standing struct {
	Events     uint64 `json:"events"`  // given to its stream
	Bytes      uint64 `json:"bytes"`   // and theirs
	Pending    int64  `json:"pending"` // bytes that wait for it
	CatchingUp bool   `json:"catching_up"`
}

// standing is for who holds shard.mu.
func (c *Conn) standing() Standing {
	s := Standing{Events: c.events, Bytes: c.bytes, CatchingUp: !c.live, Pending: c.catchUp.pending()}
	if c.waiting != nil {
		s.Pending += c.waiting.bytes
	}
	return s
}

// cursor is a connection's place in lists, which are by age. It stays what it is when connections come and go.
type cursor struct {
	since int64 // nanoseconds since 1970
	id    string
}

func (h *Hub) cursor(c *Conn) cursor { return cursor{c.Since().UnixNano(), c.ID} }

func (c cursor) compare(o cursor) int {
	return cmp.Or(cmp.Compare(c.since, o.since), cmp.Compare(c.id, o.id))
}

func (c cursor) String() string { return strconv.FormatInt(c.since, 36) + "." + c.id }

// parseCursor reads what String has written; "" is before all.
func (h *Hub) parseCursor(s string) (c cursor, err error) {
	if s == "" {
		return c, nil
	}
	since, id, ok := strings.Cut(s, ".")
	if c.since, err = strconv.ParseInt(since, 36, 64); err != nil || !ok {
		return c, errors.New("must be the next of the list before")
	}
	c.id = id
	return c, nil
}

// firstAfter returns the first n connections behind a place, oldest first. It keeps few of them in order, so that a page of
// a hundred thousand costs less than sorting them.
func firstAfter(conns []*Conn, after cursor, n int) []*Conn {
	type row struct {
		cursor
		conn *Conn
	}
	var rows []row
	cut := func() {
		slices.SortFunc(rows, func(a, b row) int { return a.compare(b.cursor) })
		rows = rows[:min(n, len(rows))]
	}
	full := false
	for _, c := range conns {
		at := c.shard.hub.cursor(c)
		if at.compare(after) <= 0 || full && at.compare(rows[n-1].cursor) > 0 {
			continue
		}
		if rows = append(rows, row{at, c}); len(rows) >= 2*n {
			cut()
			full = true
		}
	}
	cut()
	first := make([]*Conn, len(rows))
	for i, r := range rows {
		first[i] = r.conn
	}
	return first
}

// subscribed lists what the shard's connections are subscribed to.
func (s *shard) subscribed() []Count {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Count, 0, len(s.index.names)+len(s.index.byName))
	for name, set := range s.index.names {
		list = append(list, Count{name, len(set.members)})
	}
	for p, set := range s.index.byName {
		list = append(list, Count{p, len(set.members)})
	}
	return list
}
