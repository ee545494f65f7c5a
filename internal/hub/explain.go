package hub

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

// Verdict is why a connection, or a user, did or did not get an event.
type Verdict string

// The verdicts. If a user's connections have several, the first in this order is the user's.
const (
	Sent          Verdict = "sent"           // given to the stream
	Pending       Verdict = "pending"        // it waits for an open connection
	Unsent        Verdict = "unsent"         // it waited when the connection ended; the client gets it when it resumes
	InGap         Verdict = "gap"            // the client was told that events are missing there
	Expired       Verdict = "expired"        // it had expired
	Coalesced     Verdict = "coalesced"      // a newer one with the same key took its place
	Excluded      Verdict = "excluded"       // its publisher excluded the connection
	NotSubscribed Verdict = "not_subscribed" // the topic is granted, but the client has not asked for it
	NotGranted    Verdict = "not_granted"    // the topic is not in the grant
	NotAddressed  Verdict = "not_addressed"  // it went to others
	Forgotten     Verdict = "forgotten"      // the history no longer has it
	Unknown       Verdict = "unknown"        // this log has no such event
	NotConnected  Verdict = "not_connected"
	Connected     Verdict = "connected" // no event was asked for
)

var verdicts = []Verdict{
	Sent, Pending, Unsent, InGap, Expired, Coalesced, Excluded, NotSubscribed, NotGranted, NotAddressed, Forgotten, Unknown, NotConnected, Connected,
}

// Question asks about one user or connection, one event, or both.
type Question struct {
	Who     string // a connection's id or a user's name; "" for all that the event was for
	Event   string // an event's id; "" for none
	Granted func(attached Attachment, user, topic string) bool
}

// Account is what became of an event on one connection.
type Account struct {
	Connection string     `json:"connection"`
	User       string     `json:"user"`
	Topics     []string   `json:"topics"`
	Log        string     `json:"log,omitempty"` // the companion's name if the connection belongs to one: its topics are in that log
	Since      time.Time  `json:"since"`
	Until      *time.Time `json:"until,omitempty"` // when the connection ended
	Reason     string     `json:"reason,omitempty"`
	Verdict    Verdict    `json:"verdict"`
	Detail     string     `json:"detail"`
}

// EventInfo is what is known of an event.
type EventInfo struct {
	ID       string          `json:"id"`
	Time     *time.Time      `json:"time,omitempty"`
	Expires  *time.Time      `json:"expires,omitempty"`
	Targets  []string        `json:"targets,omitempty"` // the first few
	Excluded int             `json:"excluded,omitempty"`
	Bytes    int             `json:"bytes,omitempty"` // on the wire
	position broker.Position // its position
}

// Explanation answers a Question, for this node.
type Explanation struct {
	Who         string          `json:"who,omitempty"`
	Event       *EventInfo      `json:"event,omitempty"`
	Verdict     Verdict         `json:"verdict,omitempty"` // none if the question was about all connections
	Detail      string          `json:"detail,omitempty"`
	Counts      map[Verdict]int `json:"counts,omitempty"` // of all connections that were looked at
	Connections []Account       `json:"connections"`      // some of them; those that got the event come last
}

const (
	maxAccounts = 100
	maxTold     = 20 // targets of an event
)

// ErrNoEventID: the id is not that of an event.
var ErrNoEventID = errors.New("must be an event's id, as publish returns it")

// Explain returns why an event did or did not reach connections, as far as the window and a small trace can tell.
func (h *Hub) Explain(q Question) (Explanation, error) {
	x := Explanation{Who: q.Who, Connections: []Account{}}
	log := h // whose event it is
	var e *entry
	var standing Verdict
	if q.Event != "" {
		text, _, _ := strings.Cut(q.Event, "~")
		p, ok := broker.ParsePosition(text)
		if !ok {
			return x, ErrNoEventID
		}
		log = h.knowing(p)
		x.Event, e, standing = log.look(q.Event, p)
	}
	x.Counts = map[Verdict]int{}
	now := time.Now()
	var accounts []Account
	for s := range h.everyShard() {
		if q.Who == "" && s.hub != log {
			continue
		}
		for _, t := range s.asked(q.Who, e) {
			var a Account
			switch {
			case x.Event == nil:
				if a = s.present(&t); s.hub.accompanies() {
					a.Detail += ", in " + s.hub.Name
				}
			case s.hub != log:
				a = t.account(NotAddressed, "the event belongs to the log %s, but the connection hears %s", log.Name, s.hub.Name)
			case e == nil:
				a = s.recollect(&t, x.Event, standing)
			default:
				a = s.judge(&t, e, now, q.Granted)
			}
			if s.hub.accompanies() {
				a.Log = s.hub.Name
			}
			x.Counts[a.Verdict]++
			if accounts = append(accounts, a); len(accounts) > 2*maxAccounts {
				accounts = important(accounts, q.Who != "")
			}
		}
	}
	if accounts = important(accounts, q.Who != ""); len(accounts) > 0 {
		x.Connections = accounts
	}
	switch {
	case q.Who == "" && standing != "":
		x.Verdict, x.Detail = standing, standingDetail(standing)
	case q.Who == "":
	case len(accounts) > 0:
		x.Verdict, x.Detail = accounts[0].Verdict, accounts[0].Detail
	default:
		x.Verdict, x.Detail = h.stranger(q.Who, e, standing)
	}
	return x, nil
}

