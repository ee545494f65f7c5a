package hub

import (
	"bytes"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/rules"
)

// Tap shows the events that a hub delivers, to whichever connection. It holds only few: events that come while it is full are
// counted, and lost to it. So a slow reader of a tap delays nothing.
type Tap struct {
	// C receives a value when Take has something new.
	C <-chan struct{}

	others *taps // of the same hub, with this one
	filter TapFilter
	more   chan struct{}

	mu     sync.Mutex // guards all below
	events []Tapped
	missed uint64
}

// TapFilter chooses events. An empty field chooses all.
type TapFilter struct {
	Type        string // of the event
	User, Topic string // a target of the event; a topic may be a pattern
	Text        string // part of the data that a Tap shows
}

// Tapped is an event as a Tap shows it.
type Tapped struct {
	Position broker.Position
	ID       string // the app's own id
	Type     string // "" is "message"
	Time     time.Time
	Targets  []broker.Target // the first few
	More     int             // the number of other targets
	Data     []byte          // the beginning of the data
	Size     int             // the size of all of the data, in bytes
}

const (
	maxTapped        = 256
	maxTappedData    = 2 << 10
	maxTappedTargets = 8
)

// taps has the taps of a hub. If there are none, an event costs one load.
type taps struct {
	mu   sync.Mutex // held to replace the list, which is never changed in place
	list atomic.Pointer[[]*Tap]
}

func (t *taps) all() []*Tap {
	if list := t.list.Load(); list != nil {
		return *list
	}
	return nil
}

// open adds a tap.
func (t *taps) open(f TapFilter) *Tap {
	more := make(chan struct{}, 1)
	tap := &Tap{C: more, more: more, others: t, filter: f}
	t.mu.Lock()
	defer t.mu.Unlock()
	list := append(slices.Clone(t.all()), tap)
	t.list.Store(&list)
	return tap
}

// Close closes the tap.
func (t *Tap) Close() {
	t.others.mu.Lock()
	defer t.others.mu.Unlock()
	list := slices.DeleteFunc(slices.Clone(t.others.all()), func(other *Tap) bool { return other == t })
	if len(list) == 0 {
		t.others.list.Store(nil)
		return
	}
	t.others.list.Store(&list)
}

// Take returns the events since the last call, oldest first, and how many chosen events were lost to the tap.
func (t *Tap) Take() (events []Tapped, missed uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	events, missed = t.events, t.missed
	t.events, t.missed = nil, 0
	return events, missed
}

// see adds the events of a batch that the tap's filter chooses.
func (t *Tap) see(batch []broker.Entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	news := false
	for i := range batch {
		e := &batch[i]
		if !t.filter.chooses(&e.Record) {
			continue
		}
		news = true
		if len(t.events) == maxTapped {
			t.missed++
			continue
		}
		t.events = append(t.events, tapped(e))
	}
	if news {
		select {
		case t.more <- struct{}{}:
		default:
		}
	}
}

func (f *TapFilter) chooses(r *broker.Record) bool {
	if r.Kind != broker.Event {
		return false
	}
	switch {
	case f.Type != "" && f.Type != r.Type && (f.Type != "message" || r.Type != ""):
		return false
	case f.Text != "" && !bytes.Contains(shown(r.Data), []byte(f.Text)):
		return false
	}
	return f.goesTo(r, broker.User, f.User) && f.goesTo(r, broker.Topic, f.Topic)
}

// goesTo reports whether a record has a wanted target of some kind.
func (f *TapFilter) goesTo(r *broker.Record, kind broker.TargetKind, want string) bool {
	return want == "" || slices.ContainsFunc(r.Targets, func(t broker.Target) bool {
		return t.Kind == kind && (t.Name == want || kind == broker.Topic && strings.Contains(want, "*") && rules.Match(want, t.Name))
	})
}

func shown(data []byte) []byte { return data[:min(len(data), maxTappedData)] }

func tapped(e *broker.Entry) Tapped {
	few := min(len(e.Record.Targets), maxTappedTargets)
	return Tapped{
		Position: e.Position, ID: e.Record.ID, Type: e.Record.Type, Time: e.Record.Time,
		Targets: slices.Clone(e.Record.Targets[:few]), More: len(e.Record.Targets) - few,
		Data: bytes.Clone(shown(e.Record.Data)), Size: len(e.Record.Data),
	}
}
