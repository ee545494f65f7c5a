package hub

import (
	"context"
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
	// RegisterTime is how long a connection waits until other nodes can know of it. If the engine does not answer, the
	// connection goes on without.
	RegisterTime = 500 * time.Millisecond
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

	mu       sync.Mutex          // guards all below
	told     map[string]int      // what the engine has of this node; nil if that may no longer be so
	changed  map[string]struct{} // names that are to be reported at once
	next     *report             // the report that will have them
	beat     int                 // number of the newest report
	blind    time.Time           // until then there may be nodes that the engine has forgotten
	pulses   map[string]pulse    // of the other nodes, by name
	census   census
	claims   claims
	answers  answers
	bulletin bulletin
}

func newNodes(h *Hub, d broker.Directory) *nodes {
	return &nodes{
		hub: h, directory: d, name: string(appendID(nil)),
		tried: make(chan struct{}), leased: make(chan struct{}), wake: make(chan struct{}, 1), done: make(chan struct{}),
		changed: map[string]struct{}{}, claims: claims{held: map[string][]int{}, busy: map[string]chan struct{}{}}, answers: answers{counts: map[string]int{}},
		bulletin: bulletin{},
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

// introduce reports a new connection to the other nodes. If that fails, the next report does it.
func (n *nodes) introduce(ctx context.Context, c *Conn) {
	if n == nil {
		return
	}
	if names := namesOf(c.User, c.reported()); len(names) > 0 {
		_ = n.register(ctx, names...)
	}
}

// reported returns the topics of the connection that other nodes are told of.
func (c *Conn) reported() []string {
	if c.shard.hub.accompanies() {
		return nil
	}
	return c.subscribed()
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
