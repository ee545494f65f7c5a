package hub

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"strings"
)

// bookmark is a connection's place in lists, which are ordered by age. It stays valid when connections come and go.
type bookmark struct {
	since int64 // nanoseconds since 1970
	id    string
}

func (h *Hub) bookmark(c *Conn) bookmark { return bookmark{c.Since().UnixNano(), c.ID} }

func (b bookmark) compare(o bookmark) int {
	return cmp.Or(cmp.Compare(b.since, o.since), cmp.Compare(b.id, o.id))
}

// String returns the text that parseBookmark reads.
func (b bookmark) String() string { return strconv.FormatInt(b.since, 36) + "." + b.id }

// parseBookmark reads a bookmark. "" is before all connections.
func parseBookmark(s string) (b bookmark, err error) {
	if s == "" {
		return b, nil
	}
	since, id, ok := strings.Cut(s, ".")
	if b.since, err = strconv.ParseInt(since, 36, 64); err != nil || !ok {
		return b, errors.New("must be the next of an earlier list")
	}
	b.id = id
	return b, nil
}

// firstAfter returns the first n connections after a bookmark, oldest first. It keeps only few of them in order, so that a page
// of a hundred thousand costs less than sorting them all.
func firstAfter(conns []*Conn, after bookmark, n int) []*Conn {
	type row struct {
		bookmark
		conn *Conn
	}
	var rows []row
	cut := func() {
		slices.SortFunc(rows, func(a, b row) int { return a.compare(b.bookmark) })
		rows = rows[:min(n, len(rows))]
	}
	full := false
	for _, c := range conns {
		at := c.shard.hub.bookmark(c)
		if at.compare(after) <= 0 || full && at.compare(rows[n-1].bookmark) > 0 {
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
