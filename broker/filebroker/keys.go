package filebroker

import (
	"math"
	"slices"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

const (
	// KeyWindow is how long an idempotency key is remembered.
	KeyWindow = 10 * time.Minute
	// MaxKeys limits how many are remembered. When it is reached, the oldest is forgotten.
	MaxKeys = 100_000
)

// keys holds the idempotency keys of the newest entries.
type keys struct {
	byKey map[string]use
	uses  []use // oldest first
}

// use is the entry that a key was used for.
type use struct {
	key    string
	digest [16]byte
	seq    uint64
	at     moment
}

// moment is a time by two clocks: the wall clock can be set, and the monotonic one may stop while the machine is suspended.
type moment struct {
	wall int64 // nanoseconds since 1970
	mono time.Duration
}

var started = time.Now()

func realMoment() moment {
	now := time.Now()
	return moment{now.UnixNano(), now.Sub(started)}
}

// expired reports whether the key has expired. The larger of the ages by both clocks decides: a key that is remembered too
// long swallows a new event.
func (u *use) expired(now moment) bool {
	return now.mono-u.at.mono >= KeyWindow || now.wall-u.at.wall >= int64(KeyWindow)
}

// find returns the entry that was stored under a record's key; 0 for none.
func (k *keys) find(r *broker.Record, now moment) (seq uint64, err error) {
	k.forget(now, MaxKeys)
	old, ok := k.byKey[r.Key]
	if !ok || old.expired(now) {
		return 0, nil
	}
	if old.digest != r.Digest {
		return 0, broker.ErrKeyReused
	}
	return old.seq, nil
}

// add remembers a key, used at u.at.
func (k *keys) add(u use) {
	k.forget(u.at, MaxKeys-1)
	k.byKey[u.key] = u
	k.uses = append(k.uses, u)
}

// forget drops the keys that have expired, and the oldest if there are more than most.
func (k *keys) forget(now moment, most int) {
	n := 0
	for n < len(k.uses) && (len(k.uses)-n > most || k.uses[n].expired(now)) {
		if u := k.uses[n]; k.byKey[u.key] == u {
			delete(k.byKey, u.key)
		}
		n++
	}
	k.uses = k.uses[n:]
}

// undo forgets the keys of the entries after seq: they were not stored.
func (k *keys) undo(seq uint64) {
	for n := len(k.uses) - 1; n >= 0 && k.uses[n].seq > seq; n-- {
		delete(k.byKey, k.uses[n].key)
		k.uses = k.uses[:n]
	}
}

// rebuild collects the keys while a log is opened, segment by segment, the newest first. An entry is not younger than those
// that follow it: this corrects the times of entries that were written while the clock was ahead.
type rebuild struct {
	now    moment
	before int64 // the entries read next were appended at this time or earlier
	uses   []use // newest first
	found  []use // of the segment being read, oldest first
	oldest int64 // time of an entry in the segment being read
}

func newRebuild(now moment) *rebuild {
	return &rebuild{now: now, before: now.wall, oldest: math.MaxInt64}
}

// over reports whether the keys of all older entries have expired.
func (b *rebuild) over() bool {
	return len(b.uses) >= MaxKeys || b.now.wall-b.before >= int64(KeyWindow)
}

// pass notes the newest time in a segment.
func (b *rebuild) pass(newest int64) { b.before = min(b.before, newest) }

// see notes the next frame of the segment being read.
func (b *rebuild) see(f *frame) {
	b.oldest = min(b.oldest, f.time)
	for n := len(b.found) - 1; n >= 0 && b.found[n].at.wall > f.time; n-- {
		b.found[n].at.wall = f.time
	}
	if f.flags&flagKeyed == 0 {
		return
	}
	if r, err := broker.Decode(f.record); err == nil && r.Key != "" {
		b.found = append(b.found, use{r.Key, r.Digest, f.seq, moment{wall: f.time}})
	}
}

// end closes the segment being read.
func (b *rebuild) end() {
	for i := len(b.found) - 1; i >= 0 && len(b.uses) < MaxKeys; i-- {
		u := b.found[i]
		u.at.wall = min(u.at.wall, b.before)
		u.at.mono = b.now.mono - time.Duration(b.now.wall-u.at.wall)
		if !u.expired(b.now) {
			b.uses = append(b.uses, u)
		}
	}
	b.before = min(b.before, b.oldest)
	b.found, b.oldest = b.found[:0], math.MaxInt64
}

// keys returns the collected keys.
func (b *rebuild) keys() keys {
	k := keys{byKey: make(map[string]use, len(b.uses)), uses: b.uses}
	slices.Reverse(k.uses)
	for _, u := range k.uses {
		k.byKey[u.key] = u
	}
	return k
}
