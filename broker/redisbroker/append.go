package redisbroker

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/sse-push/caddy-sse-push/broker"
)

const (
	// groupRecords and groupBytes limit what one script stores, and so how long it keeps Redis busy.
	groupRecords = 128
	groupBytes   = 1 << 20
	// maxAppend is how long an Append may take if its context has no deadline.
	maxAppend = 10 * time.Second
	// grace is how long after its context's deadline an append is still accepted by Redis, and how much longer its key lives.
	grace = time.Second
)

// stored is a record as appendScript takes it.
type stored struct {
	key, token, digest string
	life               time.Duration // of the key; 0: as long as the append may be retried
	check              uint32
	record             string
}

// Append implements broker.Broker. Each record has a key of its own in Redis, so that an attempt with an unknown outcome can be
// repeated.
func (b *Broker) Append(ctx context.Context, records []broker.Record) []broker.Result {
	results := make([]broker.Result, len(records))
	ctx, done, err := b.enter(ctx)
	if err != nil {
		return fail(results, err)
	}
	defer done()
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, maxAppend)
		defer cancel()
	}
	if !b.clock.Known() { // there is no tail yet
		b.view(ctx, b.main, broker.Position{}, "XRANGE", "+", "+", 0)
	}
	now := b.clock.Now()
	for from := 0; from < len(records); {
		var group []stored
		size := 0
		for i := from; i < len(records) && len(group) < groupRecords && size < groupBytes; i++ {
			group = append(group, b.stored(&records[i], now))
			size += len(group[len(group)-1].record)
		}
		b.appendGroup(ctx, group, results[from:from+len(group)])
		from += len(group)
	}
	return results
}

func fail(results []broker.Result, err error) []broker.Result {
	for i := range results {
		results[i].Err = err
	}
	return results
}

func (b *Broker) stored(r *broker.Record, now time.Time) stored {
	r.Time = now
	s := stored{token: b.token + strconv.FormatUint(b.appends.Add(1), 36), digest: "-"}
	if s.key = b.keys.prefix + "by:" + s.token; r.Key != "" {
		s.key, s.life, s.digest = b.keys.prefix+"key:"+r.Key, KeyWindow, hex.EncodeToString(r.Digest[:])
	}
	s.record = string(r.Encode(nil))
	s.check = checkOf([]string{fieldRecord, s.record, fieldBy, s.token})
	return s
}

// appendGroup stores records by one script, and retries until it knows the outcome or ctx is done.
func (b *Broker) appendGroup(ctx context.Context, group []stored, results []broker.Result) {
	tokens := make([]string, len(group))
	for i, s := range group {
		tokens[i] = s.token
	}
	b.ledger.Begin(tokens)
	defer func() { b.ledger.End(tokens, results) }()
	keys := []string{b.keys.log, b.keys.epochs, b.keys.floor}
	for _, s := range group {
		keys = append(keys, s.key)
	}
	args := b.appendArgs(ctx, group)
	var wait backoff
	var sent bool // an attempt may have reached Redis
	cause := ctx.Err()
	for ctx.Err() == nil {
		m, err := b.tryAppend(ctx, keys, args)
		switch {
		case err == nil:
			if err = readResults(m, group, results); err == nil || !errors.Is(err, errLate) {
				if err != nil {
					fail(results, fmt.Errorf("%w: redis: %w", broker.ErrUnknownOutcome, err))
				}
				return
			}
			if sent { // its key may be gone
				fail(results, fmt.Errorf("%w: redis: %w", broker.ErrUnknownOutcome, err))
				return
			}
			args = b.appendArgs(ctx, group)
		case !notStored(err):
			sent = true
		case !sent && hopeless(err):
			fail(results, unavailable(err))
			return
		}
		if cause == nil || ctx.Err() == nil { // the error of an attempt that ctx has ended says nothing
			cause = err
		}
		if wait.sleep(ctx) != nil {
			break
		}
	}
	switch {
	case sent:
		fail(results, fmt.Errorf("%w: redis: %w", broker.ErrUnknownOutcome, cause))
	case b.closed.Err() != nil:
		fail(results, broker.ErrClosed)
	default:
		fail(results, unavailable(cause))
	}
}

// tryAppend makes one attempt.
func (b *Broker) tryAppend(ctx context.Context, keys, args []string) ([]any, error) {
	began := time.Now()
	m, err := redis.Values(b.main.eval(ctx, appendScript, keys, args))
	if err == nil && len(m) > 0 {
		if ms, ok := m[0].(int64); ok {
			b.clock.Observe(began, time.UnixMilli(ms))
		}
	}
	return m, err
}

func (b *Broker) appendArgs(ctx context.Context, group []stored) []string {
	end, _ := ctx.Deadline()
	left := max(time.Until(end), 0) + grace
	ms := func(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
	deadline := b.clock.Local().Add(b.clock.Offset() + left)
	args := []string{strconv.FormatInt(b.options.MaxEvents, 10), strconv.FormatInt(deadline.UnixMilli(), 10), newEpoch()}
	for _, s := range group {
		life := s.life
		if life == 0 {
			life = left + grace
		}
		args = append(args, ms(life), s.token, s.digest, strconv.FormatUint(uint64(s.check), 10), s.record)
	}
	return args
}

var errLate = errors.New("the append came too late")

// readResults reads the answer of appendScript.
func readResults(m []any, group []stored, results []broker.Result) error {
	if len(m) == 1 && len(group) > 0 {
		return errLate
	}
	if len(m) != len(group)+1 {
		return fmt.Errorf("%d results for %d records", len(m)-1, len(group))
	}
	for i, s := range group {
		text, err := redis.String(m[i+1], nil)
		if err != nil {
			return err
		}
		f := strings.Fields(text)
		if len(f) != 5 {
			return fmt.Errorf("unexpected form of a result: %q", text)
		}
		if f[1] != s.digest {
			results[i] = broker.Result{Err: broker.ErrKeyReused}
			continue
		}
		check, err := strconv.ParseUint(f[2], 10, 32)
		epoch, err2 := strconv.ParseUint(f[3], 36, 64)
		at, err3 := parseID(f[4])
		if err := errors.Join(err, err2, err3); err != nil {
			return err
		}
		results[i] = broker.Result{Position: at.position(epoch, uint32(check)), Repeated: f[0] != s.token}
	}
	return nil
}
