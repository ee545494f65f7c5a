package hub

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

// report is a report that connections wait for.
type report struct {
	done chan struct{}
	err  error
}

// report tells the engine what has changed: everything if full is set, otherwise only the names in changed.
func (n *nodes) report(ctx context.Context, full bool) {
	n.mu.Lock()
	waiting, changed, told := n.next, n.changed, n.told
	n.next, n.changed = nil, map[string]struct{}{}
	n.beat++
	beat := n.beat
	n.mu.Unlock()

	now := time.Now()
	lapsed := !n.at.IsZero() && now.Sub(n.at) > leaseTime
	fresh := told == nil || now.Sub(n.all) > retellEvery || now.Sub(n.at) > leaseTime-renewEvery // the lease may have run out
	var changes map[string]int
	switch {
	case fresh:
		changes = n.present()
	case full:
		changes = difference(told, n.present())
	default:
		changes = map[string]int{}
		for name := range changed {
			if count := n.count(name); count != told[name] {
				changes[name] = count
			}
		}
	}
	changes[beatName] = beat
	first := changes
	if fresh && !n.at.IsZero() { // first find out whether there is anything to replace
		first = map[string]int{beatName: beat}
	}
	err := n.send(ctx, fresh && n.at.IsZero(), first)
	forgotten := errors.Is(err, broker.ErrForgotten)
	if forgotten || lapsed {
		n.blindfold()
	}
	if forgotten || err == nil && fresh && !n.at.IsZero() {
		fresh, changes = true, n.present()
		changes[beatName] = beat
		err = n.send(ctx, fresh, changes)
	}
	stalled := !n.at.IsZero() && time.Since(n.at) > stallTime/2 // other nodes may have taken ids from this one without a record
	n.reported(now, fresh, changes, err)
	if waiting != nil {
		waiting.err = err
		close(waiting.done)
	}
	if err == nil && (forgotten || lapsed || stalled) {
		n.reclaim(ctx)
	}
}

func (n *nodes) send(ctx context.Context, fresh bool, changes map[string]int) error {
	ctx, cancel := context.WithTimeout(ctx, renewEvery)
	defer cancel()
	return n.directory.Report(ctx, n.name, leaseTime, fresh, changes)
}

// blindfold is called when the engine has forgotten its nodes: for a while there may be some that it does not know.
func (n *nodes) blindfold() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.blind = time.Now().Add(broker.Silence)
}

// reported records what the engine has now.
func (n *nodes) reported(now time.Time, fresh bool, changes map[string]int, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err != nil {
		n.told = nil
		return
	}
	if n.at = now; fresh || n.told == nil {
		n.all, n.told = now, map[string]int{}
	}
	for name, count := range changes {
		if count == 0 {
			delete(n.told, name)
		} else {
			n.told[name] = count
		}
	}
	select {
	case <-n.leased:
	default:
		close(n.leased)
	}
}

// retell makes the next report one of everything, as the engine may have been put back to an older state.
func (n *nodes) retell() {
	if n == nil {
		return
	}
	n.mu.Lock()
	n.told = nil
	n.mu.Unlock()
	n.poke()
}

func (n *nodes) poke() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// note has changes under some names reported soon. The caller holds mu.
func (n *nodes) note(names ...string) {
	for _, name := range names {
		n.changed[name] = struct{}{}
	}
	n.poke()
}

// register waits until the engine has the changes under some names.
func (n *nodes) register(ctx context.Context, names ...string) error {
	n.mu.Lock()
	n.note(names...)
	if n.next == nil {
		n.next = &report{done: make(chan struct{})}
	}
	r := n.next
	n.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, RegisterTime)
	defer cancel()
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// present returns the counts of everything that is connected here.
func (n *nodes) present() map[string]int {
	all := map[string]int{}
	for name, connections := range n.hub.users() {
		all[userName+name] = connections
	}
	for name, connections := range n.hub.topics() {
		all[topicName+name] = connections
	}
	for name, count := range n.hub.who.held() {
		all[presentName+name] = count
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for id := range n.claims.held {
		all[claimName+id] = n.claims.newest(id)
	}
	for name, count := range n.answers.current() {
		all[name] = count
	}
	maps.Copy(all, n.bulletin)
	return all
}

// count returns the count that present has under a name.
func (n *nodes) count(name string) int {
	kind, rest := name[:min(2, len(name))], name[min(2, len(name)):]
	switch kind {
	case userName:
		return n.hub.UserHere(rest)
	case topicName:
		return n.hub.subscribers(rest)
	case presentName:
		return n.hub.who.holds(rest)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if kind == claimName {
		return n.claims.newest(rest)
	}
	if count, posted := n.bulletin[name]; posted {
		return count
	}
	return n.answers.counts[name]
}

// difference returns what has changed; 0 stands for what is gone.
func difference(old, present map[string]int) map[string]int {
	changes := map[string]int{}
	for name, n := range present {
		if old[name] != n {
			changes[name] = n
		}
	}
	for name := range old {
		if _, ok := present[name]; !ok {
			changes[name] = 0
		}
	}
	return changes
}
