package ssepush

import (
	"cmp"
	"slices"

	"github.com/sse-push/caddy-sse-push/internal/hub"
)

// eachHub calls a function for each of the process's hubs.
func eachHub(f func(*pooledHub)) {
	hubs.Range(func(_, value any) bool {
		if p, ok := value.(*pooledHub); ok {
			f(p)
		}
		return true
	})
}

// liveHubs returns the process's hubs, one of a name, ordered by name. While a reload changes the broker of a hub, there are
// two of its name: the one of the newest config counts.
func liveHubs() (live []*pooledHub) {
	newest := map[string]*pooledHub{}
	eachHub(func(p *pooledHub) {
		if other := newest[p.Name]; other == nil || p.config.Load().generation > other.config.Load().generation {
			newest[p.Name] = p
		}
	})
	for _, p := range newest {
		live = append(live, p)
	}
	slices.SortFunc(live, func(a, b *pooledHub) int { return cmp.Compare(a.Name, b.Name) })
	return live
}

// allHubs returns all hubs of the process, those that are being replaced as well.
func allHubs() (all []*hub.Hub) {
	eachHub(func(p *pooledHub) { all = append(all, p.Hub) })
	return all
}
