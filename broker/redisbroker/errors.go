package redisbroker

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gomodule/redigo/redis"

	"github.com/sse-push/caddy-sse-push/broker"
)

// unsentError wraps the reason why a command was not sent.
type unsentError struct{ error }

func (e *unsentError) Unwrap() error { return e.error }

// refusals are the prefixes of errors by which a server refuses to run a command.
var refusals = []string{
	"LOADING", "READONLY", "CLUSTERDOWN", "MASTERDOWN", "NOREPLICAS", "MISCONF", "WRONGPASS", "NOAUTH", "NOPERM",
	"NOSCRIPT", "BUSY", "TRYAGAIN", "MOVED", "ASK", "ERR", "WRONGTYPE", "OOM", "DENIED", "UNKILLABLE",
}

// replied reports whether err is an answer of the server that begins with one of the prefixes.
func replied(err error, prefixes ...string) bool {
	e, ok := errors.AsType[redis.Error](err)
	if !ok {
		return false
	}
	for _, p := range prefixes {
		if strings.HasPrefix(string(e), p) {
			return true
		}
	}
	return false
}

func unsent(err error) bool {
	_, ok := errors.AsType[*unsentError](err)
	return ok
}

// notStored reports whether an error proves that the command was not run.
func notStored(err error) bool {
	return unsent(err) || errors.Is(err, broker.ErrClosed) || replied(err, refusals...)
}

// hopeless reports whether another attempt would fail too.
func hopeless(err error) bool {
	return !unsent(err) && replied(err, "OOM", "WRONGTYPE", "NOPERM", "ERR ")
}

// unavailable wraps the reason why the engine cannot be used.
func unavailable(err error) error {
	switch {
	case errors.Is(err, broker.ErrClosed):
		return broker.ErrClosed
	case replied(err, "OOM"):
		return fmt.Errorf("%w: redis: %w", broker.ErrFull, err)
	}
	return fmt.Errorf("%w: redis: %w", broker.ErrUnavailable, err)
}
