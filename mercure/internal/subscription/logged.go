package subscription

import "github.com/sse-push/caddy-sse-push/broker"

// logged has the subscriptions that are active according to the log. Updates that come before the log's past has been read wait.
type logged struct {
	known   map[string]update // by topic
	bytes   int
	waiting []update
	ready   bool // the past has been read
}

// update is what the log says of a subscription.
type update struct {
	Subscription
	topic  string
	active bool
	at     broker.Position
}

// maxLogged bounds the bytes of subscriptions that a node remembers from the log. Those past it are on no list of another node, and are
// not ended if their node fails.
const maxLogged = 32 << 20

func newLogged() logged { return logged{known: map[string]update{}} }

// readUpdate reads an update, and reports whether it is about the subscription of its topic. root is the path of all subscriptions.
func readUpdate(root string, e *broker.Entry) (u update, ok bool) {
	u = update{topic: e.Record.Targets[0].Name, at: e.Position}
	u.Subscription, u.active, ok = read(root, u.topic, e.Record.Data)
	return u, ok
}

func (u *update) size() int { return 512 + 2*len(u.topic) + len(u.Payload) }

// hear records an update that has just come. It reports false if the past has to be read first.
func (l *logged) hear(u update) bool {
	if !l.ready {
		l.waiting = append(l.waiting, u)
		return false
	}
	l.apply(u)
	return true
}

// learned records what has come while the past was read.
func (l *logged) learned() {
	for _, u := range l.waiting {
		l.apply(u)
	}
	l.ready, l.waiting = true, nil
}

// apply records an update.
func (l *logged) apply(u update) {
	if old, known := l.known[u.topic]; known {
		l.bytes -= old.size()
		delete(l.known, u.topic)
	}
	if u.active && l.bytes+u.size() <= maxLogged {
		l.known[u.topic] = u
		l.bytes += u.size()
	}
}
