package api

import (
	"fmt"
	"net/url"
	"slices"

	"github.com/sse-push/caddy-sse-push/internal/pool"
	"github.com/sse-push/caddy-sse-push/internal/problem"
)

// Source describes a shared source.
type Source = pool.Source

// SourceList is a page of a hub's shared sources on this node, the oldest first.
type SourceList struct {
	Sources []Source `json:"sources"`
	Total   int      `json:"total"`
	Next    string   `json:"next,omitempty"` // what to give as after, for the next page
}

func viewSources(p *pool.Hub, q url.Values) (any, *problem.Problem) {
	limit, bad := limitOf(q)
	if bad != nil {
		return nil, bad
	}
	all := p.SourceList()
	list := SourceList{Sources: []Source{}, Total: len(all)}
	for i := range all {
		if place(&all[i]) <= q.Get("after") {
			continue
		}
		if n := len(list.Sources); n == limit {
			list.Next = place(&list.Sources[n-1])
			break
		}
		list.Sources = append(list.Sources, all[i])
	}
	return list, nil
}

// place returns a text that sorts sources as they are listed.
func place(s *Source) string { return fmt.Sprintf("%020d-%s", s.Since.UnixNano(), s.ID) }

// nameSources adds to an explanation which source each connection listens to.
func nameSources(x *Explanation, sources []Source) {
	for i := range x.Connections {
		a := &x.Connections[i]
		if j := slices.IndexFunc(sources, func(s Source) bool { return slices.Contains(a.Topics, s.ID) }); j >= 0 {
			a.Detail += "; it listens to the shared source " + sources[j].Path
		}
	}
}
