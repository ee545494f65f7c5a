package hub

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

const (
	// reportEvery is how often a node reports to the others, and leaseTime how long a report counts if no other follows.
	reportEvery = time.Second
	leaseTime   = 15 * time.Second
	// renewEvery bounds a call of the directory.
	renewEvery = 5 * time.Second
	// retellEvery is how often a node reports everything, in case the engine has forgotten some of it.
	retellEvery = time.Minute
	// firstReport is how long reading the log waits for the first report, so that a node with a lease has read everything that
	// was stored before it.
	firstReport = 2 * time.Second
	// registerTime is how long a connection waits until other nodes can know of it. If the engine does not answer, the
	// connection goes on without.
	registerTime = 500 * time.Millisecond
	// maxPause bounds the pause between two reports, which is as long as the last one took.
	maxPause = 200 * time.Millisecond
)

// nodes reports to the other nodes what is connected here, and asks for theirs, through the broker's directory.
type nodes struct {
	hub       *Hub
	directory broker.Directory
	name      string
	tried     chan struct{} // closed after the first report, whether or not it succeeded
	leased    chan struct{} // closed once this node has a lease
	wake      chan struct{}
	done      chan struct{} // closed when this node has signed off

	at  time.Time // of the last report; for run only
	all time.Time // of the last report of everything; for run only

	mu      sync.Mutex          // guards all below
	told    map[string]int      // what the engine has of this node; nil if that may no longer be so
	changed map[string]struct{} // names that are to be reported at once
	next    *report             // the report that will have them
	beat    int                 // number of the newest report
	blind   time.Time           // until then there may be nodes that the engine has forgotten
	pulses  map[string]pulse    // of the other nodes, by name
	census  census
	claims  claims
	answers answers
}

// report is a report that connections wait for.
type report struct {
	done chan struct{}
	err  error
}

func newNodes(h *Hub, d broker.Directory) *nodes {
	return &nodes{
		hub: h, directory: d, name: newID(),
		tried: make(chan struct{}), leased: make(chan struct{}), wake: make(chan struct{}, 1), done: make(chan struct{}),
		changed: map[string]struct{}{}, claims: claims{held: map[string][]int{}, busy: map[string]chan struct{}{}}, answers: answers{counts: map[string]int{}},
	}
}

// wait waits until run has ended.
func (n *nodes) wait() {
	if n != nil {
		<-n.done
	}
}

// attempted waits for the first report, but no longer than firstReport.
func (n *nodes) attempted(ctx context.Context) {
	if n == nil {
		return
	}
	timer := time.NewTimer(firstReport)
	defer timer.Stop()
	select {
	case <-n.tried:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// lease waits for this node's first lease. No client is admitted before, as other nodes would not know to ask this one.
func (n *nodes) lease(ctx context.Context) error {
	if n == nil {
		return nil
	}
	select {
	case <-n.leased:
		return nil
	case <-ctx.Done():
		return &Refusal{Reason: "broker", Err: ErrNotReady}
	}
}

// Names in the directory begin with one of these.
const (
	userName    = "u:"
	topicName   = "t:"
	presentName = "p:"
	claimName   = "c:"
	// beatName has the number of a node's newest report. Nodes of older versions have none.
	beatName = broker.Brief + "b"
	// answerName begins the answers to receipts of other nodes.
	answerName = broker.Brief + "r:"
)

// run reports until ctx is done, and then signs off.
func (n *nodes) run(ctx context.Context) {
	defer close(n.done)
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	n.report(ctx, true)
	close(n.tried)
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), reportEvery)
			defer cancel()
			_ = n.directory.Report(last, n.name, 0, true, nil) // without it, the lease runs out
			return
		case <-tick.C:
			n.report(ctx, true)
		case <-n.wake:
			began := time.Now()
			n.report(ctx, false)
			pause(ctx, min(time.Since(began), maxPause))
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
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
	ctx, cancel := context.WithTimeout(ctx, registerTime)
	defer cancel()
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// introduce reports a new connection to the other nodes. If that fails, the next report does it.
func (n *nodes) introduce(ctx context.Context, c *Conn) {
	if n == nil {
		return
	}
	if names := namesOf(c.User, c.subscribed()); len(names) > 0 {
		_ = n.register(ctx, names...)
	}
}

// namesOf returns the names under which a connection is counted.
func namesOf(user string, topics []string) (names []string) {
	if user != "" {
		names = append(names, userName+user, presentName+user)
	}
	for _, t := range topics {
		names = append(names, topicName+t)
	}
	return names
}

// dismiss reports to the other nodes that a connection has ended.
func (n *nodes) dismiss(user string, topics []string) {
	if n == nil {
		return
	}
	if names := namesOf(user, topics); len(names) > 0 {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.note(names...)
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

// others returns the counts of all other nodes under the names that have a prefix, which it cuts off, or under the given names.
func (n *nodes) others(ctx context.Context, prefix string, names ...string) (map[string]int, error) {
	nodes, err := n.ask(ctx, names...)
	if err != nil {
		return nil, err
	}
	others := map[string]int{}
	for _, node := range nodes {
		for name, count := range node.Counts {
			if rest, ok := strings.CutPrefix(name, prefix); ok {
				others[rest] += count
			}
		}
	}
	return others, nil
}
