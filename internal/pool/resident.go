package pool

import "sync"

// Resident is what lives beside a hub and, like it, outlives the configs that use it: it opens streams of others, and publishes
// what it reads to a companion of the hub.
type Resident interface {
	// Apply puts the routes of a new config in force. It must not wait.
	Apply(routes []Route)
	// Forget ends what was opened for a user, or for every user if it is "". It must not wait, and must not call the hub.
	Forget(user string)
	// Close ends all that the Resident does. It is called once, before the hub's streams are drained.
	Close()
}

// residents has the residents of a hub, by name.
type residents struct {
	mu     sync.Mutex // guards all below
	byName map[string]Resident
	closed bool
}

// Resident returns the hub's resident of a name, which open makes if there is none. open must not call the hub's residents. It
// returns nil if the hub is about to end.
func (p *Hub) Resident(name string, open func(*Hub) Resident) Resident {
	rs := &p.residents
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.closed {
		return nil
	}
	r := rs.byName[name]
	if r == nil {
		if rs.byName == nil {
			rs.byName = map[string]Resident{}
		}
		if r = open(p); r == nil {
			return nil
		}
		rs.byName[name] = r
	}
	return r
}

// Routes returns the routes of the config in force.
func (p *Hub) Routes() []Route { return p.config.Load().routes }

// list returns the residents.
func (rs *residents) list() (list []Resident) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for _, r := range rs.byName {
		list = append(list, r)
	}
	return list
}

func (rs *residents) apply(routes []Route) {
	for _, r := range rs.list() {
		r.Apply(routes)
	}
}

func (rs *residents) forget(user string) {
	for _, r := range rs.list() {
		r.Forget(user)
	}
}

func (rs *residents) close() {
	rs.mu.Lock()
	byName := rs.byName
	rs.byName, rs.closed = nil, true
	rs.mu.Unlock()
	for _, r := range byName {
		r.Close()
	}
}

// FindResident returns the hub's resident of a name, or nil if it has none.
func (p *Hub) FindResident(name string) Resident {
	p.residents.mu.Lock()
	defer p.residents.mu.Unlock()
	return p.residents.byName[name]
}
