package hub

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
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
	// sweepEvery is how often those are looked for who are said to be here, and are on no node: theirs has died.
	sweepEvery = 10 * time.Second
	// askAgain is how often it is asked whether a user who has left is on another node, which knows of it by then.
	askAgain = 3
)

// attendance publishes which users come and go: once, on whichever node they are. The log decides: a join of one who is
// here as the log has it, and a leave of one who is not, are passed over by every node, so that several may say the same.
type attendance struct {
	hub    *Hub
	ctx    context.Context
	wake   chan struct{}
	begins sync.Once

	mu       sync.Mutex // guards all below; taken inside of admission.mu and window.mu
	presence Presence
	here     map[string]struct{}  // connected to this node
	news     map[string]struct{}  // those of them that are to be said
	away     map[string]time.Time // not connected to it any more, since when
	leaving  map[string]int       // for too long; how often it was asked whether they are on another node
	said     map[string]struct{}  // here, as the log has it
	missing  map[string]struct{}  // of these, those who were on no node at the last sweep
}

func newAttendance(ctx context.Context, h *Hub) *attendance {
	return &attendance{
		hub: h, ctx: ctx, wake: make(chan struct{}, 1),
		here: map[string]struct{}{}, news: map[string]struct{}{}, away: map[string]time.Time{},
		leaving: map[string]int{}, said: map[string]struct{}{},
	}
}

// configure sets where it is published.
func (a *attendance) configure(p Presence) {
	a.mu.Lock()
	changed := a.presence.Topic != p.Topic
	a.presence = p
	if changed {
		for _, m := range []map[string]struct{}{a.here, a.news, a.said, a.missing} {
			clear(m)
		}
		clear(a.away)
		clear(a.leaving)
	}
	a.mu.Unlock()
	if p.Topic == "" || !changed {
		return
	}
	for user := range a.hub.users() {
		a.arrived(user)
	}
	a.begins.Do(func() { a.hub.done.Go(a.run) })
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

// holds is 1 where held has a user, else 0.
func (a *attendance) holds(user string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, here := a.here[user]
	if _, away := a.away[user]; here || away {
		return 1
	}
	return 0
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
func (a *attendance) heard(r *broker.Record) bool {
	if r.Type != presenceType || r.Kind != broker.Event {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	var e presenceEvent
	if len(r.Targets) != 1 || r.Targets[0].Name != a.presence.Topic || json.Unmarshal(r.Data, &e) != nil {
		return false
	}
	_, said := a.said[e.User]
	if e.State == "join" {
		a.said[e.User] = struct{}{}
		return said
	}
	delete(a.said, e.User)
	if _, here := a.here[e.User]; here { // whoever said so did not know
		a.announce(e.User)
	}
	return !said
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
	swept := time.Now()
	for {
		select {
		case <-a.ctx.Done():
			return
		case <-a.wake:
			a.sayJoins()
		case now := <-tick.C:
			a.sayJoins() // those that failed
			a.sayLeaves(now)
			if now.Sub(swept) >= sweepEvery {
				swept = now
				a.sweep()
			}
		}
	}
}

// learn takes over from the other nodes who is here, as the window may not reach back far enough. It reports false when
// the hub is closed.
func (a *attendance) learn() bool {
	if a.hub.nodes == nil {
		return true
	}
	for {
		users, err := a.hub.nodes.others(a.ctx, presentName)
		if err == nil {
			a.mu.Lock()
			defer a.mu.Unlock()
			for user := range users {
				a.said[user] = struct{}{}
			}
			return true
		}
		select {
		case <-time.After(attendEvery):
		case <-a.ctx.Done():
			return false
		}
	}
}

// sayJoins publishes who has come.
func (a *attendance) sayJoins() {
	a.mu.Lock()
	var users []string
	for user := range a.news {
		_, here := a.here[user]
		_, said := a.said[user]
		if here && !said {
			users = append(users, user)
		}
	}
	clear(a.news)
	a.mu.Unlock()
	for _, user := range a.say("join", users) {
		a.mu.Lock()
		a.news[user] = struct{}{} // next time
		a.mu.Unlock()
	}
}

// sayLeaves publishes who has been away for too long.
func (a *attendance) sayLeaves(now time.Time) {
	a.mu.Lock()
	for user, since := range a.away {
		if now.Sub(since) >= a.presence.Debounce {
			delete(a.away, user)
			a.leaving[user] = 0
		}
	}
	users := slices.Collect(maps.Keys(a.leaving))
	a.mu.Unlock()
	nowhere, err := a.nowhere(users)
	if err != nil {
		return
	}
	failed := a.say("leave", nowhere)
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, user := range users {
		n, still := a.leaving[user]
		switch {
		case !still, slices.Contains(failed, user):
		case slices.Contains(nowhere, user), n >= askAgain:
			delete(a.leaving, user)
		case !a.told(user):
			a.leaving[user] = n + 1
		}
	}
}

// sweep publishes the leaves of those who were on a node that has died.
func (a *attendance) sweep() {
	a.mu.Lock()
	missing := map[string]struct{}{}
	var twice []string
	for user := range a.said {
		_, here := a.here[user]
		_, away := a.away[user]
		_, leaving := a.leaving[user]
		if here || away || leaving {
			continue
		}
		missing[user] = struct{}{}
		if _, again := a.missing[user]; again {
			twice = append(twice, user)
		}
	}
	a.missing = missing
	a.mu.Unlock()
	if nowhere, err := a.nowhere(twice); err == nil {
		a.say("leave", nowhere)
	}
}

// nowhere returns those of users whom no node has, as far as is known.
func (a *attendance) nowhere(users []string) ([]string, error) {
	n := a.hub.nodes
	if n == nil || len(users) == 0 {
		return users, nil
	}
	names := make([]string, len(users))
	for i, user := range users {
		names[i] = presentName + user
	}
	ctx, cancel := context.WithTimeout(a.ctx, renewEvery)
	defer cancel()
	counts, err := n.others(ctx, "", names...)
	var nowhere []string
	for i, user := range users {
		if counts[names[i]] == 0 {
			nowhere = append(nowhere, user)
		}
	}
	return nowhere, err
}

// told reports whether the other nodes have been told that a user is here, and not yet of the contrary.
func (a *attendance) told(user string) bool {
	n := a.hub.nodes
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.told[presentName+user] > 0
}

// say publishes what users do, and returns those of whom it could not.
func (a *attendance) say(state string, users []string) (failed []string) {
	a.mu.Lock()
	topic := a.presence.Topic
	a.mu.Unlock()
	for group := range slices.Chunk(users, 256) {
		records := make([]broker.Record, len(group))
		for i, user := range group {
			records[i] = broker.Record{
				Targets: []broker.Target{{Kind: broker.Topic, Name: topic}}, Type: presenceType, Data: encode(presenceEvent{user, state}),
			}
		}
		ctx, cancel := context.WithTimeout(a.ctx, renewEvery)
		for i, r := range a.hub.append(ctx, records) {
			if r.Err != nil {
				failed = append(failed, group[i])
			}
		}
		cancel()
	}
	return failed
}
