package pool

import "time"

// Source describes a shared source to operators.
type Source struct {
	ID        string     `json:"id"` // also the topic that its listeners are subscribed to
	Path      string     `json:"path"`
	Shared    string     `json:"shared"`    // session or everyone
	State     string     `json:"state"`     // opening, open, waiting, lingering or ending
	Listeners int        `json:"listeners"` // open connections
	Asking    int        `json:"asking"`    // clients that wait for the app's first answer
	Events    uint64     `json:"events"`
	Bytes     uint64     `json:"bytes"`
	Since     time.Time  `json:"since"`
	LastEvent *time.Time `json:"last_event,omitempty"`
	Reopened  int        `json:"reopened"`
	LastError string     `json:"last_error,omitempty"`
}

// SourceStats are the counts of a hub's sources, those that have ended included.
type SourceStats struct {
	Open       int               // sources
	Failing    int               // those of them whose last upstream request failed, until another one brings a stream
	Events     uint64            // that the log has taken
	Bytes      uint64            // of upstreams
	Dropped    uint64            // events whose names no client may be sent
	DroppedIDs uint64            // ids that no client could send back
	Upstreams  map[string]uint64 // upstream requests by their outcome
}

// NewSourceStats returns counts of nothing.
func NewSourceStats() SourceStats {
	return SourceStats{Upstreams: map[string]uint64{"stream": 0, "broken": 0, "other": 0, "slow": 0, "error": 0, "left": 0}}
}

// Add adds the counts of another hub.
func (s *SourceStats) Add(other SourceStats) {
	s.Open += other.Open
	s.Failing += other.Failing
	s.Events += other.Events
	s.Bytes += other.Bytes
	s.Dropped += other.Dropped
	s.DroppedIDs += other.DroppedIDs
	for outcome, n := range other.Upstreams {
		s.Upstreams[outcome] += n
	}
}

// SourcesResident is the name of the Resident that has the hub's shared sources. It implements Sourcer.
const SourcesResident = "sources"

// Sourcer tells operators of shared sources.
type Sourcer interface {
	// List returns the sources, the oldest first.
	List() []Source
	// Stats returns their counts.
	Stats() SourceStats
}

func (p *Hub) sourcer() (Sourcer, bool) {
	s, ok := p.FindResident(SourcesResident).(Sourcer)
	return s, ok
}

// SourceList returns the hub's shared sources, the oldest first.
func (p *Hub) SourceList() []Source {
	if s, ok := p.sourcer(); ok {
		return s.List()
	}
	return nil
}

// SourceStats returns the counts of the hub's shared sources.
func (p *Hub) SourceStats() SourceStats {
	if s, ok := p.sourcer(); ok {
		return s.Stats()
	}
	return NewSourceStats()
}
