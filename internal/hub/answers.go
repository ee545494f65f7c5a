package hub

import (
	"strconv"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

const (
	// answerTime is how long an answer stays in the directory: longer than a publisher may wait for it.
	answerTime = 15 * time.Second
	// maxAnswers bounds the counts that answers take. Receipts past that get no answer.
	maxAnswers = 1 << 16
)

// answers has what this node tells receipts of other nodes: that it has passed the event's place in the log, and which of the
// event's users were connected there. nodes.mu guards it.
type answers struct {
	counts map[string]int // as they are in the directory
	given  []answer       // oldest first
}

// answer has the names that answer one receipt.
type answer struct {
	names []string
	until time.Time
}

// current removes old answers, and returns the counts of the others. The caller holds nodes.mu.
func (a *answers) current() map[string]int {
	n, now := 0, time.Now()
	for n < len(a.given) && !now.Before(a.given[n].until) {
		for _, name := range a.given[n].names {
			delete(a.counts, name)
		}
		n++
	}
	a.given = a.given[n:]
	return a.counts
}

// answerOf returns the name under which a node says that it has passed the event of a receipt. answerFor returns the name under
// which it counts a user's connections there.
func answerOf(receipt uint64) string { return answerName + strconv.FormatUint(receipt, 36) }

func answerFor(receipt uint64, user string) string { return answerOf(receipt) + ":" + user }

// rollCall counts the connections of an event's users when the event comes.
type rollCall struct {
	number uint64
	own    *Receipt // nil if another node has the receipt
	users  []string
	here   []int // connections of each of users
}

// rollCalls returns a rollCall for each event of a batch that has a receipt.
func (h *Hub) rollCalls(batch []broker.Entry) (list []rollCall) {
	for i := range batch {
		r := &batch[i].Record
		if r.Receipt == 0 || r.Kind != broker.Event || time.Since(r.Time) > answerTime {
			continue
		}
		q := rollCall{number: r.Receipt, own: h.window.receipts.of(r.Receipt)}
		for _, t := range r.Targets {
			if t.Kind == broker.User {
				q.users = append(q.users, t.Name)
			}
		}
		if q.own == nil && h.nodes == nil || len(q.users) == 0 {
			continue
		}
		q.here = make([]int, len(q.users))
		list = append(list, q)
	}
	return list
}

// callRoll counts connections. It is called before and after the window gets the events, as a stream that opens or ends in
// between may have got them.
func (h *Hub) callRoll(list []rollCall) {
	if len(list) == 0 {
		return
	}
	beside := map[string]int{} // connections that hear another log
	for _, one := range h.all()[1:] {
		for _, q := range list {
			for _, user := range q.users {
				beside[user] = one.usersOwn(user)
			}
		}
	}
	h.admission.mu.Lock()
	defer h.admission.mu.Unlock()
	for _, q := range list {
		for i, user := range q.users {
			q.here[i] = max(q.here[i], h.admission.users[user]-beside[user])
		}
	}
}

// usersOwn returns the number of a user's connections in this hub alone.
func (h *Hub) usersOwn(user string) (n int) {
	for _, s := range h.shards {
		s.mu.Lock()
		s.index.visit(broker.Target{Kind: broker.User, Name: user}, func(*Conn) { n++ })
		s.mu.Unlock()
	}
	return n
}

// answer tells the receipts, on this node or others, who was connected.
func (h *Hub) answer(list []rollCall) {
	for _, q := range list {
		if q.own != nil {
			q.own.attend(q.users, q.here)
		} else {
			h.nodes.answer(q)
		}
	}
}

func (n *nodes) answer(q rollCall) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.answers.counts)+1+len(q.users) > maxAnswers {
		return
	}
	a := answer{[]string{answerOf(q.number)}, time.Now().Add(answerTime)}
	n.answers.counts[a.names[0]] = 1
	for i, user := range q.users {
		if q.here[i] > 0 {
			name := answerFor(q.number, user)
			n.answers.counts[name] = q.here[i]
			a.names = append(a.names, name)
		}
	}
	n.answers.given = append(n.answers.given, a)
	n.note(a.names...)
}
