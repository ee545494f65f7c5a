package filebroker

import (
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

const (
	// KeyWindow is how long an idempotency key is remembered.
	KeyWindow = 10 * time.Minute
	// MaxKeys bounds how many are: past it, the oldest is forgotten.
	MaxKeys = 100_000
)

// keys are the idempotency keys of the newest entries.
type keys struct {
	byKey map[string]use
	uses  []use // oldest first
}

// use is what a key stands for.
type use struct {
	key    string
	digest [16]byte
	seq    uint64
	at     int64
}

// find returns the entry that has a record's key; 0 for none.
func (k *keys) find(r *broker.Record, now time.Time) (seq uint64, err error) {
	k.forget(now, MaxKeys)
	old, ok := k.byKey[r.Key]
	if ok && old.digest != r.Digest {
		return 0, broker.ErrKeyReused
	}
	return old.seq, nil
}

func (k *keys) add(u use) {
	k.forget(time.Unix(0, u.at), MaxKeys-1)
	k.byKey[u.key] = u
	k.uses = append(k.uses, u)
}

// forget drops the keys whose time is over, and the oldest where there are more than most.
func (k *keys) forget(now time.Time, most int) {
	n := 0
	for n < len(k.uses) && (len(k.uses)-n > most || now.UnixNano()-k.uses[n].at >= int64(KeyWindow)) {
		if u := k.uses[n]; k.byKey[u.key] == u {
			delete(k.byKey, u.key)
		}
		n++
	}
	k.uses = k.uses[n:]
}

// undo forgets the keys of the entries behind one: they were not stored.
func (k *keys) undo(seq uint64) {
	for n := len(k.uses) - 1; n >= 0 && k.uses[n].seq > seq; n-- {
		delete(k.byKey, k.uses[n].key)
		k.uses = k.uses[:n]
	}
}
