package natsbroker

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"

	"github.com/sse-push/caddy-sse-push/broker"
)

const (
	answerTimeout = time.Second // then the message is sent again, under the same id
	againWait     = 50 * time.Millisecond
	// settling is how long after a new connection another node may notice that the stream was put back to an older
	// state, and set a mark. Until then each append looks for a mark, so that its results have the right epoch.
	settling = 10 * time.Second
)

// publish is a record that is being published.
type publish struct {
	key     string
	digest  [16]byte
	message *nats.Msg

	tried  bool   // it may be in the stream
	floor  uint64 // the highest number seen when it was sent
	stored *answer
	cause  error // why it was not stored, so far
	final  error // what the result is to be
}

// Append implements broker.Broker. Each message has an id, made from the idempotency key or drawn, so that it can be
// sent again if no answer came.
//
// The order of a group is kept: a message is sent again only while no later one is known to be stored. If a change of
// the stream's leader breaks the order all the same, the result is not reported as a success.
func (b *Broker) Append(ctx context.Context, records []broker.Record) []broker.Result {
	ctx, cancel := b.within(ctx, 0)
	defer cancel()
	now := time.Now()
	all, ids := make([]publish, len(records)), make([]string, len(records))
	for i := range records {
		r := &records[i]
		r.Time = now.Add(time.Duration(i)) // no two messages are the same, whatever they hold
		m := nats.NewMsg(b.names.events)
		m.Data = r.Encode(nil)
		ids[i] = messageID(r.Key)
		m.Header.Set(nats.MsgIdHdr, ids[i])
		all[i] = publish{key: r.Key, digest: r.Digest, message: m}
	}
	b.ledger.Begin(ids)
	l, s := b.store(ctx, all)
	results := b.results(ctx, s, l, all)
	b.ledger.End(ids, results)
	return results
}

// messageID returns the id by which the server recognises repetitions. A key is hashed: it may hold bytes that a header cannot.
func messageID(key string) string {
	if key == "" {
		return "o-" + nuid.Next()
	}
	sum := sha256.Sum256([]byte(key))
	return "k-" + hex.EncodeToString(sum[:16])
}

// isOurs reports whether an id was made by messageID. A message of another program is not an event of a newer version.
func isOurs(id string) bool { return strings.HasPrefix(id, "o-") || strings.HasPrefix(id, "k-") }

// store sends messages until each is stored or refused, or ctx is done. It returns the session that it last sent in, and
// the life of the stream at that time. Neither is nil if any message was stored.
func (b *Broker) store(ctx context.Context, all []publish) (l *life, s *session) {
	for round := 0; ; round++ {
		open := unanswered(all)
		if len(open) == 0 {
			return l, s
		}
		if round > 0 {
			open = open[:1] // the later ones must not overtake the first
		}
		err := ctx.Err()
		var session *session
		if err == nil {
			session, err = b.connected(ctx)
		}
		var now *life
		if err == nil {
			if now = b.life.Load(); now == nil || now.session != session {
				now, _, err = b.look(ctx, session)
			}
		}
		if err == nil {
			l, s = now, session
			b.try(ctx, s, open)
			if open[0].stored != nil || open[0].final != nil {
				round = -1 // the others, if any are left, at once
				continue
			}
			err = open[0].cause
		}
		if !pause(ctx, round) {
			for _, p := range unanswered(all) {
				p.final = outcome(b, p, err)
			}
			return l, s
		}
	}
}

// unanswered returns the messages to send: those after the last stored one that have no result yet. An earlier one would
// be stored in the wrong place.
func unanswered(all []publish) (open []*publish) {
	last := len(all) - 1
	for last >= 0 && all[last].stored == nil {
		last--
	}
	for i := range all {
		p := &all[i]
		switch {
		case p.stored != nil || p.final != nil:
		case i < last && p.tried:
			p.final = broker.ErrUnknownOutcome
		case i < last:
			p.final = unavailable("publishing", p.cause)
		default:
			open = append(open, p)
		}
	}
	return open
}

// pause waits before the next round, and reports whether there is time for one.
func pause(ctx context.Context, round int) bool {
	select {
	case <-time.After(againWait << min(round, 4)):
		return true
	case <-ctx.Done():
		return false
	}
}

func outcome(b *Broker, p *publish, err error) error {
	switch {
	case p.tried:
		return fmt.Errorf("%w: no answer from NATS", broker.ErrUnknownOutcome)
	case b.closing.Err() != nil:
		return broker.ErrClosed
	case p.cause != nil:
		return unavailable("publishing", p.cause)
	case errors.Is(err, broker.ErrUnavailable):
		return err
	}
	return unavailable("publishing", err)
}

