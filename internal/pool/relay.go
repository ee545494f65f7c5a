package pool

import (
	"context"
	"maps"
	"time"
)

// Relay describes a relay.
type Relay struct {
	ID         string            `json:"id"` // also the topic that its listeners are subscribed to
	User       string            `json:"user,omitempty"`
	Topic      string            `json:"topic,omitempty"`
	Status     string            `json:"status"` // running, complete, cancelled, failed or interrupted
	Since      time.Time         `json:"since"`
	Ended      *time.Time        `json:"ended,omitempty"`
	Listeners  int               `json:"listeners"` // open connections of this node
	Events     uint64            `json:"events"`
	Bytes      uint64            `json:"bytes"`
	HTTPStatus int               `json:"http_status,omitempty"`
	Headers    map[string]string `json:"headers,omitempty"`
	Error      string            `json:"error,omitempty"`
	Body       string            `json:"body,omitempty"`
	Attempts   int               `json:"attempts,omitempty"` // how often the request was sent, if more than once
	Done       string            `json:"done,omitempty"`     // after the end: pending or taken; "" if nobody is told
}

// RelayFilter chooses relays: those of a user, those of a status, or both. An empty field chooses all. After is the next of an
// earlier list, to go on from there.
type RelayFilter struct{ User, Status, After string }

// RelayStats are the counts of a hub's relays on this node, those that have ended included.
type RelayStats struct {
	Running    int               // that this node runs
	Ended      map[string]uint64 // whose end this node has written, by status
	Events     uint64            // that the log has taken
	Bytes      uint64            // of upstreams
	Dropped    uint64            // events whose names no client may be sent
	DroppedIDs uint64            // ids that no client could send back
	Retries    uint64            // requests to upstreams that were sent again
	Calls      map[string]uint64 // calls of done by their outcome
	Untold     int               // relays whose end the app has yet to take, if this node is to tell it
}

// NewRelayStats returns counts of nothing.
func NewRelayStats() RelayStats {
	return RelayStats{
		Ended: map[string]uint64{"complete": 0, "cancelled": 0, "failed": 0, "interrupted": 0},
		Calls: map[string]uint64{"taken": 0, "refused": 0, "error": 0, "given_up": 0},
	}
}

// Clone returns a copy that shares nothing with s.
func (s RelayStats) Clone() RelayStats {
	s.Ended, s.Calls = maps.Clone(s.Ended), maps.Clone(s.Calls)
	return s
}

// Add adds the counts of another hub.
func (s *RelayStats) Add(other RelayStats) {
	s.Running += other.Running
	s.Events += other.Events
	s.Bytes += other.Bytes
	s.Dropped += other.Dropped
	s.DroppedIDs += other.DroppedIDs
	s.Retries += other.Retries
	s.Untold += other.Untold
	for status, n := range other.Ended {
		s.Ended[status] += n
	}
	for outcome, n := range other.Calls {
		s.Calls[outcome] += n
	}
}

// RelaysResident is the name of the Resident that has the hub's relays, and of their log. It implements Relayer.
const RelaysResident = "relays"

// Relayer tells operators of relays, and stops them.
type Relayer interface {
	// List returns up to limit of the chosen relays, the newest first. total counts all of them, and next is where the list goes on.
	List(ctx context.Context, f RelayFilter, limit int) (rows []Relay, total int, next string, err error)
	// Find returns the relay with an id. It reports false if there is none.
	Find(ctx context.Context, id string) (Relay, bool, error)
	// Stop ends a relay, whichever node runs it. It reports false if there is none with the id.
	Stop(ctx context.Context, id string) (bool, error)
	// Stats returns the counts.
	Stats() RelayStats
}

// Relays returns the hub's relays. They are none if no config has had `relay` so far.
func (p *Hub) Relays() Relayer {
	if r, ok := p.FindResident(RelaysResident).(Relayer); ok {
		return r
	}
	return noRelays{}
}

// RelayLog returns the name of the log that the hub's relays have.
func (p *Hub) RelayLog() string { return p.Name + "." + RelaysResident }

// noRelays are those of a hub without.
type noRelays struct{}

func (noRelays) List(context.Context, RelayFilter, int) ([]Relay, int, string, error) {
	return []Relay{}, 0, "", nil
}
func (noRelays) Find(context.Context, string) (Relay, bool, error) { return Relay{}, false, nil }
func (noRelays) Stop(context.Context, string) (bool, error)        { return false, nil }
func (noRelays) Stats() RelayStats                                 { return NewRelayStats() }
