package natsbroker

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/sse-push/caddy-sse-push/broker"
)

const (
	checkEvery = 2 * time.Second // how often the tail checks that the stream is still the same
	retryWait  = 200 * time.Millisecond
	maxBatch   = 512
)

// errAgain says that a new consumer is needed, though nothing is wrong with the engine.
var errAgain = errors.New("reading anew")

// tail is a Tail at work.
type tail struct {
	*Broker
	sink broker.Sink
	last int

	begun bool
	base  uint64 // the stream's first epoch
	seq   uint64 // the newest message handed on or skipped
	check uint32 // its checksum; 0 if it is not known
	epoch uint64
	lived map[uint64]bool // the epochs so far
	owes  bool            // a mark has to be set, because messages that were acknowledged to this node are lost

	reported bool  // whether State was called
	state    error // what State was called with last
	batch    []broker.Entry
}

// Tail implements broker.Broker.
func (b *Broker) Tail(ctx context.Context, last int, sink broker.Sink) error {
	ctx, cancel := b.within(ctx, 0)
	defer cancel()
	defer b.ledger.Stop()
	t := &tail{Broker: b, sink: sink, last: last, lived: map[uint64]bool{}}
	for {
		s, changed, err := b.link.look()
		if s != nil {
			changed = s.lost
			err = t.run(ctx, s)
		} else {
			err = unavailable("connecting", err)
		}
		if b.closing.Err() != nil {
			return broker.ErrClosed
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, errAgain) {
			continue
		}
		t.tell(err)
		select {
		case <-ctx.Done():
		case <-changed:
		case <-time.After(retryWait):
		}
	}
}

// tell passes a state to the sink, if it has changed.
func (t *tail) tell(err error) {
	if t.reported && (err == nil) == (t.state == nil) && (err == nil || err.Error() == t.state.Error()) {
		return
	}
	t.reported, t.state = true, err
	t.sink.State(err)
}

// run reads the stream until something breaks.
func (t *tail) run(ctx context.Context, s *session) error {
	if !t.begun {
		t.ledger.Start()
	}
	acked := t.ledger.Highest()
	l, info, err := t.look(ctx, s)
	if err != nil {
		return err
	}
	var next uint64
	if t.begun {
		next, err = t.prove(ctx, s, l, info, acked)
	} else {
		next, err = t.begin(ctx, s, l, info)
	}
	if err != nil {
		return err
	}
	f, err := t.feed(ctx, s, next)
	if err != nil {
		return unavailable("reading the stream", err)
	}
	defer f.close()
	target := info.State.LastSeq
	if next <= target && f.empty {
		// All of these were removed meanwhile, or the consumer is on a server that has yet to catch up.
		m, err := t.from(ctx, s, t.names.stream, next)
		if err != nil {
			return unavailable("looking for the next event", err)
		}
		if m == nil {
			t.hole(target)
			next = target + 1
		}
	}
	if next > target {
		t.tell(nil)
	}
	return t.read(ctx, s, f, next, target)
}

// begin chooses where the window starts, and returns the number to read from.
func (t *tail) begin(ctx context.Context, s *session, l *life, info *streamInfo) (next uint64, err error) {
	first, last := info.State.FirstSeq, info.State.LastSeq
	from := max(first, 1) - 1
	if n := uint64(max(t.last, 0)); last > n {
		from = max(from, last-n)
	}
	var check uint32
	if from > 0 && from >= first && from <= last {
		m, err := t.message(ctx, s, t.names.stream, from)
		if err != nil {
			return 0, unavailable("reading where to begin", err)
		}
		if m != nil {
			check = checkOf(m.Data)
		}
	}
	t.begun, t.base = true, l.base
	t.at(from, check, l.epochAt(from))
	t.sink.Begin(broker.Position{Epoch: t.epoch, Minor: from, Check: check})
	return from + 1, nil
}

// at notes the tail's place.
func (t *tail) at(seq uint64, check uint32, epoch uint64) {
	t.seq, t.check, t.epoch = seq, check, epoch
	t.lived[epoch] = true
}

