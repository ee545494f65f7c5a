package subscription

import (
	"testing"

	"github.com/sse-push/caddy-sse-push/internal/matcher"
	"github.com/sse-push/caddy-sse-push/mercure/internal/access"
)

func newRegistry(t *testing.T) *Registry {
	t.Helper()
	base, err := matcher.NewBase("https://hub.example.com/.well-known/mercure")
	if err != nil {
		t.Fatal(err)
	}
	return &Registry{
		base: base, root: root, node: nodeNamed("here"), wake: make(chan struct{}, 1),
		subscribers: map[string]*Subscriber{}, parted: map[interest]int{}, audience: newAudience(root), log: newLogged(),
	}
}

// While nothing can be stored in the log, clients come and go, and others are refused. What waits to be told does not grow with them.
func TestChangesAreBounded(t *testing.T) {
	r := newRegistry(t)
	teller := teller{Registry: r, subjects: map[subject]*standing{}}
	room := interest{}
	for n := range 100_000 {
		s := &Subscriber{id: r.node.newID(), version: access.V1, topics: matcher.NewSet(matcher.Any), interests: []interest{{matcher.Any, matcher.Any}}}
		room = s.interests[0]
		r.enter(s.interests, true)
		if n%2 == 0 {
			r.Open(s)
		}
		r.Leave(s)
	}
	if len(r.queue) > 2048 || len(r.subscribers) != 0 || len(r.parted) != 1 {
		t.Errorf("%d changes wait, of %d subscribers with %d interests", len(r.queue), len(r.subscribers), len(r.parted))
	}
	if teller.part(); len(r.parted) != 0 || r.audience.known[room].here != 0 {
		t.Errorf("the audience counts %d", r.audience.known[room].here)
	}
	for teller.next() {
	}
	if len(teller.subjects) != 0 || len(teller.pending) != 0 {
		t.Errorf("of clients that have gone, %d subjects and %d updates are left", len(teller.subjects), len(teller.pending))
	}
}

// An end that could not be stored is made up for once all else is told. The subscriptions of a client that is there do not end.
func TestLostEnds(t *testing.T) {
	r := newRegistry(t)
	teller := teller{Registry: r, subjects: map[subject]*standing{}}
	there := &Subscriber{id: r.node.newID(), version: access.V1, topics: matcher.NewSet(matcher.Any)}
	r.Open(there)
	for _, id := range []string{there.id, r.node.newID()} {
		s := subject{access.V1, matcher.Any}.by(id, nil)
		r.log.apply(update{Subscription: *s, topic: s.topic(root), active: true})
	}
	alive := map[node]bool{r.node: true}
	if ends := teller.ends(alive, 1); len(ends) != 0 {
		t.Errorf("%d ended while changes wait", len(ends))
	}
	for teller.next() {
	}
	if ends := teller.ends(alive, 1); len(ends) != 1 || ends[0].Targets[0].Name == (subject{access.V1, matcher.Any}).by(there.id, nil).topic(root) {
		t.Errorf("ended %v", ends)
	}
}
