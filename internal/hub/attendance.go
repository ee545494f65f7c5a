package hub

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

// Presence says where the hub publishes which users come and go.
type Presence struct {
	Topic    string        // "" if it does not
	Debounce time.Duration // how long a user may be away before being reported as gone
}

const (
	presenceType = "sse:presence"

	// attendEvery is how often a node looks for users who have left.
	attendEvery = time.Second
	// maxPassed bounds how many passed-over records are remembered.
	maxPassed = 1 << 14
)

// attendance publishes which users come and go, once for all nodes. The log decides: every node passes over a join of a user
// who is present according to the log, and a leave of one who is not. So several nodes may publish the same.
type attendance struct {
	hub    *Hub
	ctx    context.Context
	wake   chan struct{}
	begins sync.Once
	work   sync.WaitGroup // run

	mu       sync.Mutex // guards all below
	presence Presence
	users    map[string]*attendee
	news     map[string]struct{} // users of this node whose join may have to be published
	going    map[string]struct{} // users who are away, or seem to have left

	passed  map[broker.Position]struct{}
	order   []broker.Position // of passed, oldest first
	changed bool              // the users present according to the log have changed since the last memo
}

func newAttendance(ctx context.Context, h *Hub) *attendance {
	return &attendance{
		hub: h, ctx: ctx, wake: make(chan struct{}, 1),
		users: map[string]*attendee{}, news: map[string]struct{}{}, going: map[string]struct{}{}, passed: map[broker.Position]struct{}{},
	}
}

// configure sets the topic and the debounce time.
func (a *attendance) configure(p Presence) {
	a.mu.Lock()
	changed := a.presence.Topic != p.Topic
	a.presence = p
	if changed {
		clear(a.users)
		clear(a.news)
		clear(a.going)
	}
	a.mu.Unlock()
	if p.Topic == "" || !changed {
		return
	}
	for user := range a.hub.users() {
		a.arrived(user)
	}
	a.begins.Do(func() { a.work.Go(a.run) })
}

// arrived is called when a user gets a first connection to this node.
func (a *attendance) arrived(user string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.presence.Topic == "" {
		return
	}
	u := a.of(user)
	u.here, u.away, u.leaver = true, time.Time{}, nil
	delete(a.going, user)
	a.announce(user)
}

// announce has the join of a user published, unless the log has it. The caller holds mu.
func (a *attendance) announce(user string) {
	if a.look(user).logged == joinLogged {
		return
	}
	a.news[user] = struct{}{}
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// left is called when a user's last connection to this node is gone.
func (a *attendance) left(user string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if u := a.users[user]; u != nil && u.here {
		u.here, u.away = false, time.Now()
		a.going[user] = struct{}{}
	}
}

// held returns the users that other nodes are to count as present here, with their counts.
func (a *attendance) held() map[string]int {
	a.mu.Lock()
	defer a.mu.Unlock()
	held := map[string]int{}
	for user, u := range a.users {
		if n := u.count(); n > 0 {
			held[user] = n
		}
	}
	return held
}

// holds returns the count of a user in held.
func (a *attendance) holds(user string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	u := a.look(user)
	return u.count()
}

// present returns the users who are present according to the log.
func (a *attendance) present() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.joined()
}

// joined is present for a caller that holds mu.
func (a *attendance) joined() (users []string) {
	for user, u := range a.users {
		if u.logged == joinLogged {
			users = append(users, user)
		}
	}
	return users
}

type presenceEvent struct {
	User  string `json:"user"`
	State string `json:"state"`
}

// heard is called for each record of the log, in order. It reports whether the record is passed over.
func (a *attendance) heard(entry *broker.Entry) bool {
	r := &entry.Record
	if r.Type != presenceType || r.Kind != broker.Event {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	e := a.event(r)
	if e == nil {
		return false
	}
	u := a.of(e.User)
	again := u.hear(e.State, entry.Position)
	if again {
		a.pass(entry.Position)
	}
	a.changed = true
	if u.here && e.State != "join" { // another node has published a leave without knowing of this one
		a.announce(e.User)
	}
	if n := a.hub.nodes; n != nil && u.count() > 0 {
		n.mu.Lock()
		n.note(presentName + e.User)
		n.mu.Unlock()
	}
	return again
}

// event returns what a record says of a user, or nil if it is no presence event. The caller holds mu.
func (a *attendance) event(r *broker.Record) *presenceEvent {
	var e presenceEvent
	if r.Type != presenceType || r.Kind != broker.Event || len(r.Targets) != 1 || r.Targets[0].Name != a.presence.Topic || json.Unmarshal(r.Data, &e) != nil {
		return nil
	}
	return &e
}

// pass remembers a passed-over record, for connections that read it from the archive. The caller holds mu.
func (a *attendance) pass(p broker.Position) {
	if len(a.order) >= maxPassed {
		delete(a.passed, a.order[0])
		a.order = a.order[1:]
	}
	a.passed[p] = struct{}{}
	a.order = append(a.order, p)
}

// passedOver reports whether a record was passed over when it came.
func (a *attendance) passedOver(p broker.Position) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, ok := a.passed[p]
	return ok
}

