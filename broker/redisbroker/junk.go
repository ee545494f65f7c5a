package redisbroker

import (
	"log/slog"
	"time"
)

// junk counts entries that are no events, and logs them once a minute.
type junk struct {
	logger *slog.Logger
	next   time.Time // when it may be logged again
	n      int       // since it was logged
	at     id        // the last of them
	err    error
}

func (j *junk) add(at id, err error) {
	j.n++
	j.at, j.err = at, err
	if now := time.Now(); !now.Before(j.next) {
		j.next = now.Add(time.Minute)
		j.flush()
	}
}

func (j *junk) flush() {
	if j.n > 0 {
		j.logger.Warn("redis: skipping entries that are not events", "count", j.n, "last", j.at.String(), "error", j.err)
		j.n = 0
	}
}
