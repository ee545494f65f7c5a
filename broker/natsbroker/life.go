package natsbroker

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

// life is what a node knows about the epochs of a stream. It is never changed but replaced, except for high.
type life struct {
	base    uint64   // the first epoch, which tells one stream from another of the same name
	marks   []mark   // by seq
	noted   string   // the stream's description when the marks were last compared with it
	session *session // in which that was

	high *atomic.Uint64 // the newest number seen
}

// mark is the place where a new epoch begins, after the stream was put back to an older state.
type mark struct{ seq, epoch uint64 }

// maxMarks is how many marks are kept. Older epochs are unknown.
const maxMarks = 32

// epochAt returns the epoch of the message with a number.
func (l *life) epochAt(seq uint64) uint64 {
	epoch := l.base
	for _, m := range l.marks {
		if m.seq <= seq {
			epoch = m.epoch
		}
	}
	return epoch
}

// knows reports whether an epoch is or was one of this log.
func (l *life) knows(epoch uint64) bool {
	return epoch == l.base || slices.ContainsFunc(l.marks, func(m mark) bool { return m.epoch == epoch })
}

// rank returns the place of an epoch in the order of epochs, or -1 if it is not one of this log.
func (l *life) rank(epoch uint64) int {
	for i := len(l.marks) - 1; i >= 0; i-- {
		if l.marks[i].epoch == epoch {
			return i + 1
		}
	}
	if epoch == l.base {
		return 0
	}
	return -1
}

// saw notes a number in high.
func (l *life) saw(seq uint64) {
	for {
		if high := l.high.Load(); seq <= high || l.high.CompareAndSwap(high, seq) {
			return
		}
	}
}

// baseEpoch returns an epoch for a stream that another program has made, in the 40 bits of broker.NewEpoch. The time of
// its creation alone is not enough: in some versions, each server of a cluster has its own.
func baseEpoch(stream string, created time.Time) uint64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s %d", stream, created.UnixNano())
	sum := h.Sum64()
	return max((sum^sum>>40)&(1<<40-1), 1)
}

// The first epoch is in the stream's description. Marks are in the stream, in their place among the events, and also in
// the description, because the stream's limits may remove the messages.

const about = "Events of sse_push."

func description(base uint64, marks []mark) string {
	s := about + " 0=" + epochText(base)
	for _, m := range marks[max(len(marks)-maxMarks, 0):] {
		s += " " + strconv.FormatUint(m.seq, 10) + "=" + epochText(m.epoch)
	}
	return s
}

// noted reads what description wrote, and ignores anything else.
func noted(description string) (base uint64, marks []mark) {
	for word := range strings.FieldsSeq(description) {
		seq, epoch, _ := strings.Cut(word, "=")
		n, err := strconv.ParseUint(seq, 10, 64)
		e, err2 := strconv.ParseUint(epoch, 36, 64)
		switch {
		case err != nil || err2 != nil || e == 0:
		case n == 0:
			base = e
		default:
			marks = append(marks, mark{n, e})
		}
	}
	return base, marks
}

func epochText(epoch uint64) string { return strconv.FormatUint(epoch, 36) }

// markOf reads a mark's message.
func markOf(seq uint64, body []byte) (mark, bool) {
	r, err := broker.Decode(body)
	if err != nil || r.Kind != broker.Hole {
		return mark{}, false
	}
	epoch, err := strconv.ParseUint(r.ID, 36, 64)
	return mark{seq, epoch}, err == nil && epoch > 0
}

// lifeOf returns the stream's life as of info. It reads the marks again if they may have changed.
func (b *Broker) lifeOf(ctx context.Context, s *session, info *streamInfo) (*life, error) {
	b.lifeMu.Lock()
	defer b.lifeMu.Unlock()
	old := b.life.Load()
	if old != nil && old.session == s && old.noted == info.Config.Description {
		return old, nil
	}
	base, candidates := noted(info.Config.Description)
	if base == 0 && old != nil { // another program has changed the description
		base = old.base
	} else if base == 0 {
		base = baseEpoch(b.names.stream, info.Created)
	}
	l := &life{base: base, noted: info.Config.Description, session: s, high: new(atomic.Uint64)}
	if old != nil && old.base == base {
		candidates = append(candidates, old.marks...)
	}
	newest, err := b.newest(ctx, s, b.names.stream, b.names.marks)
	if err != nil {
		return nil, err
	}
	if newest != nil {
		if m, ok := markOf(newest.Sequence, newest.Data); ok {
			candidates = append(candidates, m)
		}
	}
	for _, m := range candidates {
		if slices.Contains(l.marks, m) {
			continue
		}
		holds, err := b.holds(ctx, s, info, m)
		if err != nil {
			return nil, err
		}
		if holds {
			l.marks = append(l.marks, m)
		}
	}
	slices.SortStableFunc(l.marks, func(a, b mark) int { return int(int64(a.seq - b.seq)) })
	l.high.Store(info.State.LastSeq)
	b.life.Store(l)
	return l, nil
}

// holds reports whether a mark is in the stream, or may have been trimmed from it. The older state that a stream was put
// back to may lack it.
func (b *Broker) holds(ctx context.Context, s *session, info *streamInfo, m mark) (bool, error) {
	if m.seq < info.State.FirstSeq {
		return true, nil
	}
	message, err := b.message(ctx, s, b.names.stream, m.seq)
	if err != nil || message == nil {
		return false, err
	}
	there, ok := markOf(message.Sequence, message.Data)
	return ok && message.Subject == b.names.marks && there == m, nil
}

// note adds a mark that was read from the stream.
func (b *Broker) note(m mark) {
	b.lifeMu.Lock()
	defer b.lifeMu.Unlock()
	old := b.life.Load()
	if slices.Contains(old.marks, m) {
		return
	}
	l := &life{base: old.base, noted: old.noted, session: old.session, high: old.high}
	l.marks = append(slices.DeleteFunc(slices.Clone(old.marks), func(o mark) bool { return o.seq == m.seq }), m)
	slices.SortStableFunc(l.marks, func(a, b mark) int { return int(int64(a.seq - b.seq)) })
	b.life.Store(l)
}

// keepMarks writes the marks into the stream's description, if one is missing there.
func (b *Broker) keepMarks(ctx context.Context, s *session, l *life, info *streamInfo) error {
	base, there := noted(info.Config.Description)
	missing := base != l.base || slices.ContainsFunc(l.marks[max(len(l.marks)-maxMarks, 0):], func(m mark) bool { return !slices.Contains(there, m) })
	if !missing {
		return nil
	}
	ctx, cancel := b.within(ctx, callTimeout)
	defer cancel()
	c := info.Config
	c.Description = description(l.base, l.marks)
	_, err := s.updateStream(ctx, &c)
	return err
}