// run publishes until the hub is closed.
func (a *attendance) run() {
	select {
	case <-a.hub.ready:
	case <-a.ctx.Done():
		return
	}
	if !a.learn() {
		return
	}
	tick := time.NewTicker(attendEvery)
	defer tick.Stop()
	swept, kept := time.Now(), time.Now()
	for {
		select {
		case <-a.ctx.Done():
			a.keep(context.WithoutCancel(a.ctx))
			return
		case <-a.wake:
			a.sayJoins()
		case now := <-tick.C:
			a.sayJoins() // again for those that failed
			a.sayLeaves(now)
			if now.Sub(swept) >= sweepEvery {
				swept = now
				a.forget(now)
				a.sweep()
			}
			if now.Sub(kept) >= keepEvery {
				kept = now
				a.keep(a.ctx)
			}
		}
	}
}

// learn finds out which users were present before this hub's window began: from the memo, and from the other nodes. It reports
// false if the hub was closed.
func (a *attendance) learn() bool {
	for {
		err := a.recall()
		if err == nil && a.hub.nodes != nil {
			err = a.learnFromOthers()
		}
		if err == nil {
			return true
		}
		select {
		case <-time.After(attendEvery):
		case <-a.ctx.Done():
			return false
		}
	}
}

// learnFromOthers takes over the users whose join other nodes have read.
func (a *attendance) learnFromOthers() error {
	nodes, err := a.hub.nodes.ask(a.ctx)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, o := range nodes {
		for name, count := range o.Counts {
			user, ok := strings.CutPrefix(name, presentName)
			// A node of an older version does not say whether it has read the join.
			if ok && (count > 1 || count == 1 && !able(o)) && a.look(user).logged == nothingLogged {
				a.of(user).logged = joinLogged
			}
		}
	}
	return nil
}

// sayJoins publishes the joins that are due.
func (a *attendance) sayJoins() {
	_, end, _ := a.hub.window.end()
	a.mu.Lock()
	var users []string
	for user := range a.news {
		u := a.of(user)
		waits := u.here && u.logged != joinLogged
		if waits && u.repeated.Epoch == end.Epoch && end.Compare(u.repeated) < 0 {
			continue // the join that the log has is on its way here
		}
		delete(a.news, user)
		if waits {
			users = append(users, user)
		} else {
			u.repeated = broker.Position{}
		}
	}
	a.mu.Unlock()
	failed, repeated := a.say("join", users)
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, user := range users {
		u, at := a.of(user), repeated[user] // zero if the log did not have it already
		if u.repeated = at; !at.IsZero() || slices.Contains(failed, user) {
			a.news[user] = struct{}{} // try again
		}
	}
}

// key returns the idempotency key of a presence record, so that the log takes it once, whichever nodes append it: all have
// heard the same of the user before. The caller holds mu.
func (a *attendance) key(state, user string) string {
	if a.hub.nodes == nil {
		return ""
	}
	u := a.look(user)
	at := u.at
	switch {
	case state != "join":
	case !u.repeated.IsZero(): // a leave followed that join, and this node knows of neither
		at = u.repeated
	case u.logged != leaveLogged:
		return "sse:presence join " + user
	}
	if at.IsZero() {
		return ""
	}
	return "sse:presence " + state + " " + at.String() + " " + user
}

// say publishes that users come or go, as far as the log has room. It returns the users for whom that failed, and those for
// whom the log already had the same record, with its position.
func (a *attendance) say(state string, users []string) (failed []string, repeated map[string]broker.Position) {
	repeated = map[string]broker.Position{}
	for group := range slices.Chunk(users, 256) {
		room, done := a.hub.chatter.reserve(a.hub.window, presenceShare, len(group))
		failed = append(failed, group[room:]...)
		if group = group[:room]; room == 0 {
			continue
		}
		records := make([]broker.Record, len(group))
		a.mu.Lock()
		for i, user := range group {
			records[i] = broker.Record{
				Targets: []broker.Target{{Kind: broker.Topic, Name: a.presence.Topic}}, Type: presenceType, Data: encode(presenceEvent{user, state}),
				Key: a.key(state, user),
			}
		}
		a.mu.Unlock()
		ctx, cancel := context.WithTimeout(a.ctx, renewEvery)
		var last broker.Position
		for i, r := range a.hub.append(ctx, records) {
			switch {
			case r.Err != nil:
				failed = append(failed, group[i])
			case r.Repeated:
				repeated[group[i]] = r.Position
			default:
				last = r.Position
			}
		}
		if !last.IsZero() {
			_ = a.hub.reach(ctx, last) // until then they count as reserved
		}
		cancel()
		done()
	}
	return failed, repeated
}
