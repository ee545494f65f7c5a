// Package broker is the contract between a hub and the ordered log behind it.
//
// A broker stores records in one total order and hands them back in that order; nothing else. The hub
// owns retries, the history window, matching, catching up and gaps, so that a broker stays small.
package broker

import (
	"context"
	"errors"
	"time"
)

// Broker is an ordered log. Its methods may be called from many goroutines at once.
type Broker interface {
	// Append stores records behind each other and returns one result for each, in order. When it
	// returns, a record whose result has no error is stored to the degree that the broker states.
	// It may wait (for a sync, or for a hub that lags), until ctx is done at the latest. The records
	// belong to the broker from then on.
	Append(ctx context.Context, records []Record) []Result

	// Tail hands entries to sink, in order and without end, and blocks until ctx is done or the broker is
	// closed. It begins with the newest last entries, or with fewer where there are fewer, so that a node's
	// window is filled before its first client comes. It waits for an engine that is away, and reconnects
	// by itself; after each break it proves that nothing is missing, or hands on a Hole. A hub has one Tail.
	Tail(ctx context.Context, last int, sink Sink) error

	// Read returns up to limit entries behind after, up to and including upTo, in order; none where there is
	// nothing in between. Where entries behind after are gone, the error is ErrTrimmed or ErrLost, and where
	// one of the two is no position of this log, ErrUnknown.
	Read(ctx context.Context, after, upTo Position, limit int) ([]Entry, error)

	// Resolve says how a position stands to the log. An error means that the engine did not answer.
	Resolve(ctx context.Context, p Position) (Standing, error)

	// Close ends every Tail and lets go of what the broker holds. What is called at the same time or later fails.
	Close() error
}

// Forgetful is what a broker is besides that keeps nothing: what Tail has handed on cannot be read again, and a hub
// does not ask for it.
type Forgetful interface{ Forgets() }

// Keeper is implemented by brokers for one node whose log outlives the process: a hub keeps a small note beside the log.
type Keeper interface {
	// Keep stores a note under a name, in place of the one before.
	Keep(name string, note []byte) error
	// Kept returns it; nil where there is none.
	Kept(name string) ([]byte, error)
}

// Sink takes what Tail reads. Its methods are called by one goroutine at a time, and may block: that is
// how a hub that lags slows its broker down.
type Sink interface {
	// Begin comes once and before the first entry: the position in front of it.
	Begin(Position)
	// Deliver hands entries on, at least one; the slice is the sink's only until it returns.
	Deliver([]Entry)
	// State says how Tail stands with its engine: the reason why it cannot read, each time that changes, and nil
	// once it has handed on all that the log held when it connected. Up to the first nil, what comes is history. An
	// engine that is away from the start is told of before Begin.
	State(error)
}

// Entry is a record at its place in the log.
type Entry struct {
	Position Position
	Record   Record
	// Err wraps ErrNewer or ErrMalformed if the record is a Hole in place of one that this version cannot read, or that no
	// version can. After ErrNewer the hub is not healthy until the entry has left its window.
	Err error
}

// Kind tells what a record is.
type Kind uint8

const (
	Event Kind = iota // something published
	Hole              // records just before this entry's position are lost, and nobody knows which

	// What follows steers connections. It is stored, so that it keeps its place among the events.

	Disconnect // ends the streams of the targets, whatever they are connected by
	Deny       // the same, of users; they are not let in again for TTL, or are at once where that is 0
	Supersede  // ends what older streams the targets, connections, have
	Join       // subscribes the targets, users and connections, to Topics
	Leave      // unsubscribes them

	lastKind = Leave
)

// Record is what a log holds.
type Record struct {
	Kind    Kind
	Targets []Target
	Exclude []string // connections that do not get it
	Topics  []string // of a Join or a Leave: names and patterns
	Ends    []string // of a Supersede: the claims that it ends, as hubs name them; none: whatever is older
	Since   Position // of a Join that repeats an older one: where that one stood; zero: it repeats none
	Partial bool     // of such a Join: the node has more to repeat than it may
	Read    Position // of such a Join: what stands behind this may take away what it repeats; zero: a node of an older version wrote it

	Type  string // the event's type; "" is "message"
	ID    string // the app's own id; "" for none
	Data  []byte
	Retry time.Duration // 0 for none; whole milliseconds

	TTL      time.Duration // 0 for none: how long after Time the event is still worth sending
	Coalesce string        // "" for none

	Key    string   // idempotency key; "" for none
	Digest [16]byte // of the content, so that a key reused for something else is noticed

	Receipt uint64 // by which the node that publishes it follows it; 0 for none

	Time time.Time // when it was appended; set by the broker
}

// NamesSize is about what targets and exclusions take of memory, with their places in an index.
func (r *Record) NamesSize() (n int64) {
	for _, t := range r.Targets {
		n += int64(len(t.Name)) + 64
	}
	for _, name := range r.Exclude {
		n += int64(len(name)) + 16
	}
	for _, name := range r.Topics {
		n += int64(len(name)) + 16
	}
	for _, name := range r.Ends {
		n += int64(len(name)) + 16
	}
	return n
}

// TargetKind tells what a target names.
type TargetKind uint8

const (
	Broadcast TargetKind = iota + 1
	User
	Topic
	Connection
)

// Target is where an event goes. It is comparable; Name is empty for a broadcast.
type Target struct {
	Kind TargetKind
	Name string
}

// Result is what became of one record.
type Result struct {
	Position Position
	Repeated bool  // the record was stored before, under the same idempotency key, at Position
	Err      error // nil: stored. Otherwise one of the errors below, perhaps wrapped
}

var (
	// ErrUnknownOutcome: the record may or may not have been stored. Every other error means not stored.
	ErrUnknownOutcome = errors.New("it is not known whether the event was stored")
	// ErrKeyReused: the idempotency key belongs to another content.
	ErrKeyReused = errors.New("the idempotency key was used for another event")
	// ErrOverloaded: the log cannot take more just now.
	ErrOverloaded = errors.New("the broker is overloaded")
	// ErrUnavailable: the engine behind the broker cannot be reached.
	ErrUnavailable = errors.New("the broker is not available")
	// ErrClosed: the broker was closed.
	ErrClosed = errors.New("the broker is closed")
	// ErrTrimmed: entries behind the position have been trimmed.
	ErrTrimmed = errors.New("the history behind this position was trimmed")
	// ErrLost: entries behind the position were lost.
	ErrLost = errors.New("the history behind this position was lost")
	// ErrUnknown: the position is not one of this log.
	ErrUnknown = errors.New("the position is unknown")
	// ErrFull: the log's disk or memory is full.
	ErrFull = errors.New("the broker has no space left")
)

// Standing is how a position stands to a log.
type Standing uint8

const (
	Unknown Standing = iota // not a position of this log
	Exact                   // every entry behind it can be read
	Trimmed                 // a position of this log, but entries behind it were trimmed
	Lost                    // a position of this log, but entries behind it were lost
	Ahead                   // of this log's present life, but behind its end: nothing is there yet
)
