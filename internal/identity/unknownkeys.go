package identity

import (
	"crypto/sha256"
	"time"
)

// maxUnknownKeys bounds how many ids of unknown keys are remembered.
const maxUnknownKeys = 4096

// unknownKeys remembers when each key that the key set does not hold was first asked for. The zero value is ready for use.
type unknownKeys struct {
	first map[[sha256.Size]byte]time.Time
	swept time.Time
}

// see returns when a key was first asked for: now, if the key is new. settled is when the last fetch began: keys that were first
// asked for before it may make room for others, since that fetch has decided about them. If there is no room, ok is false and
// the key is not remembered. So made-up ids displace none that is still to be decided about.
func (u *unknownKeys) see(id string, now, settled time.Time) (first time.Time, ok bool) {
	key := sha256.Sum256([]byte(id))
	if first, ok = u.first[key]; ok {
		return first, true
	}
	if len(u.first) >= maxUnknownKeys {
		if u.swept.Equal(settled) { // no more room can be made
			return now, false
		}
		u.swept = settled
		for k, at := range u.first {
			if !settled.Before(at) {
				delete(u.first, k)
			}
		}
		if len(u.first) >= maxUnknownKeys {
			return now, false
		}
	}
	if u.first == nil {
		u.first = map[[sha256.Size]byte]time.Time{}
	}
	u.first[key] = now
	return now, true
}
