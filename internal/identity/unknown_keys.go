package identity

import (
	"crypto/sha256"
	"time"
)

// maxUnknownKeys bounds how many ids of keys are remembered that no key set holds.
const maxUnknownKeys = 4096

// unknownKeys remembers when a key was first asked for that the key set does not hold. The zero value is ready for use.
type unknownKeys struct {
	first map[[sha256.Size]byte]time.Time
	swept time.Time
}

// see returns when a key was first asked for, which is now if it is not remembered. settled is the beginning of the last
// fetch: keys from before it make room, since that fetch has decided about them. Where there is no room, ok is false, and
// nothing is known of the key. So made-up ids displace none that is yet to be decided about.
func (u *unknownKeys) see(id string, now, settled time.Time) (first time.Time, ok bool) {
	key := sha256.Sum256([]byte(id))
	if first, ok = u.first[key]; ok {
		return first, true
	}
	if len(u.first) >= maxUnknownKeys {
		if u.swept.Equal(settled) { // nothing more to be had
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
