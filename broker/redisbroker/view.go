package redisbroker

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/sse-push/caddy-sse-push/broker"
)

// pageBytes bounds what one view reads.
const pageBytes = "1048576"

// view is a part of the log, with the state of the log at the moment of reading.
type view struct {
	now    int64 // milliseconds
	length uint64
	added  uint64 // entries that were ever added
	last   id     // the newest that was ever added
	first  id     // the oldest that is there; only if length > 0
	epochs epochs
	floor  id // entries after it are all there, unless trimmed since
	since  uint64
	sum    uint32 // the checksum of the entry that was to be checked; 0 if it is gone
	page   []raw
}

// view reads a part of the log, and checks the entry of p, if p is not zero.
func (b *Broker) view(ctx context.Context, l *link, p broker.Position, command, from, to string, most int) (view, error) {
	check := ""
	if !p.IsZero() {
		check = idOf(p).String()
	}
	sent := time.Now()
	m, err := l.read(ctx, viewScript, []string{b.keys.log, b.keys.epochs, b.keys.floor},
		[]string{check, command, from, to, strconv.Itoa(most), pageBytes})
	if err != nil {
		return view{}, err
	}
	v, err := parseView(m)
	if err == nil {
		b.clock.Observe(sent, time.UnixMilli(v.now))
	}
	return v, err
}

func parseView(reply any) (v view, err error) {
	parts, err := redis.Values(reply, nil)
	if err != nil {
		return v, err
	}
	if len(parts) != 9 {
		return v, errors.New("unexpected form of the script's answer")
	}
	try := func(f func() error) {
		if err == nil {
			err = f()
		}
	}
	number := func(n *uint64, m any) {
		try(func() (err error) { *n, err = redis.Uint64(m, nil); return err })
	}
	var now uint64
	number(&now, parts[0])
	v.now = int64(now)
	number(&v.length, parts[1])
	number(&v.added, parts[2])
	text := func(m any, f func(s string) error) {
		try(func() error {
			s, err := redis.String(m, nil)
			if err == nil && s != "" {
				err = f(s)
			}
			return err
		})
	}
	text(parts[3], func(s string) (err error) { v.last, err = parseID(s); return err })
	text(parts[4], func(s string) (err error) { v.first, err = parseID(s); return err })
	try(func() error {
		texts, err := redis.Strings(parts[5], nil)
		if err == nil {
			v.epochs, err = parseEpochs(texts)
		}
		return err
	})
	text(parts[6], func(s string) error {
		var at string
		if _, err := fmt.Sscanf(s, "%s %d", &at, &v.since); err != nil {
			return err
		}
		v.floor, err = parseID(at)
		return err
	})
	text(parts[7], func(s string) error {
		sum, err := hex.DecodeString(s)
		if err == nil && len(sum) >= 4 {
			v.sum = firstOf(sum)
		}
		return err
	})
	try(func() error { v.page, err = parsePage(parts[8]); return err })
	return v, err
}

func parsePage(reply any) ([]raw, error) {
	entries, err := redis.Values(reply, nil)
	if err != nil {
		return nil, err
	}
	page := make([]raw, len(entries))
	for i := range entries {
		pair, err := redis.Values(entries[i], nil)
		if err != nil || len(pair) != 2 {
			return nil, fmt.Errorf("unexpected form of an entry: %w", err)
		}
		name, err := redis.String(pair[0], nil)
		if err != nil {
			return nil, err
		}
		if page[i].id, err = parseID(name); err != nil {
			return nil, err
		}
		if page[i].fields, err = redis.Strings(pair[1], nil); err != nil {
			return nil, err
		}
	}
	return page, nil
}

// standing returns how a position stands to the log. v was read with the position's entry to be checked.
func (v *view) standing(p broker.Position) broker.Standing {
	at, known := idOf(p), v.epochs.find(p.Epoch)
	switch {
	case known < 0:
		return broker.Unknown
	case v.epochs.at(at).name != p.Epoch:
		if at.less(v.epochs[known].from) {
			return broker.Unknown
		}
		return broker.Lost // the epoch ended before this position
	case v.sum != 0 && (v.sum == p.Check || p.Check == 0):
		return broker.Exact
	case v.sum != 0:
		return broker.Unknown
	case at == id{}:
		if v.added == v.length {
			return broker.Exact
		}
		return broker.Trimmed
	case v.last.less(at):
		return broker.Ahead
	case v.length == 0 && at == v.last, v.length > 0 && at.next() == v.first, at == v.floor && v.added-v.since == v.length:
		return broker.Exact
	case v.length == 0, at.less(v.first):
		return broker.Trimmed
	}
	return broker.Lost
}
