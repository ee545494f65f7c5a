// Package broker is the contract between a hub and the ordered log behind it.
//
// A broker stores records in one total order and hands them back in that order, and does nothing else. Retries, the
// history window, matching, catching up and gaps belong to the hub, so that a broker stays small.
package broker

import (
	"context"
	"errors"
	"time"
)

// Broker is an ordered log. Its methods may be called from many goroutines at once.
type Broker interface {
	// Append stores records one after the other and returns one result for each, in order. A record whose
	// result has no error is stored, as safely as the broker documents. Append may wait for a sync or for a
	// hub that lags, but returns when ctx is done. What the records refer to belongs to the broker afterwards. The slice is
	// the caller's again, unless a result is ErrUnknownOutcome.
	Append(ctx context.Context, records []Record) []Result

	// Tail hands entries to sink, in order and without end. It blocks until ctx is done or the broker is
	// closed. It begins with the newest last entries, or with all if there are fewer, so that a node's
	// window is full before its first client connects. It waits for an engine that is away, and reconnects
	// by itself. After each break it proves that nothing is missing, or hands on a Hole. A hub calls Tail once.
	Tail(ctx context.Context, last int, sink Sink) error

	// Read returns up to limit entries that come after one position, up to and including upTo, in order. It
	// returns none if there is nothing in between. If entries after that position are gone, the error is
	// ErrTrimmed or ErrLost. If one of the two is not a position of this log, it is ErrUnknown.
	Read(ctx context.Context, after, upTo Position, limit int) ([]Entry, error)

	// Resolve returns where a position stands relative to the log. An error means that the engine did not answer.
	Resolve(ctx context.Context, p Position) (Standing, error)

	// Close ends every Tail and releases what the broker holds. Calls that are made at the same time or later fail.
	Close() error
}

// Forgetful is implemented by brokers that keep nothing: entries that Tail has handed on cannot be read again, and a hub
// does not try to.
type Forgetful interface{ Forgets() }

// Keeper is implemented by brokers for one node whose log outlives the process. It keeps a hub's small notes beside the log.
type Keeper interface {
	// Keep stores a note under a name. It replaces an earlier one.
	Keep(name string, note []byte) error
	// Kept returns the note; nil if there is none.
	Kept(name string) ([]byte, error)
}

// Sink takes what Tail reads. Its methods are called by one goroutine at a time. They may block: this is how
// a hub that lags slows its broker down.
type Sink interface {
	// Begin is called once, before the first entry, with the position before that entry.
	Begin(Position)
	// Deliver takes at least one entry. The slice is valid only until Deliver returns.
	Deliver([]Entry)
	// State takes the reason why Tail cannot read from its engine, each time that changes, and nil once Tail has
	// handed on all that the log held when it connected. Entries before the first nil are history. If the engine is
	// away from the start, State is called before Begin.
	State(error)
}

// PromptSink is implemented by sinks that can tell whether Deliver would block. If it would not, a broker may call Deliver on the
// goroutine that appends, which costs less than waking another one.
type PromptSink interface {
	Sink
	// Prompt reports whether Deliver would return soon. It does not block.
	Prompt() bool
}

// Entry is a record at its place in the log.
type Entry struct {
	Position Position
	Record   Record
	// Err wraps ErrNewer or ErrMalformed if the record is a Hole in place of one that this version, or any version, cannot
	// read. After ErrNewer the hub is not healthy until the entry has left its window.
	Err error
}

// Kind tells what a record is.
type Kind uint8

const (
	Event Kind = iota // something published
	Hole              // records just before this entry's position are lost, and it is not known which; its Type is why, "" for "lost"

	// The following kinds control connections. They are stored so that they keep their place among the events.

	Disconnect // ends the streams of the targets, of any kind
	Deny       // the same for users, who are also refused for TTL
	Supersede  // ends the older streams of the targets, which are connections
	Join       // subscribes the targets, users and connections, to Topics
	Leave      // unsubscribes them

	lastKind = Leave
)

// Record is what a log holds.
type Record struct {
	Kind    Kind
	Targets []Target
	Exclude []string // connections that do not get the event
	Topics  []string // of a Join or a Leave: names and patterns
	Ends    []string // of a Supersede: the claims that it ends, as hubs name them; none: all older ones
	Since   Position // of a Join that repeats an older one: the position of the older one; zero: it repeats none
	Partial bool     // of such a Join: the node has more to repeat than it may
	Public  bool     // of an event: clients of another protocol, such as Mercure's, hear it without a grant
	Read    Position // of such a Join: records after this may take away what it repeats; zero: a node of an older version wrote it

	Type  string // the event's type; "" is "message"
	ID    string // the app's own id; "" for none
	Data  []byte
	Retry time.Duration // 0 for none; whole milliseconds

	TTL      time.Duration // 0 for none: how long after Time the event is still worth sending
	Coalesce string        // "" for none

	Key    string   // idempotency key; "" for none
	Digest [16]byte // of the content, so that a key reused for another event is noticed

	Receipt uint64 // by which the publishing node follows the delivery; 0 for none

	Time time.Time // of the append; set by the broker
}

// NamesSize returns about how many bytes of memory targets and exclusions take, with their places in an index.
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

// Target names recipients of an event. It is comparable. Name is empty for a broadcast.
type Target struct {
	Kind TargetKind
	Name string
}

// Result reports what became of one record.
type Result struct {
	Position Position
	Repeated bool  // the record was stored before, under the same idempotency key, at Position
	Err      error // nil: stored. Otherwise one of the errors below, perhaps wrapped
}

var (
	// ErrUnknownOutcome: the record may or may not have been stored. Every other error means not stored.
	ErrUnknownOutcome = errors.New("it is not known whether the event was stored")
	// ErrKeyReused: the idempotency key belongs to an event with other content.
	ErrKeyReused = errors.New("the idempotency key was used for another event")
	// ErrOverloaded: the log cannot take more at the moment.
	ErrOverloaded = errors.New("the broker is overloaded")
	// ErrUnavailable: the engine behind the broker cannot be reached.
	ErrUnavailable = errors.New("the broker is not available")
	// ErrClosed: the broker was closed.
	ErrClosed = errors.New("the broker is closed")
	// ErrTrimmed: entries after the position have been trimmed.
	ErrTrimmed = errors.New("the history after this position was trimmed")
	// ErrLost: entries after the position were lost.
	ErrLost = errors.New("the history after this position was lost")
	// ErrUnknown: the position is not one of this log.
	ErrUnknown = errors.New("the position is unknown")
	// ErrTooLarge: the broker never takes an event of that size.
	ErrTooLarge = errors.New("the event is larger than the broker accepts")
	// ErrFull: the log's disk or memory is full.
	ErrFull = errors.New("the broker has no space left")
)

// Standing says where a position stands relative to a log.
type Standing uint8

const (
	Unknown Standing = iota // not a position of this log
	Exact                   // every entry after it can be read
	Trimmed                 // a position of this log, but entries after it were trimmed
	Lost                    // a position of this log, but entries after it were lost
	Ahead                   // of this log's present life, but beyond its end: nothing is there yet
)
