package hub

import (
	"cmp"
	"errors"
	"strconv"
	"strings"
)

// bookmark is a connection's place in lists, which are ordered by age. It stays valid when connections come and go.
type bookmark struct {
	since int64 // nanoseconds since 1970
	id    string
}

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
		return b, errors.New("must be the value of next in an earlier list")
	}
	b.id = id
	return b, nil
}
