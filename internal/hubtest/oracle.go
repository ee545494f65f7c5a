package hubtest

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/rules"
)

// fate is what is known about an event.
type fate uint8

const (
	untold fate = iota // not published yet
	refused
	unknown // it may have been stored
	acknowledged
)

// outcome is one event, and what its publisher was told.
type outcome struct {
	number  int
	targets []broker.Target
	fate    fate
	pos     broker.Position // if acknowledged
}

// ledger is what the oracle knows: every event, and the order of the log's lives.
type ledger struct {
	mu       sync.Mutex                 // guards all below
	outcomes []*outcome                 // by number
	lives    []uint64                   // epochs, oldest first
	lowest   map[uint64]broker.Position // of each life, the lowest position seen
	since    int                        // from here on, no life is from before an engine lost what it held
	forgets  bool                       // the log keeps nothing, so that a gap need not know where it begins
	faults   []string                   // noticed by a publisher
}

// add makes an event.
func (l *ledger) add(targets []broker.Target) *outcome {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := &outcome{number: len(l.outcomes), targets: targets}
	l.outcomes = append(l.outcomes, o)
	return o
}

// settle notes what became of one attempt to publish an event.
func (l *ledger) settle(o *outcome, res broker.Result) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fault := func(format string, args ...any) { l.faults = append(l.faults, fmt.Sprintf(format, args...)) }
	switch {
	case errors.Is(res.Err, broker.ErrKeyReused):
		fault("event %d: its key is said to be another's", o.number)
	case errors.Is(res.Err, broker.ErrUnknownOutcome):
		o.fate = max(o.fate, unknown)
	case res.Err != nil:
		o.fate = max(o.fate, refused)
	case l.forgets && o.fate == acknowledged && o.pos.Epoch != res.Position.Epoch:
		// If a life of such a log ends while a group is being published, all of the group is published again.
	case o.fate == acknowledged && o.pos != res.Position:
		fault("event %d is acknowledged at %s, and again at %s", o.number, o.pos, res.Position)
	case o.fate < unknown && res.Repeated:
		fault("event %d was never stored, and is said to be a repetition of %s", o.number, res.Position)
	case o.fate == acknowledged && !res.Repeated:
		fault("event %d is acknowledged twice, the second time not as a repetition", o.number)
	default:
		o.fate, o.pos = acknowledged, res.Position
		l.see(res.Position)
	}
}

// sight notes a position that a client was told.
func (l *ledger) sight(p broker.Position) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.see(p)
}

// see notes a position. The lives of a log come in the order in which they were first seen, but a life may be short, and seen
// only after the next one. As long as the engine loses nothing, numbers rise from life to life, and so they tell the order.
func (l *ledger) see(p broker.Position) {
	low, known := l.lowest[p.Epoch]
	if known && p.Compare(low) >= 0 {
		return
	}
	if !known {
		l.lives = append(l.lives, p.Epoch)
	}
	if l.lowest == nil {
		l.lowest = map[uint64]broker.Position{}
	}
	l.lowest[p.Epoch] = p
	if l.since < len(l.lives) && !l.forgets {
		slices.SortStableFunc(l.lives[l.since:], func(a, b uint64) int { return l.lowest[a].Compare(l.lowest[b]) })
	}
}

// loses notes that the engine is about to lose what it holds: from now on it may give numbers out again.
func (l *ledger) loses() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.since = len(l.lives)
}

// compare orders positions over the lives of the log.
func (l *ledger) compare(p, q broker.Position) int {
	if p.Epoch != q.Epoch {
		return cmp.Compare(slices.Index(l.lives, p.Epoch), slices.Index(l.lives, q.Epoch))
	}
	return p.Compare(q)
}

// covers reports whether a gap says that an event may be missing: an event between its ends, or, unless the history was
// trimmed, one of an earlier life of the log, of which it is not known what was lost.
func (l *ledger) covers(gap *item, p broker.Position) bool {
	switch {
	case l.compare(p, gap.pos) > 0:
		return false
	case gap.from.IsZero():
		return l.forgets
	case l.compare(p, gap.from) > 0:
		return true
	}
	earlier := p.Epoch != gap.pos.Epoch && slices.Index(l.lives, p.Epoch) < slices.Index(l.lives, gap.pos.Epoch)
	return earlier && gap.reason != "trimmed"
}

// counts returns how many events have each fate.
func (l *ledger) counts() (acked, refusals, unsure int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, o := range l.outcomes {
		switch o.fate {
		case acknowledged:
			acked++
		case unknown:
			unsure++
		case refused:
			refusals++
		}
	}
	return acked, refusals, unsure
}

// item is one thing that a client was told.
type item struct {
	kind   itemKind
	pos    broker.Position // of its id; of a gap: where all is complete again
	from   broker.Position // of a gap: after which something may be missing
	reason string          // of a gap
	number int             // of an event
	text   string
}

type itemKind uint8

const (
	fromHere itemKind = iota // a new client's first position
	isEvent
	isPosition
	isGap
)

// gaps is which clients may be told of a gap.
type gaps uint8

const (
	noGaps   gaps = iota // none
	busyGaps             // those to whom something was published
	anyGaps
)

// most is how many problems of one sort are reported.
const most = 3

