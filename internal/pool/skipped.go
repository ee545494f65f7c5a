package pool

import (
	"go.uber.org/zap"

	"github.com/sse-push/caddy-sse-push/broker"
)

// skip warns, in the log of the config in force, of a record of the hub's log that cannot be read, or that no hub can have
// written.
func (p *Hub) skip(at broker.Position, err error) {
	p.complaints.Log(p.Log(), zap.WarnLevel, "skipping records of the log that are damaged or that no hub has written: clients are told of a gap",
		zap.String("position", at.String()), zap.Uint64("so_far", p.Skipped()), zap.Error(err))
}
