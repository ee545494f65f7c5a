package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/zap"

	"github.com/sse-push/caddy-sse-push/internal/problem"
)

const (
	defaultRefresh = time.Hour
	// maxStale is how long keys are used that cannot be fetched anew.
	maxStale = 24 * time.Hour
	// refetch is the least time between two fetches, however many tokens name keys that the set does not hold.
	refetch     = 30 * time.Second
	keysTimeout = 5 * time.Second
	maxKeySet   = 512 << 10
	maxKeys     = 100
	maxHops     = 3
)

// unnamed begins the id that is made up for a key without one.
const unnamed = "\x00"

// keySet is a set of public keys behind a URL. It is fetched only when a token needs it.
type keySet struct {
	option     string // whose tokens it is for, in log lines
	url        string
	refresh    time.Duration
	client     *http.Client
	log        *zap.Logger
	complaints problem.Complaints

	mu       sync.Mutex    // guards all below
	keys     *fetchedKeys  // the newest, or nil
	tried    time.Time     // when the last fetch began
	failed   error         // why it failed, if it did
	fetching chan struct{} // closed at the end of the fetch that is under way; nil: none is
	unknown  unknownKeys
}

// fetchedKeys are the usable keys of a set, as one fetch brought them.
type fetchedKeys struct {
	keyfunc keyfunc.Keyfunc
	ids     map[string]bool
	began   time.Time // when the fetch began: keys that the issuer has added since then may be missing
	at      time.Time // when it ended
}

func newKeySet(option, url string, refresh time.Duration, log *zap.Logger) *keySet {
	return &keySet{option: option, url: url, refresh: refresh, log: log, client: &http.Client{
		Timeout: keysTimeout,
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > maxHops || via[0].URL.Scheme == "https" && r.URL.Scheme != "https" {
				return errors.New("redirected too often, or away from https")
			}
			return nil
		},
	}}
}

// choose returns the keys that may have signed a token, as a jwt.VerificationKeySet, and the set that holds them.
func (s *keySet) choose(ctx context.Context, token *jwt.Token) (any, *fetchedKeys, error) {
	id, named := token.Header["kid"].(string)
	keys, err := s.find(ctx, id, named)
	if err != nil {
		return nil, nil, err
	}
	found, err := keys.keyfunc.KeyfuncCtx(ctx)(token)
	if err != nil {
		return nil, keys, errOtherAlgorithm
	}
	candidates := []any{found}
	if all, ok := found.(jwt.VerificationKeySet); ok {
		candidates = candidates[:0]
		for _, k := range all.Keys {
			candidates = append(candidates, k)
		}
	}
	fit := jwt.VerificationKeySet{}
	for _, k := range candidates {
		if kindOf(k) == algorithms[token.Method.Alg()] {
			fit.Keys = append(fit.Keys, k)
		}
	}
	if len(fit.Keys) == 0 {
		return nil, keys, errOtherAlgorithm
	}
	return fit, keys, nil
}

var errOtherAlgorithm = invalid("its key is for another algorithm")

// current returns the newest set, or nil.
func (s *keySet) current() *fetchedKeys {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys
}

// missed looks for a newer set, after no key of the set tried has signed a token that names no key. It fetches the set if it may.
// It returns nil if there is a newer set to try, and otherwise why the token is refused.
func (s *keySet) missed(ctx context.Context, token string, tried *fetchedKeys) error {
	_, err := s.find(ctx, unnamed+token, true)
	if s.current() != tried {
		return nil
	}
	return err
}