// check compares what clients were told with what was published. It is called after all clients have ended.
func (l *ledger) check(r brokertest.Reporter, clients []*client, allowed gaps) {
	r.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.faults {
		r.Errorf("%s", f)
	}
	var acked []*outcome
	for _, o := range l.outcomes {
		if o.fate == acknowledged {
			acked = append(acked, o)
		}
	}
	slices.SortFunc(acked, func(a, b *outcome) int { return l.compare(a.pos, b.pos) })
	for i, n := 1, 0; i < len(acked) && n < most; i++ {
		if acked[i].pos == acked[i-1].pos {
			n++
			r.Errorf("events %d and %d were both acknowledged at %s", acked[i-1].number, acked[i].number, acked[i].pos)
		}
	}
	places := map[int]broker.Position{} // of unknown ones that have come
	for _, c := range clients {
		l.checkClient(r, c, acked, places, allowed)
	}
}

func (l *ledger) checkClient(r brokertest.Reporter, c *client, acked []*outcome, places map[int]broker.Position, allowed gaps) {
	var due []*outcome // what the client is to get, in order
	for _, o := range acked {
		if c.hears(o.targets) {
			due = append(due, o)
		}
	}
	var at broker.Position // the client has all up to here
	var owed []*outcome    // passed over; a gap has to come
	// Events that have come from a position other than the acknowledged one. They were stored twice, unless a later gap says that
	// one of the two is lost: a publish that is under way when an engine is put back may be stored once more.
	var elsewhere []string
	problems, gapsSeen := 0, 0
	report := func(format string, args ...any) {
		if problems++; problems <= most {
			r.Errorf("%s: %s", c.name, fmt.Sprintf(format, args...))
		}
	}
	next := 0 // in due, after at
	pass := func(to broker.Position) {
		for ; next < len(due) && l.compare(due[next].pos, to) <= 0; next++ {
			if due[next].pos != to {
				owed = append(owed, due[next])
			}
		}
		at = to
	}
	missed := func(to broker.Position) { // it has come to a position, but not by an event there
		if to == at { // it was there already: a gap up to there has covered what it missed
			return
		}
		pass(to)
		if n := len(due); next > 0 && next <= n && due[next-1].pos == to && !c.has(due[next-1].number) && !slices.Contains(owed, due[next-1]) {
			owed = append(owed, due[next-1])
		}
	}
	moveTo := func(to broker.Position) {
		at = to
		next, _ = slices.BinarySearchFunc(due, to, func(o *outcome, p broker.Position) int {
			return cmp.Or(l.compare(o.pos, p), -1)
		})
	}
	for _, it := range c.items {
		switch it.kind {
		case fromHere:
			moveTo(it.pos)
		case isGap:
			gapsSeen++
			switch {
			case !it.from.IsZero():
				if l.compare(it.from, at) < 0 {
					report("a gap from %s, was at %s: %s", it.from, at, it.text)
				}
				missed(it.from)
			case !l.forgets:
				report("a gap from nowhere: %s", it.text)
			default:
				missed(it.pos)
			}
			owed = slices.DeleteFunc(owed, func(o *outcome) bool { // events after the gap are due again
				return l.compare(o.pos, it.pos) > 0 || l.covers(&it, o.pos)
			})
			if it.reason != "trimmed" {
				elsewhere = nil
			}
			moveTo(it.pos)
			if allowed == noGaps || allowed == busyGaps && c.quiet {
				report("a false gap: %s", it.text)
			}
		case isPosition:
			if l.compare(it.pos, at) < 0 {
				report("told to be at %s, was at %s", it.pos, at)
			}
			missed(it.pos)
		case isEvent:
			if it.number < 0 || it.number >= len(l.outcomes) {
				report("event %q was never published", it.text)
				continue
			}
			o := l.outcomes[it.number]
			switch {
			case !c.hears(o.targets):
				report("event %d is not for it", it.number)
			case o.fate < unknown:
				report("event %d was refused, and has come at %s", it.number, it.pos)
			case l.forgets && o.fate == acknowledged && o.pos.Epoch != it.pos.Epoch:
				// As in settle: such a log knows no keys of an earlier life.
			case o.fate == acknowledged && o.pos != it.pos:
				elsewhere = append(elsewhere, fmt.Sprintf("event %d has come at %s, but was acknowledged at %s: stored twice", it.number, it.pos, o.pos))
			case o.fate == unknown && !places[it.number].IsZero() && places[it.number] != it.pos:
				elsewhere = append(elsewhere, fmt.Sprintf("event %d has come at %s and at %s: stored twice", it.number, places[it.number], it.pos))
			case l.compare(it.pos, at) <= 0:
				report("event %d at %s comes twice or out of order: was at %s", it.number, it.pos, at)
			}
			if o.fate == unknown {
				places[it.number] = it.pos
			}
			pass(it.pos)
		}
	}
	for _, text := range elsewhere {
		report("%s", text)
	}
	if len(owed) > 0 {
		report("%d acknowledged events have not come, and no gap covers them; the first is %d at %s", len(owed), owed[0].number, owed[0].pos)
	}
	if next < len(due) {
		report("it ends at %s, without %d events; the first is %d at %s", at, len(due)-next, due[next].number, due[next].pos)
	}
	if gapsSeen > 0 {
		r.Logf("%s: %d gaps", c.name, gapsSeen)
	}
}

// hears reports whether an event is for the client.
func (c *client) hears(targets []broker.Target) bool {
	return slices.ContainsFunc(targets, func(to broker.Target) bool {
		return to.Kind == broker.Broadcast || to.Kind == broker.User && to.Name == c.user ||
			to.Kind == broker.Topic && slices.ContainsFunc(c.topics, func(p string) bool { return rules.Match(p, to.Name) })
	})
}

func (c *client) has(number int) bool {
	return slices.ContainsFunc(c.items, func(it item) bool { return it.kind == isEvent && it.number == number })
}

// parseNumber reads an event's data.
func parseNumber(data string) int {
	n, err := strconv.Atoi(data)
	if err != nil {
		return -1
	}
	return n
}