// try sends messages once and notes the answers.
func (b *Broker) try(ctx context.Context, s *session, open []*publish) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	largest := s.conn.MaxPayload()
	var sent []*publish
	var messages []*nats.Msg
	floor := b.life.Load().high.Load()
	for _, p := range open {
		p.floor = floor
		if size := int64(p.message.Size()); size > largest {
			p.final = fmt.Errorf("%w: it has %d bytes, and the NATS server's max_payload is %d", broker.ErrTooLarge, size, largest)
			continue
		}
		sent, messages = append(sent, p), append(messages, p.message)
	}
	for i, a := range b.send(ctx, s, messages) {
		p := sent[i]
		switch {
		case a.came && a.Error == nil && a.Stream != b.names.stream:
			p.final = fmt.Errorf("subject %q belongs to stream %q", b.names.events, a.Stream)
		case a.came && a.Error == nil:
			p.stored = &a
		case a.came:
			b.refused(p, a.Error)
		case a.sent:
			p.tried = true
		default:
			p.cause = nats.ErrDisconnected
		}
	}
	if len(sent) > 0 && sent[0].stored == nil {
		// The stream may be gone. The next look makes it again.
		b.forgetStream(s)
	}
}

// forgetStream has the stream looked at before the next publish.
func (b *Broker) forgetStream(s *session) {
	b.lifeMu.Lock()
	defer b.lifeMu.Unlock()
	if old := b.life.Load(); old != nil && old.session == s {
		b.life.Store(&life{base: old.base, marks: old.marks, noted: old.noted, high: old.high})
	}
}

// refused sorts the server's errors into final and passing ones.
func (b *Broker) refused(p *publish, e *apiError) {
	text := strings.ToLower(e.Description)
	for _, full := range []string{"maximum bytes", "maximum messages", "no space", "insufficient", "resource limits"} {
		if strings.Contains(text, full) {
			p.final = fmt.Errorf("%w: %w", broker.ErrFull, e)
			return
		}
	}
	switch {
	case strings.Contains(text, "message size exceeds"): // the stream's max_msg_size
		p.final = fmt.Errorf("%w: %w", broker.ErrTooLarge, e)
	case strings.Contains(text, "in process"): // the same id: ours from before, or another node's
		p.tried = true
	case e.Code == 503 || e.Code == 429 || e.Code == 408:
		p.cause = e
	default:
		p.final = fmt.Errorf("the NATS server refuses the event: %w", e)
	}
}

// results turns answers into results.
func (b *Broker) results(ctx context.Context, s *session, l *life, all []publish) []broker.Result {
	results := make([]broker.Result, len(all))
	replaced, stored := false, false
	for i := range all {
		stored = stored || all[i].stored != nil
		if a := all[i].stored; a != nil && !a.Duplicate {
			l.saw(a.Seq)
			replaced = replaced || a.Seq <= all[i].floor
		}
	}
	if stored && !replaced && time.Since(s.since) < settling {
		newest, err := b.newest(ctx, s, b.names.stream, b.names.marks)
		if err == nil && newest != nil {
			m, ok := markOf(newest.Sequence, newest.Data)
			replaced = ok && !l.knows(m.epoch)
		}
	}
	if replaced { // a number was given out again: it is another stream, or an older state of this one
		b.forgetStream(s)
		if now, _, err := b.look(ctx, s); err == nil {
			l = now
		}
	}
	var last uint64
	for i := range all {
		p, r := &all[i], &results[i]
		if p.stored == nil {
			r.Err = p.final
			continue
		}
		*r = b.resultOf(ctx, s, l, p)
		if r.Err != nil || r.Repeated {
			continue
		}
		if p.stored.Seq < last {
			*r = broker.Result{Err: fmt.Errorf("%w: not in its place", broker.ErrUnknownOutcome)}
			continue
		}
		last = p.stored.Seq
	}
	return results
}

func (b *Broker) resultOf(ctx context.Context, s *session, l *life, p *publish) broker.Result {
	seq := p.stored.Seq
	ours := broker.Position{Epoch: l.epochAt(seq), Minor: seq, Check: checkOf(p.message.Data)}
	if !p.stored.Duplicate || p.key == "" {
		return broker.Result{Position: ours}
	}
	there, err := b.message(ctx, s, b.names.stream, seq)
	switch {
	case err != nil: // it is stored, but perhaps with other content
		return broker.Result{Err: fmt.Errorf("%w: reading the event with the same key: %w", broker.ErrUnknownOutcome, err)}
	case there == nil:
		ours.Check = 0
		return broker.Result{Position: ours, Repeated: true}
	case bytes.Equal(there.Data, p.message.Data):
		return broker.Result{Position: ours}
	}
	ours.Check = checkOf(there.Data)
	if r, err := broker.Decode(there.Data); err != nil || r.Digest != p.digest {
		return broker.Result{Err: broker.ErrKeyReused}
	}
	return broker.Result{Position: ours, Repeated: true}
}