// prove checks that the stream goes on from the tail's place, and returns the number to read from.
func (t *tail) prove(ctx context.Context, s *session, l *life, info *streamInfo, acked broker.Position) (next uint64, err error) {
	if l.base != t.base {
		t.logger.Warn("the stream was deleted and made again: its events are lost", "stream", t.names.stream)
		t.base, t.epoch = l.base, l.epochAt(max(info.State.FirstSeq, 1)-1)
		t.hole(max(info.State.FirstSeq, 1) - 1)
		return t.seq + 1, nil
	}
	lost, err := t.lost(ctx, s, l, info, acked)
	if err != nil {
		return 0, err
	}
	if lost || t.owes {
		return t.goOn(ctx, s)
	}
	if info.State.FirstSeq > t.seq+1 {
		t.epoch = l.epochAt(info.State.FirstSeq - 1)
		t.hole(info.State.FirstSeq - 1)
	}
	return t.seq + 1, nil
}

// lost reports whether the stream has lost, rather than trimmed, the message at the tail's place, or a later one that was
// acknowledged to this node before info was asked for.
func (t *tail) lost(ctx context.Context, s *session, l *life, info *streamInfo, acked broker.Position) (bool, error) {
	high := t.seq
	if acked.Epoch != 0 && l.epochAt(acked.Minor) == acked.Epoch { // otherwise a mark covers it
		high = max(high, acked.Minor)
	}
	for begun := time.Now(); high > info.State.LastSeq; {
		if time.Since(begun) > patienceWith(info.Config.Replicas) {
			return true, nil
		}
		select {
		case <-time.After(retryWait):
		case <-ctx.Done():
			return false, ctx.Err()
		}
		var err error
		if _, info, err = t.look(ctx, s); err != nil {
			return false, err
		}
	}
	if t.check == 0 || t.seq < info.State.FirstSeq {
		return false, nil
	}
	m, err := t.message(ctx, s, t.names.stream, t.seq)
	if err != nil {
		return false, unavailable("reading the newest event again", err)
	}
	return m != nil && checkOf(m.Data) != t.check, nil
}

// patienceWith returns how long a stream may look older than it was. A new leader does not have all messages at once that the
// old one had acknowledged, and a busy cluster takes seconds to catch up. To give up too early costs all clients a gap.
func patienceWith(replicas int) time.Duration {
	if replicas > 1 {
		return 15 * time.Second
	}
	return time.Second
}

// passedLost reports whether the tail has passed a message that was acknowledged to this node, without reading it.
func (t *tail) passedLost() bool {
	l := t.life.Load()
	return t.ledger.Passed(broker.Position{Epoch: t.epoch, Minor: t.seq}, l.rank)
}

// goOn finds the mark with which a new epoch begins for all nodes, or sets one. It returns the mark's number.
func (t *tail) goOn(ctx context.Context, s *session) (next uint64, err error) {
	newest, err := t.newest(ctx, s, t.names.stream, t.names.marks)
	if err != nil {
		return 0, unavailable("looking for a mark", err)
	}
	var expected uint64
	if newest != nil {
		if m, ok := markOf(newest.Sequence, newest.Data); ok && !t.lived[m.epoch] {
			t.owes = false
			return m.seq, nil
		}
		expected = newest.Sequence
	}
	t.logger.Warn("the stream was put back to an older state: a new epoch begins", "stream", t.names.stream, "sequence", t.seq)
	ctx, cancel := t.within(ctx, callTimeout)
	defer cancel()
	r := broker.Record{Kind: broker.Hole, ID: epochText(broker.NewEpoch()), Time: time.Now()}
	m := nats.NewMsg(t.names.marks)
	m.Data = r.Encode(nil)
	m.Header.Set(nats.ExpectedLastSubjSeqHdr, strconv.FormatUint(expected, 10))
	var ack answer
	err = s.ask(ctx, m, &ack)
	if err == nil && ack.Stream == "" { // the answer is not JetStream's
		err = errNoAnswer
	}
	if err != nil { // another node may have set one meanwhile
		return 0, unavailable("setting a mark", err)
	}
	t.owes = false
	t.ledger.Forget() // the mark covers what was acknowledged so far
	return ack.Seq, nil
}

