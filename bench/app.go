package main

import (
	"crypto/sha256"
	"encoding/json"
	"io"
	"net/http"
	"sync"
)

// app is told of the ends of relays.
type app struct {
	url string

	mu   sync.Mutex       // guards told
	told map[string]*told // by the relay's id
}

// told is what the app was told of a relay.
type told struct {
	status  string
	events  int
	key     string
	digest  [sha256.Size]byte
	differs bool // a further call had another key or content
}

// reset forgets what was told.
func (a *app) reset() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.told = map[string]*told{}
}

// ServeHTTP implements http.Handler: it takes a call of done.
func (a *app) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var end struct {
		ID, Status string
		Events     []json.RawMessage
	}
	if err == nil {
		err = json.Unmarshal(body, &end)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	key, digest := r.Header.Get("Idempotency-Key"), sha256.Sum256(body)
	a.mu.Lock()
	defer a.mu.Unlock()
	if before := a.told[end.ID]; before != nil {
		before.differs = before.differs || before.key != key || before.digest != digest
		return
	}
	a.told[end.ID] = &told{status: end.Status, events: len(end.Events), key: key, digest: digest}
}

// count returns how many relays it was told of, how many keys they have, and of how many it was told different things.
func (a *app) count() (relays, keys, differing int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := map[string]bool{}
	for _, t := range a.told {
		all[t.key] = true
		if t.differs {
			differing++
		}
	}
	return len(a.told), len(all), differing
}
