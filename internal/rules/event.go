package rules

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/sse-push/caddy-sse-push/broker"
)

// Limits of an event, however it is published.
const (
	MaxTargets    = 1000 // targets, and as many excluded connections
	MaxConnection = 128  // bytes of a connection's id
	MaxCoalesce   = 128  // bytes of a coalescing key

	// MaxDeny is the longest time for which a user may be denied.
	MaxDeny = 24 * time.Hour

	// Browsers that are told less than MinRetry send hundreds of requests a second while a server is away.
	MinRetry = 500 * time.Millisecond
	MaxRetry = 24 * time.Hour
	MaxTTL   = 365 * 24 * time.Hour
)

// CheckConnection returns what is wrong with a connection's id, or nil.
func CheckConnection(id string) error {
	switch {
	case id == "":
		return errors.New("must not be empty")
	case len(id) > MaxConnection:
		return fmt.Errorf("must not be longer than %d bytes", MaxConnection)
	case strings.ContainsFunc(id, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' && r != '-'
	}):
		return errors.New("must be a connection's id: letters, digits, _ and -")
	}
	return nil
}

// CheckCoalesce returns what is wrong with a coalescing key, or nil.
func CheckCoalesce(s string) error {
	switch {
	case s == "":
		return errors.New("must not be empty")
	case len(s) > MaxCoalesce:
		return fmt.Errorf("must not be longer than %d bytes", MaxCoalesce)
	case strings.ContainsFunc(s, unicode.IsControl):
		return errors.New("must not hold control characters")
	}
	return nil
}

// RetryOf returns the duration of a retry given in milliseconds.
func RetryOf(n int64) (time.Duration, error) {
	return span(n, MinRetry, MaxRetry, time.Millisecond, "milliseconds")
}

// TTLOf returns the duration of a ttl given in seconds.
func TTLOf(n int64) (time.Duration, error) {
	return span(n, time.Second, MaxTTL, time.Second, "seconds")
}

func span(n int64, least, most, unit time.Duration, units string) (time.Duration, error) {
	if n < int64(least/unit) || n > int64(most/unit) {
		return 0, fmt.Errorf("must be %d to %d %s", least/unit, most/unit, units)
	}
	return time.Duration(n) * unit, nil
}

// Tidy sorts a record's targets and exclusions and removes duplicates, so that equal events are equal records.
func Tidy(r *broker.Record) {
	slices.SortFunc(r.Targets, func(a, b broker.Target) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), strings.Compare(a.Name, b.Name))
	})
	r.Targets = slices.Compact(r.Targets)
	slices.Sort(r.Exclude)
	r.Exclude = slices.Compact(r.Exclude)
}
