package hub

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/rules"
)

// intake checks what comes from the log, as others may write to the engine behind it. It replaces a record that no version
// known to this node could have written by a hole, so that a gap covers it.
type intake struct {
	skipped atomic.Uint64 // records that were skipped
	noted   atomic.Pointer[func(broker.Position, error)]
	foreign bool // of a companion: its events are those of upstreams, and the ends of topics; set before the hub runs

	mu     sync.Mutex // guards all below
	topics []string   // topics that presence is or was published to, newest last
	newer  error      // why the newest record that only a newer version understands was skipped
	at     uint64     // its place
}

// maxTopics bounds the remembered presence topics. The history may still have events to earlier ones.
const maxTopics = 16

// presents records a topic that presence is published to.
func (in *intake) presents(topic string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if topic != "" && !slices.Contains(in.topics, topic) {
		in.topics = append(in.topics[max(len(in.topics)+1-maxTopics, 0):len(in.topics):len(in.topics)], topic)
	}
}

// take replaces the entries that no hub could have written.
func (in *intake) take(batch []broker.Entry) {
	for i := range batch {
		e := &batch[i]
		if e.Err != nil || e.Record.Kind == broker.Hole {
			continue
		}
		if err := in.check(&e.Record); err != nil {
			e.Err = fmt.Errorf("%w: %w", broker.ErrMalformed, err)
			e.Record = broker.Record{Kind: broker.Hole, Targets: missing(&e.Record), Time: e.Record.Time}
		}
	}
}

// missing returns the targets of an event that is skipped, so that only they get a gap. It returns none, for everybody, if the
// targets are not valid either.
func missing(r *broker.Record) []broker.Target {
	if r.Kind != broker.Event || len(r.Targets) > rules.MaxTargets {
		return nil
	}
	for _, t := range r.Targets {
		if checkEventTarget(t) != nil {
			return nil
		}
	}
	return r.Targets
}

// count records what was replaced by holes, here or by the broker. seq is the place of the batch's first entry.
func (in *intake) count(batch []broker.Entry, seq uint64) {
	for i := range batch {
		e := &batch[i]
		switch {
		case e.Err == nil:
		case errors.Is(e.Err, broker.ErrNewer):
			in.mu.Lock()
			in.newer, in.at = e.Err, seq+uint64(i)
			in.mu.Unlock()
		default:
			in.skipped.Add(1)
			if f := in.noted.Load(); f != nil {
				(*f)(e.Position, e.Err)
			}
		}
	}
}

// tooNew returns why a record in the window was skipped that only a newer version understands, or nil.
func (in *intake) tooNew(w *window) error {
	oldest, _ := w.oldest()
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.newer != nil && in.at <= oldest {
		in.newer = nil
	}
	return in.newer
}

// Skipped returns how many records this node could not read, or that no hub can have written.
func (h *Hub) Skipped() uint64 { return h.intake.skipped.Load() }

// OnSkipped sets a function that is called with each record that is skipped.
func (h *Hub) OnSkipped(f func(broker.Position, error)) { h.intake.noted.Store(&f) }

// check returns why no hub can have written a record, or nil.
func (in *intake) check(r *broker.Record) error {
	if r.Kind == broker.Event {
		return in.checkEvent(r)
	}
	if len(r.Exclude) > 0 || r.Type != "" || r.ID != "" || len(r.Data) > 0 || r.Retry != 0 || r.Coalesce != "" || r.Key != "" {
		return errors.New("a record that steers connections has fields of an event")
	}
	repeats := r.Kind == broker.Join && !r.Since.IsZero()
	switch {
	case r.Public:
		return errors.New("a record that steers connections is public")
	case len(r.Targets) != 1 && (!repeats || len(r.Targets) == 0 || len(r.Targets) > keptTargets):
		return fmt.Errorf("a record that steers connections has %d targets", len(r.Targets))
	case !repeats && (r.Partial || !r.Since.IsZero() || !r.Read.IsZero()):
		return fmt.Errorf("kind %d repeats something", r.Kind)
	}
	for _, t := range r.Targets {
		if repeats && t.Kind != broker.Connection {
			return fmt.Errorf("a repetition with a target of kind %d", t.Kind)
		}
		if err := checkControl(r, t); err != nil {
			return err
		}
	}
	return nil
}

