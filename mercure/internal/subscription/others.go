package subscription

import (
	"context"
	"maps"
	"strings"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

// post tells the other nodes what the clients of this one are interested in.
func (t *teller) post() {
	t.interestMu.Lock()
	version, own := t.audience.version, []interest(nil)
	if version != t.version {
		own = t.audience.ownInterests()
	}
	t.interestMu.Unlock()
	if version == t.version || t.hub.NodeName() == "" {
		return
	}
	now, bytes := map[string]bool{}, 0
	for _, i := range own {
		text := i.text()
		if bytes += len(text); bytes > maxPostedBytes || len(now) >= maxPosted {
			now = map[string]bool{everything.text(): true}
			break
		}
		now[text] = true
	}
	for text := range now {
		if !t.posted[text] {
			t.hub.Post(interestName+t.root+text, 1)
		}
	}
	for text := range t.posted {
		if !now[text] {
			t.hub.Post(interestName+t.root+text, 0)
		}
	}
	t.hub.Post(audienceName+t.root, version)
	t.posted, t.version = now, version
}

// learn takes over the interests of other nodes if they have changed, and prolongs those that have not. It tells a node that has just
// begun what is active here.
func (t *teller) learn(ctx context.Context, now time.Time) {
	if t.hub.NodeName() == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	nodes, err := t.hub.Posted(ctx, audienceName+t.root)
	if err != nil {
		return
	}
	versions, newcomers := map[string]int{}, false
	for _, o := range nodes {
		if !o.Silent {
			versions[o.Name] = o.Counts[audienceName+t.root]
			if _, known := t.nodes[o.Name]; !known {
				newcomers = true
			}
		}
	}
	first := t.nodes == nil
	if !maps.Equal(versions, t.nodes) || now.Sub(t.learned) > keepTime/4 {
		if nodes, err = t.hub.Posted(ctx); err != nil {
			return
		}
		t.learned = now
		t.adopt(nodes, now)
	}
	t.nodes = versions
	if newcomers && !first {
		t.requeue(change{kind: aged})
	}
}

// adopt takes over the interests of other nodes.
func (t *teller) adopt(nodes []broker.Node, now time.Time) {
	t.interestMu.Lock()
	defer t.interestMu.Unlock()
	for _, o := range nodes {
		for name := range o.Counts {
			if text, ok := strings.CutPrefix(name, interestName+t.root); ok {
				if i, ok := readInterest(t.base, text); ok {
					t.audience.add(i, false, now)
				}
			}
		}
	}
}

// sweep ends the subscriptions of nodes that are gone. Every node may do so, and the log takes each end once. It also ends those of this
// node whose own end could not be stored.
func (t *teller) sweep(ctx context.Context) {
	alive, err := t.alive(ctx)
	if err != nil {
		return
	}
	_, _ = t.hub.Notify(ctx, t.ends(alive, t.patience())) // what finds no room is found again
}

// ends returns the ends of subscriptions that nobody has any more. A node must have been missing a number of times.
func (t *teller) ends(alive map[node]bool, patience int) (ends []broker.Record) {
	t.mu.Lock()
	defer t.mu.Unlock()
	missing := map[node]int{}
	for _, s := range t.log.known {
		n := nodeOf(s.Subscriber)
		if !alive[n] {
			missing[n] = t.missing[n] + 1
		}
	}
	t.missing = missing
	told := len(t.queue) == 0 && len(t.pending) == 0
	for topic, s := range t.log.known {
		n := nodeOf(s.Subscriber)
		if missing[n] >= patience || n == t.node && told && t.subscribers[s.Subscriber] == nil {
			end := t.record(topic, &s.Subscription, false)
			end.Key = "mercure end " + s.at.String() + " " + topic
			ends = append(ends, end)
		}
	}
	return ends
}

// patience returns how many times a node must be missing. Without other nodes, those of the log are earlier processes.
func (t *teller) patience() int {
	if t.hub.NodeName() == "" {
		return 1
	}
	return sweeps
}

// alive returns this node, and the others that are there or may be.
func (t *teller) alive(ctx context.Context) (map[node]bool, error) {
	alive := map[node]bool{t.node: true}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	nodes, err := t.hub.Posted(ctx, audienceName+t.root)
	for _, o := range nodes {
		if o.Name == "" { // the directory does not tell nodes apart
			return nil, broker.ErrForgotten
		}
		alive[nodeNamed(o.Name)] = true
	}
	return alive, err
}
