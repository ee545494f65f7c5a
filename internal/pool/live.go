package pool

import (
	"cmp"
	"slices"
)

// eachHub calls a function for each of the process's hubs.
func eachHub(f func(*Hub)) {
	hubs.Range(func(_, value any) bool {
		if p, ok := value.(*Hub); ok {
			f(p)
		}
		return true
	})
}

// Live returns the process's hubs, one of a name, ordered by name. While a reload changes the broker of a hub, there are
// two of its name: the one of the newest config counts.
func Live() (live []*Hub) {
	newest := map[string]*Hub{}
	eachHub(func(p *Hub) {
		if other := newest[p.Name]; other == nil || p.config.Load().generation > other.config.Load().generation {
			newest[p.Name] = p
		}
	})
	for _, p := range newest {
		live = append(live, p)
	}
	slices.SortFunc(live, func(a, b *Hub) int { return cmp.Compare(a.Name, b.Name) })
	return live
}

// All returns all hubs of the process, including those that a reload is replacing.
func All() (all []*Hub) {
	eachHub(func(p *Hub) { all = append(all, p) })
	return all
}