// knowing returns the hub or the companion whose log has a position; the hub if that is not known.
func (h *Hub) knowing(p broker.Position) *Hub {
	for _, one := range h.all() {
		if _, at := one.window.locate(p); at != foreign {
			return one
		}
	}
	return h
}

// look finds an event by its id, which begins with its position. If the window does not have it, the verdict is why.
func (h *Hub) look(id string, p broker.Position) (*EventInfo, *entry, Verdict) {
	info := &EventInfo{ID: id, position: p}
	seq, at := h.window.locate(p)
	e := h.window.at(seq)
	switch {
	case at == within && e != nil && e.pos == p && e.frame != nil:
		told := e.targets[:min(len(e.targets), maxTold)]
		for _, t := range told {
			info.Targets = append(info.Targets, targetText(t))
		}
		if more := len(e.targets) - len(told); more > 0 {
			info.Targets = append(info.Targets, fmt.Sprintf("and %d more", more))
		}
		info.Time, info.Excluded, info.Bytes = &e.at, len(e.exclude), len(e.frame)
		if !e.expires.IsZero() {
			info.Expires = &e.expires
		}
		return info, e, ""
	case at == older, at == within && e == nil:
		return info, nil, Forgotten
	}
	return info, nil, Unknown
}

func targetText(t broker.Target) string {
	switch t.Kind {
	case broker.User:
		return "user " + t.Name
	case broker.Topic:
		return "topic " + t.Name
	case broker.Connection:
		return "connection " + t.Name
	}
	return "broadcast"
}

// asked returns the connections that a question is about: those with the id or user who, or all that hear an entry.
func (s *shard) asked(who string, e *entry) []trail {
	if who != "" {
		return s.trails(func(x *index) (conns []*Conn) {
			for _, kind := range []broker.TargetKind{broker.Connection, broker.User} {
				x.visit(broker.Target{Kind: kind, Name: who}, func(c *Conn) { conns = append(conns, c) })
			}
			return conns
		}, func(t *trail) bool { return t.id == who || t.user == who })
	}
	if e == nil {
		return nil
	}
	return s.trails(func(x *index) (conns []*Conn) {
		if slices.Contains(e.targets, everyone[0]) {
			return slices.DeleteFunc(slices.Clone(x.all), func(c *Conn) bool { return c.matches && !c.interest().hears(e) })
		}
		seen := map[*Conn]bool{}
		for _, t := range e.targets {
			x.visit(t, func(c *Conn) {
				if !seen[c] && (!c.matches || c.interest().hears(e)) {
					seen[c] = true
					conns = append(conns, c)
				}
			})
		}
		return conns
	}, func(t *trail) bool { return !t.until.Before(e.at) && t.interest().hears(e) })
}

// account returns an Account of the connection with a verdict.
func (t *trail) account(v Verdict, format string, args ...any) Account {
	a := Account{
		Connection: t.id, User: t.user, Topics: append([]string{}, t.topics.list()...), Since: t.since.UTC(), Reason: t.reason,
		Verdict: v, Detail: fmt.Sprintf(format, args...),
	}
	if !t.until.IsZero() {
		until := t.until.UTC()
		a.Until = &until
	}
	return a
}

// present returns the account of a connection if no event was asked for.
func (s *shard) present(t *trail) Account {
	switch {
	case !t.until.IsZero():
		return t.account(NotConnected, "ended: %s", t.reason)
	case t.pending > 0:
		return t.account(Connected, "open, with %d events waiting", t.pending)
	case !t.live:
		return t.account(Connected, "open, catching up")
	}
	return t.account(Connected, "open, and up to date")
}

// recollect returns the account of a connection for an event that the window does not have.
func (s *shard) recollect(t *trail, e *EventInfo, standing Verdict) Account {
	if g, ok := s.gapOver(t.id, e.position); ok {
		return t.account(InGap, "the client got a gap (%s) that covers this event", g.reason)
	}
	return t.account(standing, "%s", standingDetail(standing))
}