// hole hands on a hole: entries up to and including seq are gone.
func (t *tail) hole(seq uint64) {
	t.at(seq, 0, t.epoch)
	_ = t.passedLost() // the hole covers it
	t.sink.Deliver([]broker.Entry{{
		Position: broker.Position{Epoch: t.epoch, Minor: seq},
		Record:   broker.Record{Kind: broker.Hole, Time: time.Now()},
	}})
}

// read hands on the messages of a feed. next is the first number, and target the one at which the tail has caught up.
func (t *tail) read(ctx context.Context, s *session, f *feed, next, target uint64) error {
	checked, stuck := time.Now(), uint64(0)
	for {
		m, err := f.wait(ctx)
		if err != nil {
			return err
		}
		for ; m != nil; m = f.poll() {
			if m.lost {
				t.flush(f)
				return errAgain
			}
			if m.seq > next { // the server sends all that it has: those in between are gone
				t.flush(f)
				t.hole(m.seq - 1)
			}
			t.take(m)
			next = m.seq + 1
			if len(t.batch) == maxBatch {
				break
			}
		}
		t.flush(f)
		if t.owes = t.owes || t.passedLost(); t.owes {
			if _, err := t.goOn(ctx, s); err != nil { // the mark comes in its place
				return err
			}
		}
		if next > target {
			t.tell(nil)
		}
		if time.Since(checked) < checkEvery {
			continue
		}
		acked := t.ledger.Highest()
		l, info, err := t.look(ctx, s)
		if err != nil {
			return err
		}
		if l.base != t.base {
			return errAgain
		}
		if next == t.seq+1 {
			if lost, err := t.lost(ctx, s, l, info, acked); err != nil {
				return err
			} else if lost {
				return errAgain
			}
		}
		if info.State.LastSeq >= next && stuck == next {
			return errAgain
		}
		if err := t.keepMarks(ctx, s, l, info); err != nil {
			return unavailable("keeping the marks", err)
		}
		checked, stuck = time.Now(), 0
		if info.State.LastSeq >= next {
			stuck = next
		}
	}
}

// take turns a message into an entry.
func (t *tail) take(m *message) {
	t.ledger.Read(m.id)
	e, ok := t.entry(m, t.epoch)
	t.at(m.seq, checkOf(m.body), t.epoch)
	if !ok {
		return
	}
	if e.Position.Epoch != t.epoch {
		t.at(m.seq, t.check, e.Position.Epoch)
		t.note(mark{m.seq, e.Position.Epoch})
	}
	t.batch = append(t.batch, e)
}

// flush delivers the batch. However long that takes, the feed does not count as silent meanwhile.
func (t *tail) flush(f *feed) {
	if len(t.batch) == 0 {
		return
	}
	f.hold()
	if l := t.life.Load(); l != nil {
		l.saw(t.seq)
	}
	t.sink.Deliver(t.batch)
	clear(t.batch)
	t.batch = t.batch[:0]
	f.resume()
}

// entry reads a message of the stream. epoch is that of the messages before it. ok is false if the message is not an event
// and has to be skipped.
func (b *Broker) entry(from *message, epoch uint64) (e broker.Entry, ok bool) {
	seq, subject, body := from.seq, from.subject, from.body
	r, err := broker.Decode(body)
	e.Position = broker.Position{Epoch: epoch, Minor: seq, Check: checkOf(body)}
	switch m, marks := markOf(seq, body); {
	case errors.Is(err, broker.ErrNewer) && isOurs(from.id):
		b.newer.note(b, slog.LevelError, "an event that only a newer version can read: clients are told of a gap; update this node", seq, err)
		r, e.Err = broker.Record{Kind: broker.Hole}, err
	case err != nil && isOurs(from.id): // damaged, or forged
		b.passOver(seq, err)
		r, e.Err = broker.Record{Kind: broker.Hole}, err
	case err != nil:
		b.passOver(seq, err)
		return e, false
	case subject == b.names.marks && !marks:
		b.passOver(seq, errors.New("not a mark"))
		return e, false
	case subject == b.names.marks:
		e.Position.Epoch = m.epoch
	}
	r.Time = b.clock.Correct(from.time) // the server's, which is the same for all nodes
	e.Record = r
	return e, true
}
