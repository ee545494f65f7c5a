package ssepush

import (
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/problem"
)

// skipped logs records of a hub's log that could not be read or believed, once in warnEvery.
type skipped struct {
	mu    sync.Mutex // guards all below
	count int
	next  time.Time // when it may be logged again
}

// skip takes note of a record, and warns into the log of the config in force.
func (p *pooledHub) skip(at broker.Position, err error) {
	s := &p.skipped
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	now := time.Now()
	rs := p.routes.Load()
	if rs == nil || now.Before(s.next) {
		return
	}
	s.next = now.Add(problem.Every)
	rs.log.Warn("records of the log are skipped that no hub has written or that are damaged: clients are told of a gap",
		zap.String("hub", p.Name), zap.String("position", at.String()), zap.Int("so_far", s.count), zap.Error(err))
}