func checkControl(r *broker.Record, t broker.Target) error {
	kinds := map[broker.Kind][]broker.TargetKind{
		broker.Disconnect: {broker.User, broker.Topic, broker.Connection},
		broker.Deny:       {broker.User},
		broker.Supersede:  {broker.Connection},
		broker.Join:       {broker.User, broker.Connection},
		broker.Leave:      {broker.User, broker.Connection},
	}[r.Kind]
	member := r.Kind == broker.Join || r.Kind == broker.Leave
	switch {
	case !slices.Contains(kinds, t.Kind):
		return fmt.Errorf("kind %d with a target of kind %d", r.Kind, t.Kind)
	case member != (len(r.Topics) > 0), len(r.Topics) > rules.MaxTargets:
		return fmt.Errorf("kind %d with %d topics", r.Kind, len(r.Topics))
	case r.TTL < 0, r.TTL > rules.MaxDeny, r.TTL != 0 && r.Kind != broker.Deny:
		return fmt.Errorf("kind %d with a ttl of %s", r.Kind, r.TTL)
	case len(r.Ends) > 0 && r.Kind != broker.Supersede:
		return fmt.Errorf("kind %d ends claims", r.Kind)
	}
	for _, topic := range r.Topics {
		if err := rules.CheckPattern(topic); err != nil {
			return fmt.Errorf("topic: %w", err)
		}
	}
	for _, claim := range r.Ends {
		if len(claim) > rules.MaxName || strings.ContainsFunc(claim, unicode.IsControl) {
			return errors.New("a claim of another form")
		}
	}
	return checkTarget(t)
}

func (in *intake) checkEvent(r *broker.Record) error {
	switch {
	case len(r.Targets) == 0:
		return errors.New("no target")
	case len(r.Targets) > rules.MaxTargets, len(r.Exclude) > rules.MaxTargets:
		return fmt.Errorf("more than %d targets or exclusions", rules.MaxTargets)
	case len(r.Topics) > 0, len(r.Ends) > 0, !r.Since.IsZero(), r.Partial, !r.Read.IsZero():
		return errors.New("an event has fields of a record that steers connections")
	}
	for _, t := range r.Targets {
		if err := checkEventTarget(t); err != nil {
			return err
		}
	}
	for _, id := range r.Exclude {
		if err := rules.CheckConnection(id); err != nil {
			return fmt.Errorf("exclude: %w", err)
		}
	}
	if r.Type == presenceType {
		return in.checkPresence(r)
	}
	check := func(field, value string, rule func(string) error) error {
		if value == "" {
			return nil
		}
		if err := rule(value); err != nil {
			return fmt.Errorf("%s: %w", field, err)
		}
		return nil
	}
	err := errors.Join(check("event", r.Type, in.checkType), check("id", r.ID, rules.CheckID),
		check("coalesce", r.Coalesce, rules.CheckCoalesce), checkSpan("retry", r.Retry, rules.MaxRetry), checkSpan("ttl", r.TTL, rules.MaxTTL))
	if err == nil {
		if bad := rules.CheckData(r.Data); bad != nil {
			err = fmt.Errorf("data: %w", bad)
		}
	}
	return err
}

// EndType is the type of the last event of a topic in a companion.
const EndType = "sse:end"

func (in *intake) checkType(name string) error {
	switch {
	case !in.foreign:
		return rules.CheckType(name)
	case name == EndType:
		return nil
	}
	return rules.CheckForeignType(name)
}

// checkPresence accepts the hub's own events: those on a topic of presence, or, if this node publishes none, on any topic.
func (in *intake) checkPresence(r *broker.Record) error {
	var p presenceEvent
	if len(r.Targets) != 1 || r.Targets[0].Kind != broker.Topic || len(r.Exclude) > 0 || r.ID != "" || r.Retry != 0 || r.TTL != 0 || r.Coalesce != "" {
		return errors.New("a presence event of another form")
	}
	if err := json.Unmarshal(r.Data, &p); err != nil || p.State == "" || rules.CheckName(p.User) != nil || rules.CheckData(r.Data) != nil {
		return errors.New("a presence event with other data")
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.topics) > 0 && !slices.Contains(in.topics, r.Targets[0].Name) {
		return errors.New("a presence event on another topic")
	}
	return nil
}

// checkEventTarget is checkTarget for events, which may be of topics of another protocol.
func checkEventTarget(t broker.Target) error {
	if t.Kind != broker.Topic {
		return checkTarget(t)
	}
	if err := rules.CheckForeignTopic(t.Name); err != nil {
		return fmt.Errorf("target: %w", err)
	}
	return nil
}

func checkTarget(t broker.Target) (err error) {
	switch t.Kind {
	case broker.Broadcast:
		if t.Name != "" {
			err = errors.New("a broadcast with a name")
		}
	case broker.User:
		err = rules.CheckName(t.Name)
	case broker.Topic:
		err = rules.CheckTopic(t.Name)
	case broker.Connection:
		err = rules.CheckConnection(t.Name)
	default:
		err = errors.New("unknown kind")
	}
	if err != nil {
		return fmt.Errorf("target: %w", err)
	}
	return nil
}

func checkSpan(field string, d, most time.Duration) error {
	if d < 0 || d > most {
		return fmt.Errorf("%s: %s is out of range", field, d)
	}
	return nil
}
