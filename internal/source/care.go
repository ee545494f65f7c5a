package source

import (
	"slices"
	"time"
)

const (
	// carePause is how often the sources are looked after, and so how exact their times are.
	carePause = 250 * time.Millisecond
	// handOver is how long a source keeps its upstream after a reload.
	handOver = time.Minute
	// silence is how long an upstream that nobody listens to may be silent before it is cut off. A PHP script cannot notice that its
	// connection is closed before it writes, and so is rejoined rather than started again.
	silence = time.Minute
	// overtime is how long an event that has begun is waited for when the upstream is to be opened anew.
	overtime = 10 * time.Second
)

// takeCare does for each source what is due.
func (reg *Registry) takeCare() {
	now := time.Now()
	for _, s := range reg.list() {
		s.takeCare(now)
	}
	reg.mu.Lock()
	defer reg.mu.Unlock()
	if reg.care = nil; len(reg.all) > 0 {
		reg.care = time.AfterFunc(carePause, reg.takeCare)
	}
}

// takeCare ends the upstream request if it is time for that, or the source.
func (s *source) takeCare(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	alone := s.neglected(now)
	switch {
	case s.over != nil, s.cancel == nil:
	case alone && s.state == Waiting:
		s.end(errUnheard)
	case alone && s.state == Opening:
		s.cancel(errUnheard)
	case alone && s.leaving.IsZero():
		s.leaving = now // answer.Write ends it
	case alone && now.Sub(s.leaving) >= silence:
		s.cancel(errUnheard)
	case s.state == Opening && s.answerTo == nil && now.Sub(s.opened) >= time.Duration(s.terms.settings.FirstAnswer):
		if s.cancel(errSlow); !s.known { // the next handlers may not heed that, as php_fastcgi in the middle of a script: nobody waits for them
			s.end(errSlow)
		}
	case s.state == Open && s.due(now) && (!s.midway || now.Sub(s.renew) >= overtime):
		s.cancel(errRenewed)
	}
}

// neglected reports whether nobody has listened for as long as the source lingers. The caller holds mu.
func (s *source) neglected(now time.Time) bool {
	if s.over != nil || s.cancel == nil {
		return false
	}
	if s.isHeard() {
		s.unheard, s.leaving = time.Time{}, time.Time{}
		return false
	}
	if s.unheard.IsZero() {
		s.unheard = now
	}
	return now.Sub(s.unheard) >= time.Duration(s.terms.settings.Linger)
}

// due reports whether the upstream is to be opened anew. The caller holds mu.
func (s *source) due(now time.Time) bool { return !s.renew.IsZero() && !now.Before(s.renew) }

// follow puts the routes of a new config in force. It reports false if none of them is the source's.
func (s *source) follow(routes []*terms) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(routes, s.terms.isSame)
	switch {
	case i < 0:
		return false
	case routes[i] == s.terms:
		return true
	}
	s.terms = routes[i]
	if by := time.Now().Add(handOver); s.state == Open && by.Before(s.renew) {
		s.renew = by
	}
	return true
}
