package hub

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

// Presence is where it is published who comes and goes.
type Presence struct {
	Topic    string        // "" for nowhere
	Debounce time.Duration // how long a user may be away without having left
}

const (
	presenceType = "sse:presence"

	// attendEvery is how often it is looked for who has left.
	attendEvery = time.Second
	// goneTime is how long it is remembered who has left, and maxGone of how many: a second leave within that time is passed
	// over.
	goneTime = 10 * time.Minute
	maxGone  = 1 << 17
	// maxPassed bounds how many records are remembered that were passed over.
	maxPassed = 1 << 14
)

// attendance publishes which users come and go: once, on whichever node they are. The log decides: a join of one who is
// here as the log has it, and a leave of one who is not, are passed over by every node, so that several may say the same.
type attendance struct {
	hub    *Hub
	ctx    context.Context
	wake   chan struct{}
	begins sync.Once
	work   sync.WaitGroup // run

	mu       sync.Mutex // guards all below; taken inside of admission.mu and window.mu
	presence Presence
	here     map[string]struct{}  // connected to this node
	news     map[string]struct{}  // those of them that are to be said
	away     map[string]time.Time // not connected to it any more, since when
	leaving  map[string]*leaver   // for too long, or their node has gone
	missing  map[string]int       // in how many sweeps users who are said to be here were on no node

	// As the log has it: who is here, and who has left, with the places of the records, which are zero where they are not
	// known. Of all others it is not known.
	said map[string]broker.Position
	gone map[string]departure

	repeated map[string]broker.Position // joins that the log had before, under the same key
	passed   map[broker.Position]struct{}
	order    []broker.Position // of passed, the oldest first
	changed  bool              // said, since it was kept
}

// departure is when and where the log says that a user has left.
type departure struct {
	at    broker.Position
	heard time.Time
}

func newAttendance(ctx context.Context, h *Hub) *attendance {
	return &attendance{
		hub: h, ctx: ctx, wake: make(chan struct{}, 1),
		here: map[string]struct{}{}, news: map[string]struct{}{}, away: map[string]time.Time{},
		leaving: map[string]*leaver{}, missing: map[string]int{},
		said: map[string]broker.Position{}, gone: map[string]departure{},
		repeated: map[string]broker.Position{}, passed: map[broker.Position]struct{}{},
	}
}

// configure sets where it is published.
func (a *attendance) configure(p Presence) {
	a.mu.Lock()
	changed := a.presence.Topic != p.Topic
	a.presence = p
	if changed {
		clear(a.here)
		clear(a.news)
		clear(a.away)
		clear(a.leaving)
		clear(a.missing)
		clear(a.said)
		clear(a.gone)
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

// arrived is called when a user has his first connection.
func (a *attendance) arrived(user string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.presence.Topic == "" {
		return
	}
	a.here[user] = struct{}{}
	delete(a.away, user)
	delete(a.leaving, user)
	a.announce(user)
}

// announce has it said that a user is here. The caller holds mu.
func (a *attendance) announce(user string) {
	if _, ok := a.said[user]; ok {
		return
	}
	a.news[user] = struct{}{}
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// left is called when a user's last connection is gone.
func (a *attendance) left(user string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.here[user]; ok {
		delete(a.here, user)
		a.away[user] = time.Now()
	}
}

// held are the users whom other nodes are to count as here: who is away may come back.
func (a *attendance) held() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append(slices.Collect(maps.Keys(a.here)), slices.Collect(maps.Keys(a.away))...)
}

// holds is 1 where held has a user, 2 where the log has the join as well, else 0.
func (a *attendance) holds(user string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, here := a.here[user]
	_, away := a.away[user]
	_, said := a.said[user]
	switch {
	case !here && !away:
		return 0
	case said:
		return 2
	}
	return 1
}

// present are the users who have come and not left, as the log has it.
func (a *attendance) present() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Collect(maps.Keys(a.said))
}

type presenceEvent struct {
	User  string `json:"user"`
	State string `json:"state"`
}

// heard is called for each record of the log, in order. It reports whether it is to be passed over.
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
	again := a.take(e, entry.Position)
	if again {
		a.pass(entry.Position)
	}
	_, here := a.here[e.User]
	_, away := a.away[e.User]
	if here && e.State != "join" { // whoever said so did not know
		a.announce(e.User)
	}
	if n := a.hub.nodes; n != nil && (here || away) {
		n.mu.Lock()
		n.note(presentName + e.User)
		n.mu.Unlock()
	}
	return again
}

