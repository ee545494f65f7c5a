package doctor

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
)

// examination is one run of the checks.
type examination struct {
	Options
	nonce  string
	route  *route // nil without access
	log    string // the streams' log, if it is not the hub's own: nothing can be published to it
	public []*stream
	hub    []*stream

	sighted []string // what stands in front, as far as requests of its own tell

	mu        sync.Mutex // guards what follows
	findings  []Finding
	unchecked []string
	held      string // what proves that bytes are held back; empty without proof
	missed    bool   // requests do not reach the hub
	idleFrom  time.Time
	open      []*stream // all streams that were opened, for close
}

// best returns the stream that a browser would have got, and what has been seen of it. That is the last answered stream without
// compression, which is HTTP/2 if the server has it.
func (e *examination) best() (kind, *record) {
	choice, seen := e.public[0], e.public[0].look()
	for _, s := range e.public[1:] {
		if r := s.look(); r.isStream() && (len(r.messages) > 0 || len(seen.messages) == 0) && (!s.compressed || len(seen.messages) == 0) {
			choice, seen = s, r
		}
	}
	return choice.kind, seen
}

// all returns the streams that begin has opened.
func (e *examination) all() []*stream { return slices.Concat(e.public, e.hub) }

// find adds a finding.
func (e *examination) find(code, on, seen string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.findings = append(e.findings, newFinding(code, on, fmt.Sprintf(seen, args...)))
}

// leaveOut records what was not checked, and why.
func (e *examination) leaveOut(what string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if text := clean(fmt.Sprintf(what, args...)); !slices.Contains(e.unchecked, text) {
		e.unchecked = append(e.unchecked, text)
	}
}

// start opens a stream. It ends with close at the latest.
func (e *examination) start(ctx context.Context, k kind, header http.Header) *stream {
	all := e.Header.Clone()
	if all == nil {
		all = http.Header{}
	}
	for name, values := range header {
		all[name] = values
	}
	k.insecure = e.Insecure
	s := open(ctx, k, all)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.open = append(e.open, s)
	return s
}

// close ends all streams, and waits for their end.
func (e *examination) close() {
	for _, s := range e.open {
		s.leave()
	}
	for _, s := range e.open {
		<-s.done
	}
}
