package source

import (
	"context"
	"crypto/rand"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/feed"
	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/identity"
)

// maxVisitors is how many of the newest requests a source keeps.
const maxVisitors = 8

// State is what a source does.
type State string

const (
	Opening   State = "opening"   // waits for the app's answer
	Open      State = "open"      // reads
	Waiting   State = "waiting"   // is about to open the stream again
	Lingering State = "lingering" // reads, while nobody listens
	Ending    State = "ending"    // closes the stream as soon as the app lets it
)

// source is a stream of the app that several clients share.
type source struct {
	reg           *Registry
	log           *hub.Hub // the companion that has its events
	key           key
	id            string // its topic
	path          string
	share         string
	user, network string // of the client that started it; the user only if it is proved, and shares the source with nobody else
	began         time.Time
	counts        feed.Counts
	failing       atomic.Bool // the last upstream request has failed, and no other one has brought a stream yet

	ctx  context.Context // done when the source is over
	stop context.CancelFunc

	mu       sync.Mutex // guards all below
	terms    *terms     // of the newest config
	state    State      // opening, open or waiting
	askers   []*asker   // wait for the first answer
	joining  int        // clients that are about to listen, including those
	answerTo *asker     // gets an answer that is no stream
	known    bool       // there was an answer that is a stream
	visitors []*visitor // the newest last; one that listens, or is about to, if there is any
	cancel   context.CancelCauseFunc
	feed     *feed.Feed // of the newest upstream request; nil before the first
	opened   time.Time  // when the present upstream request was made
	renew    time.Time  // when it is to be ended, to make another one; zero if it is not open
	midway   bool       // an event has begun
	unheard  time.Time  // since when nobody listens; zero if somebody does
	leaving  time.Time  // since when the upstream is to be closed; zero if it is not
	reopened int
	lastErr  string
	over     error // why the source has ended; nil if it has not

	start    broker.Position // from before the first of its events
	position broker.Position // of the last of them; start if there is none
	replay   replay
	lastID   string // that the app is sent back
	retry    time.Duration
}

// newSource returns a source of a registry. The caller starts it.
func newSource(reg *Registry, k key, v *visitor, id identity.Identity, network string) *source {
	s := &source{
		reg: reg, log: reg.log, key: k, id: rand.Text(), path: v.asked.Path, share: v.terms.settings.Share,
		network: network, began: time.Now(), terms: v.terms, state: Opening,
	}
	if id.Grant != nil && s.share != Everyone {
		s.user = id.User
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s
}

// join adds a client. It reports false if the source has ended.
func (s *source) join(a *asker) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over != nil {
		return false
	}
	s.joining++
	s.unheard, s.leaving = time.Time{}, time.Time{}
	s.visitors = append(s.visitors, a.visitor)
	if len(s.visitors) > maxVisitors {
		s.visitors = slices.Delete(s.visitors, 0, 1)
	}
	if s.known {
		a.outcome <- outcome{kind: listens}
	} else {
		a.early = true
		s.askers = append(s.askers, a)
	}
	return true
}

// heard records that a client listens. If the source has ended meanwhile, the client is told to come again.
func (s *source) heard(a *asker, c *hub.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.visitor.conn = c.ID; s.over != nil {
		c.End(hub.SourceEnded, 0)
	}
}

// leave undoes join: the client listens, or does not want to any more.
func (s *source) leave(a *asker) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.joining--
	s.askers = slices.DeleteFunc(s.askers, func(other *asker) bool { return other == a })
	if a.visitor.conn == "" && len(s.visitors) > 1 {
		s.visitors = slices.DeleteFunc(s.visitors, func(v *visitor) bool { return v == a.visitor })
	}
	if s.answerTo == a && s.cancel != nil {
		s.cancel(errUnheard)
	}
}

// opening returns how the stream of a newcomer begins: with nothing older than what others have already heard. One that has waited for
// the first answer hears all that has followed, however late it subscribes.
func (s *source) opening(a *asker) *hub.Opening {
	s.mu.Lock()
	f := s.feed
	s.mu.Unlock()
	if f != nil && !a.early {
		f.Settle()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.early {
		return &hub.Opening{After: s.start}
	}
	return &hub.Opening{Frames: s.replay.frames(), After: s.position}
}

// stored takes note of an event that the log has.
func (s *source) stored(r *broker.Record, at broker.Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.position = at
	if r.Kind == broker.Event {
		s.replay.add(r, at, &s.terms.settings)
	}
}

// place returns where the source's route is.
func (s *source) place() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.terms.place()
}

// isHeard reports whether somebody listens, or is about to. The caller holds mu.
func (s *source) isHeard() bool { return s.joining > 0 || s.log.Listeners(s.id) > 0 }

// pick returns the visitor whose request the source repeats, and whether it must take it through the whole site: the next handlers of
// an earlier config are no longer to be used. The caller holds mu.
func (s *source) pick() (v *visitor, wholeSite bool) {
	v = s.visitors[len(s.visitors)-1]
	present := slices.DeleteFunc(slices.Clone(s.visitors), func(v *visitor) bool { return v.conn != "" && s.log.Open(v.conn) == nil })
	if len(present) > 0 {
		s.visitors, v = present, present[len(present)-1]
	}
	return v, v.terms != s.terms
}

// finish ends a source for good. Those who listen are told to come again, unless the hub sees to that.
func (s *source) finish(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end(why)
}

// end is finish for a caller that holds mu.
func (s *source) end(why error) {
	if s.over != nil {
		return
	}
	s.over = why
	if s.cancel != nil {
		s.cancel(why)
	}
	s.stop()
	s.reject(s.askers)
	s.askers = nil
	if conns := s.log.Hearing(s.id); len(conns) > 0 && why != errClosed {
		go hub.Release(conns, hub.SourceEnded, releaseTime)
	}
}

// releaseTime is how long the streams of a source that has ended may take to end, so that their clients do not all come at once.
const releaseTime = 10 * time.Second

// reject sends clients away that are to come again, each at a time of its own. The caller holds mu.
func (s *source) reject(askers []*asker) {
	spread := min(5*time.Second+time.Duration(len(askers))*20*time.Millisecond, time.Minute)
	for _, a := range askers {
		a.outcome <- outcome{kind: rejected, spread: spread}
	}
}

// report logs what an operator should know of the app, not again and again.
func (s *source) report(what string, fields ...zap.Field) {
	s.mu.Lock()
	t := s.terms
	s.mu.Unlock()
	t.complaints.Log(t.log, zap.WarnLevel, what, append(fields, zap.String("source", s.id), zap.String("path", s.path))...)
}