// find returns a set that holds a key, and fetches the set if the current one does not. The error is a *refusal: a final one if
// a fetch that began after the key was first asked for has not brought the key.
func (s *keySet) find(ctx context.Context, id string, named bool) (*fetchedKeys, error) {
	deadline := time.NewTimer(keysTimeout)
	defer deadline.Stop()
	for waited := false; ; waited = true {
		s.mu.Lock()
		keys, now := s.keys, time.Now()
		if keys != nil && now.Sub(keys.at) > maxStale {
			keys = nil
		}
		known := keys != nil && (!named || keys.ids[id])
		final := false
		if !known && named {
			first, remembered := s.unknown.see(id, now, s.tried)
			final = remembered && keys != nil && !keys.began.Before(first)
		}
		old := keys != nil && now.Sub(keys.at) > s.refresh
		if (!known || old) && s.fetching == nil && now.Sub(s.tried) > refetch {
			s.fetching, s.tried = make(chan struct{}), now
			go s.fetch(now)
		}
		fetching, failed, next := s.fetching, s.failed, s.tried.Add(refetch).Sub(now)
		s.mu.Unlock()
		switch {
		case known:
			return keys, nil
		case fetching != nil && !waited:
			select {
			case <-fetching:
				continue
			case <-deadline.C:
			case <-ctx.Done():
			}
			return nil, unavailable("its answer takes too long", 0)
		case failed != nil:
			return nil, unavailable(failed.Error(), next)
		}
		e := invalid("signed with an unknown key (kid)")
		if !final {
			e = &refusal{public: "auth", cause: "signed with a key (kid) that the key set does not hold yet", again: max(0, next)}
		}
		if !strings.HasPrefix(id, unnamed) { // which would repeat a part of the token
			e.detail = "kid " + strconv.Quote(problem.Clip(id))
		}
		return nil, e
	}
}

// unavailable returns a refusal for now, until the set may be fetched again.
func unavailable(why string, again time.Duration) *refusal {
	return &refusal{public: "auth", cause: "the key set cannot be fetched", detail: why, again: max(0, again)}
}

// fetch gets the set. It runs in the background.
func (s *keySet) fetch(began time.Time) {
	ctx, cancel := context.WithTimeout(context.Background(), keysTimeout)
	defer cancel()
	keys, err := s.get(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed = err; err == nil {
		keys.began = began
		s.keys = keys
	} else {
		s.complaints.Log(s.log, zap.WarnLevel, s.option+": the key set cannot be fetched", zap.String("url", s.url), zap.Error(err))
	}
	close(s.fetching)
	s.fetching = nil
}

// get requests the set from its URL.
func (s *keySet) get(ctx context.Context) (*fetchedKeys, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/jwk-set+json, application/json")
	resp, err := s.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %d", s.url, resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxKeySet+1))
	if err != nil {
		return nil, err
	}
	if len(body) > maxKeySet {
		return nil, fmt.Errorf("%s sent more than %d bytes", s.url, maxKeySet)
	}
	return readKeySet(ctx, body)
}

// readKeySet returns the keys of a set that can be used here. It leaves the others out: a key of a new kind must not make all
// unusable.
func readKeySet(ctx context.Context, body []byte) (*fetchedKeys, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, errors.New("the key set is not JSON with a list of keys")
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("the key set has more than %d keys", maxKeys)
	}
	storage := jwkset.NewMemoryStorage()
	keys := &fetchedKeys{ids: map[string]bool{}, at: time.Now()}
	for i, raw := range set.Keys {
		var m jwkset.JWKMarshal
		if json.Unmarshal(raw, &m) != nil || m.KTY == jwkset.KtyOct || m.USE == jwkset.UseEnc {
			continue
		}
		m.X5U, m.X5C, m.X5T, m.X5TS256 = "", nil, "", "" // certificates are not used here
		if m.KID == "" {
			m.KID = unnamed + strconv.Itoa(i) // the storage keeps one key of each id
		}
		jwk, err := jwkset.NewJWKFromMarshal(m, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
		if err != nil || kindOf(jwk.Key()) == "" {
			continue
		}
		if err := storage.KeyWrite(ctx, jwk); err != nil {
			return nil, err
		}
		keys.ids[m.KID] = true
	}
	if len(keys.ids) == 0 {
		return nil, errors.New("the key set has no key that can be used")
	}
	var err error
	keys.keyfunc, err = keyfunc.New(keyfunc.Options{Storage: storage})
	return keys, err
}