// event returns what a record says of a user, nil where it is no event of presence. The caller holds mu.
func (a *attendance) event(r *broker.Record) *presenceEvent {
	var e presenceEvent
	if r.Type != presenceType || r.Kind != broker.Event || len(r.Targets) != 1 || r.Targets[0].Name != a.presence.Topic || json.Unmarshal(r.Data, &e) != nil {
		return nil
	}
	return &e
}

// take notes what the log says of a user, and reports whether it has said the same before. The caller holds mu.
func (a *attendance) take(e *presenceEvent, at broker.Position) (again bool) {
	a.changed = true
	if e.State == "join" {
		_, again = a.said[e.User]
		if !again {
			a.said[e.User] = at
		}
		delete(a.gone, e.User)
		return again
	}
	// The join of one of whom nothing is known is older than the window.
	if _, here := a.said[e.User]; !here {
		_, again = a.gone[e.User]
	}
	delete(a.said, e.User)
	if !again {
		a.gone[e.User] = departure{at, time.Now()}
	}
	return again
}

// knows reports whether the log has told whether a user is here. The caller holds mu.
func (a *attendance) knows(user string) bool {
	_, said := a.said[user]
	_, gone := a.gone[user]
	return said || gone
}

// pass remembers a record that is passed over, for those who read it from the archive. The caller holds mu.
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

// forget drops those who have left long ago, or all of them where they are too many.
func (a *attendance) forget(now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for user, d := range a.gone {
		if now.Sub(d.heard) >= goneTime {
			delete(a.gone, user)
		}
	}
	if len(a.gone) > maxGone {
		clear(a.gone)
	}
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
			a.sayJoins() // those that failed
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

// learn takes over who is here: from what was kept, as far as the window does not reach back, and from the other nodes. It
// reports false when the hub is closed.
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

// learnFromOthers takes over those of whom other nodes have heard that they have come.
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
			// A node of an older version does not say whether it has heard of the join.
			if ok && (count > 1 || count == 1 && !able(o)) && !a.knows(user) {
				a.said[user] = broker.Position{}
			}
		}
	}
	return nil
}

// sayJoins publishes who has come.
func (a *attendance) sayJoins() {
	_, end, _ := a.hub.window.end()
	a.mu.Lock()
	var users []string
	for user := range a.news {
		_, here := a.here[user]
		_, said := a.said[user]
		if at, ok := a.repeated[user]; ok && here && !said && (at.Epoch != end.Epoch || end.Compare(at) < 0) {
			continue // it is on its way
		}
		if delete(a.news, user); here && !said {
			users = append(users, user)
		} else {
			delete(a.repeated, user)
		}
	}
	a.mu.Unlock()
	failed, repeated := a.say("join", users)
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, user := range users {
		if at, again := repeated[user]; again {
			a.repeated[user] = at
		} else {
			delete(a.repeated, user)
			if !slices.Contains(failed, user) {
				continue
			}
		}
		a.news[user] = struct{}{} // next time
	}
}

// key is what makes the log take a record once, whichever nodes append it: they have all heard the same of the user before. The
// caller holds mu.
func (a *attendance) key(state, user string) string {
	if a.hub.nodes == nil {
		return ""
	}
	at, known := a.said[user]
	if state == "join" {
		var d departure
		if d, known = a.gone[user]; known {
			at = d.at
		}
		if again, ok := a.repeated[user]; ok { // of a join that was followed by a leave, and nobody here knows of either
			at = again
		} else if !known {
			return "sse:presence join " + user
		}
	}
	if at.IsZero() {
		return ""
	}
	return "sse:presence " + state + " " + at.String() + " " + user
}

// say publishes what users do, as far as the log has room for it. It returns those of whom it could not, and where it was
// said before of others.
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
			_ = a.hub.reach(ctx, last) // they count as what clients have caused
		}
		cancel()
		done()
	}
	return failed, repeated
}