func standingDetail(v Verdict) string {
	if v == Forgotten {
		return "the history no longer has the event, so its targets are unknown; the client was not told of a gap there"
	}
	return "no event of this hub has this id"
}

// judge returns the account of a connection for an event that the window has.
func (s *shard) judge(t *trail, e *entry, now time.Time, granted func(Attachment, string, string) bool) Account {
	open := t.until.IsZero()
	passed, sure := false, true
	if e.void(now) {
		passed, sure = s.hasPassed(t.id, e.seq)
	}
	over := func() Account {
		if e.superseded.Load() {
			return t.account(Coalesced, "a newer event with the same key and targets took its place before it could be sent")
		}
		return t.account(Expired, "it expired at %s, before it could be sent", e.expires.UTC().Format(time.RFC3339))
	}
	switch {
	case !t.interest().hears(e):
		return t.unheard(e, granted)
	case slices.Contains(e.exclude, t.id):
		return t.account(Excluded, "the event's publisher excluded this connection")
	case e.seq <= t.from:
		if g, ok := s.gapOver(t.id, e.pos); ok {
			return t.account(InGap, "the client got a gap (%s) that covers this event", g.reason)
		}
		return t.account(NotConnected, "it connected at %s, after this event", t.since.UTC().Format(time.RFC3339))
	case e.seq > t.upTo && open && e.void(now):
		return over()
	case e.seq > t.upTo && open && t.live:
		return t.account(Pending, "it waits until the client has read the events before it: %d events wait", t.pending)
	case e.seq > t.upTo && open:
		return t.account(Pending, "the client is catching up, and has not yet reached it")
	case e.seq > t.upTo && t.until.Before(e.at):
		return t.account(NotConnected, "it ended before the event (%s)", t.reason)
	case e.seq > t.upTo:
		return t.account(Unsent, "the event waited when the connection ended (%s); the client gets it when it resumes", t.reason)
	case passed:
		return over()
	case !sure:
		return t.account(Sent, "given to the stream, unless it had expired by then: the trace does not reach back that far")
	}
	return t.account(Sent, "given to the stream")
}

// unheard returns the account of a connection that does not hear an event.
func (t *trail) unheard(e *entry, granted func(Attachment, string, string) bool) Account {
	m := t.topics.matched()
	if m != nil && m.heed(e.targets) {
		return t.account(NotGranted, "the event is private, and none of its topics is granted to the client")
	}
	if m != nil && slices.ContainsFunc(e.targets, func(t broker.Target) bool { return t.Kind == broker.Topic }) {
		return t.account(NotSubscribed, "the client has not asked for a topic of the event")
	}
	var topics []string
	for _, target := range e.targets {
		if target.Kind != broker.Topic {
			continue
		}
		topics = append(topics, target.Name)
		if granted != nil && granted(t.attached, t.user, target.Name) {
			return t.account(NotSubscribed, "the topic %s is granted, but the client has not asked for it", target.Name)
		}
	}
	if len(topics) > 0 {
		return t.account(NotGranted, "the topic %s is not granted to the client", topics[0])
	}
	return t.account(NotAddressed, "the event went to others")
}

// stranger returns the verdict for a user or connection that is not connected, and was not lately.
func (h *Hub) stranger(who string, e *entry, standing Verdict) (Verdict, string) {
	elsewhere := ""
	if h.nodes != nil {
		elsewhere = " on this node"
	}
	switch {
	case standing != "":
		return standing, standingDetail(standing)
	case e != nil && !slices.ContainsFunc(e.targets, func(t broker.Target) bool {
		return t.Kind == broker.Broadcast || t.Kind == broker.Topic || t.Name == who
	}):
		return NotAddressed, "the event went to others; also, no user or connection of this name is, or lately was, connected" + elsewhere
	}
	return NotConnected, "no user or connection of this name is, or lately was, connected" + elsewhere
}

// important returns the accounts to report. Those of one user are ordered by verdict. Otherwise those that got the event come
// last.
func important(accounts []Account, one bool) []Account {
	rank := func(a *Account) int {
		n := slices.Index(verdicts, a.Verdict)
		if a.Verdict == Connected {
			n = -1
		}
		if !one && a.Verdict == Sent {
			n = len(verdicts)
		}
		return n
	}
	slices.SortStableFunc(accounts, func(a, b Account) int {
		if n := rank(&a) - rank(&b); n != 0 {
			return n
		}
		return b.Since.Compare(a.Since)
	})
	return accounts[:min(len(accounts), maxAccounts)]
}
