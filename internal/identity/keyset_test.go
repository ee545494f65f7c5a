package identity

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
)

// keyServer serves a key set, and counts the requests.
func keyServer(t *testing.T, answer func(w http.ResponseWriter, r *http.Request)) (url string, asked *atomic.Int64) {
	t.Helper()
	asked = new(atomic.Int64)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL + "/keys", asked
}

// keySetOf returns a key set with ids and keys in turn; the id "" stands for none.
func keySetOf(t *testing.T, keys ...any) string {
	t.Helper()
	var set struct {
		Keys []any `json:"keys"`
	}
	for i := 0; i < len(keys); i += 2 {
		if raw, ok := keys[i+1].(string); ok {
			set.Keys = append(set.Keys, json.RawMessage(raw))
			continue
		}
		jwk, err := jwkset.NewJWKFromKey(keys[i+1], jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{KID: keys[i].(string)}})
		if err != nil {
			t.Fatal(err)
		}
		set.Keys = append(set.Keys, jwk.Marshal())
	}
	b, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func isSoft(err error, reason string) bool {
	var e *refusal
	return errors.As(err, &e) && e.status == 0 && e.public == reason
}

func TestKeySet(t *testing.T) {
	k := keyring()
	set := keySetOf(t, "r1", k.rsa.Public(), "e1", k.p256.Public(), "d1", k.ed.Public(),
		"", `{"kty":"new","kid":"n1"}`, "", `{"kty":"oct","kid":"s1","k":"YS1zZWNyZXQtb2YtdGhpcnR5LXR3by1ieXRlcy1vci1tb3Jl"}`)
	url, asked := keyServer(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, set) })
	v := newTokens(t, JWT{JWKS: url})
	if asked.Load() != 0 {
		t.Error("the config fetches the keys")
	}
	for name, test := range map[string]struct{ text, cause string }{
		"RS256":                      {tokenOf(t, jwt.SigningMethodRS256, k.rsa, claimsOf(), "kid", "r1"), ""},
		"ES256":                      {tokenOf(t, jwt.SigningMethodES256, k.p256, claimsOf(), "kid", "e1"), ""},
		"EdDSA":                      {tokenOf(t, jwt.SigningMethodEdDSA, k.ed, claimsOf(), "kid", "d1"), ""},
		"without a kid":              {tokenOf(t, jwt.SigningMethodEdDSA, k.ed, claimsOf()), ""},
		"another's kid":              {tokenOf(t, jwt.SigningMethodRS256, k.rsa, claimsOf(), "kid", "e1"), "another algorithm"},
		"another's key":              {tokenOf(t, jwt.SigningMethodRS256, k.otherRSA, claimsOf(), "kid", "r1"), "none of the keys"},
		"a secret that the set has":  {tokenOf(t, jwt.SigningMethodHS256, []byte(secretA), claimsOf(), "kid", "s1"), "not allowed"},
		"HMAC with the public key":   {tokenOf(t, jwt.SigningMethodHS256, []byte(publicPEM(t, k.rsa)), claimsOf(), "kid", "r1"), "not allowed"},
		"a curve that the key isn't": {tokenOf(t, jwt.SigningMethodES384, k.p384, claimsOf(), "kid", "e1"), "another algorithm"},
	} {
		g, err := v.read(t.Context(), test.text)
		t.Run(name, func(t *testing.T) { wantRefusal(t, err, http.StatusUnauthorized, "invalid", test.cause) })
		if (g != nil) != (test.cause == "") {
			t.Errorf("%s: got %+v", name, g)
		}
	}
	for _, kid := range []string{"r2", "../../dev/null", ""} {
		if g, err := v.read(t.Context(), tokenOf(t, jwt.SigningMethodRS256, k.rsa, claimsOf(), "kid", kid)); g != nil || !isSoft(err, "auth") {
			t.Errorf("kid %q: got %+v, %v", kid, g, err)
		}
	}
	// The error goes to the log, which must not hold a part of a token.
	unnamed := tokenOf(t, jwt.SigningMethodRS256, k.otherRSA, claimsOf())
	if _, err := v.read(t.Context(), unnamed); !isSoft(err, "auth") || strings.Contains(fmt.Sprintf("%+v", *err.(*refusal)), unnamed[:16]) {
		t.Errorf("without a kid: got %+v", err)
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("unknown key ids made %d fetches", n)
	}
}

// While a key set cannot be fetched, no client gets in, and none is refused for good.
func TestKeySetAway(t *testing.T) {
	k := keyring()
	good := keySetOf(t, "r1", k.rsa.Public())
	huge := good + strings.Repeat(" ", maxKeySet)
	for name, answer := range map[string]func(w http.ResponseWriter, r *http.Request){
		"broken":    func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, good[:len(good)-2]) },
		"an error":  func(w http.ResponseWriter, _ *http.Request) { http.Error(w, good, http.StatusInternalServerError) },
		"huge":      func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, huge) },
		"of no use": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"keys":[]}`) },
		"too many keys": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"keys":[%s{}]}`, strings.Repeat("{},", maxKeys))
		},
		"redirecting on": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path+"x", http.StatusFound) },
		"endless": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 32<<10)); err != nil {
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			url, asked := keyServer(t, answer)
			v := newTokens(t, JWT{JWKS: url})
			text := tokenOf(t, jwt.SigningMethodRS256, k.rsa, claimsOf(), "kid", "r1")
			for range 3 {
				if g, err := v.read(t.Context(), text); g != nil || !isSoft(err, "auth") {
					t.Errorf("got %+v, %v", g, err)
				}
			}
			if most := int64(1); name != "redirecting on" && asked.Load() > most || asked.Load() > maxHops+1 {
				t.Errorf("asked %d times", asked.Load())
			}
		})
	}
	t.Run("not there", func(t *testing.T) {
		v := newTokens(t, JWT{JWKS: "http://127.0.0.1:1/keys"})
		if _, err := v.read(t.Context(), tokenOf(t, jwt.SigningMethodRS256, k.rsa, claimsOf())); !isSoft(err, "auth") {
			t.Errorf("got %v", err)
		}
	})
}

// ago moves the time of a set's fetch, and of the first use of each key, into the past.
func ago(s *keySet, d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tried = s.tried.Add(-d)
	s.keys.at, s.keys.began = s.keys.at.Add(-d), s.keys.began.Add(-d)
	for k, at := range s.unknown.first {
		s.unknown.first[k] = at.Add(-d)
	}
}

// wantSoon fails the test if a refusal is final, or lets the client come again before the set may be fetched anew.
func wantSoon(t *testing.T, s *keySet, err error) {
	t.Helper()
	s.mu.Lock()
	left := time.Until(s.tried.Add(refetch))
	s.mu.Unlock()
	var e *refusal
	if !isSoft(err, "auth") || !errors.As(err, &e) || e.again < left || e.again > refetch {
		t.Errorf("got %+v", err)
	}
}

// Known keys are used while the set cannot be fetched; new ones are found; a withdrawn one is gone.
func TestKeySetRotates(t *testing.T) {
	k := keyring()
	var body atomic.Value
	body.Store(keySetOf(t, "r1", k.rsa.Public()))
	url, asked := keyServer(t, func(w http.ResponseWriter, _ *http.Request) {
		if s := body.Load().(string); s != "" {
			fmt.Fprint(w, s)
		} else {
			w.WriteHeader(http.StatusBadGateway)
		}
	})
	v := newTokens(t, JWT{JWKS: url})
	first := tokenOf(t, jwt.SigningMethodRS256, k.rsa, claimsOf(), "kid", "r1")
	second := tokenOf(t, jwt.SigningMethodRS256, k.otherRSA, claimsOf(), "kid", "r2")
	read := func(text string) error {
		_, err := v.read(t.Context(), text)
		return err
	}
	earlier := func(d time.Duration) { ago(v.set, d) }
	settled := func() {
		for {
			v.set.mu.Lock()
			fetching := v.set.fetching
			v.set.mu.Unlock()
			if fetching == nil {
				return
			}
			<-fetching
		}
	}
	if err := read(first); err != nil {
		t.Fatal(err)
	}
	body.Store(keySetOf(t, "r1", k.rsa.Public(), "r2", k.otherRSA.Public()))
	wantSoon(t, v.set, read(second))
	earlier(refetch + time.Second)
	if err := read(second); err != nil {
		t.Errorf("the new key: %v", err)
	}
	body.Store("")
	earlier(2 * time.Hour)
	if err := read(first); err != nil {
		t.Errorf("away, a known key: %v", err)
	}
	settled()
	third := tokenOf(t, jwt.SigningMethodRS256, k.rsa, claimsOf(), "kid", "r3")
	wantSoon(t, v.set, read(third))
	body.Store(keySetOf(t, "r2", k.otherRSA.Public()))
	earlier(2 * time.Hour)
	if err := read(second); err != nil {
		t.Error(err)
	}
	settled()
	wantRefusal(t, read(third), http.StatusUnauthorized, "invalid", "unknown key") // the set came after the first try
	wantRefusal(t, read(first), http.StatusUnauthorized, "invalid", "unknown key") // withdrawn
	body.Store("")
	earlier(maxStale)
	if err := read(second); !isSoft(err, "auth") {
		t.Errorf("keys of yesterday: %v", err)
	}
	if n := asked.Load(); n != 5 {
		t.Errorf("asked %d times", n)
	}
}

// A fetch that was under way when a key was first asked for says nothing about it: the issuer may have added it since.
func TestKeySetFetchUnderWay(t *testing.T) {
	k := keyring()
	began, answer := make(chan struct{}), make(chan string)
	url, _ := keyServer(t, func(w http.ResponseWriter, _ *http.Request) {
		began <- struct{}{}
		fmt.Fprint(w, <-answer)
	})
	v := newTokens(t, JWT{JWKS: url})
	first := tokenOf(t, jwt.SigningMethodRS256, k.rsa, claimsOf(), "kid", "r1")
	second := tokenOf(t, jwt.SigningMethodRS256, k.otherRSA, claimsOf(), "kid", "r2")
	both := make(chan error, 2)
	go func() {
		_, err := v.read(t.Context(), first)
		both <- err
	}()
	<-began
	go func() {
		_, err := v.read(t.Context(), second)
		both <- err
	}()
	for asked := false; !asked; { // until the second waits for the answer as well
		v.set.mu.Lock()
		asked = len(v.set.unknown.first) == 2
		v.set.mu.Unlock()
		runtime.Gosched()
	}
	answer <- keySetOf(t, "r1", k.rsa.Public())
	var soft error
	for range 2 {
		if err := <-both; err != nil {
			soft = err
		}
	}
	wantSoon(t, v.set, soft)

	ago(v.set, refetch+time.Second)
	go func() { <-began; answer <- keySetOf(t, "r1", k.rsa.Public(), "r2", k.otherRSA.Public()) }()
	if _, err := v.read(t.Context(), second); err != nil {
		t.Errorf("the key is there: %v", err)
	}
}

// When the issuer's key changes, a token that names no key is accepted like one that names it.
func TestKeySetRotatesWithoutIDs(t *testing.T) {
	k := keyring()
	var body atomic.Value
	body.Store(keySetOf(t, "", k.rsa.Public()))
	url, asked := keyServer(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body.Load()) })
	v := newTokens(t, JWT{JWKS: url})
	read := func(method jwt.SigningMethod, key any) error {
		_, err := v.read(t.Context(), tokenOf(t, method, key, claimsOf()))
		return err
	}
	if err := read(jwt.SigningMethodRS256, k.rsa); err != nil {
		t.Fatal(err)
	}
	token := func(method jwt.SigningMethod, key any) func() error {
		text := tokenOf(t, method, key, claimsOf())
		return func() error { _, err := v.read(t.Context(), text); return err }
	}
	renewed, another, forged := token(jwt.SigningMethodRS256, k.otherRSA), token(jwt.SigningMethodES256, k.p256), token(jwt.SigningMethodES384, k.p384)
	for _, try := range []func() error{renewed, another, forged} {
		wantSoon(t, v.set, try())
	}
	body.Store(keySetOf(t, "", k.otherRSA.Public(), "", k.p256.Public()))
	ago(v.set, refetch+time.Second)
	for _, try := range []func() error{renewed, another} {
		if err := try(); err != nil {
			t.Error(err)
		}
	}
	wantRefusal(t, forged(), http.StatusUnauthorized, "invalid", "another algorithm")
	if n := asked.Load(); n != 2 {
		t.Errorf("asked %d times", n)
	}
}

// Made-up key ids cause at most two fetches a minute, fill no memory, and keep no real key from being found.
func TestKeySetMadeUpIDs(t *testing.T) {
	k := keyring()
	var body atomic.Value
	body.Store(keySetOf(t, "r1", k.rsa.Public()))
	url, asked := keyServer(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body.Load()) })
	v := newTokens(t, JWT{JWKS: url})
	find := func(id string) error {
		_, err := v.set.find(t.Context(), id, true)
		return err
	}
	if err := find("r1"); err != nil {
		t.Fatal(err)
	}
	flood := func(round int) {
		for i := range 2 * maxUnknownKeys {
			if err := find(fmt.Sprint("made up ", round, " ", i)); !isSoft(err, "auth") {
				t.Fatalf("%d: got %v", i, err)
			}
		}
		if n := len(v.set.unknown.first); n > maxUnknownKeys {
			t.Errorf("%d ids are remembered", n)
		}
	}
	wantSoon(t, v.set, find("early"))
	flood(0)
	wantSoon(t, v.set, find("late"))
	body.Store(keySetOf(t, "r1", k.rsa.Public(), "late", k.otherRSA.Public()))
	ago(v.set, refetch+time.Second)
	if err := find("late"); err != nil {
		t.Errorf("a key that came late: %v", err)
	}
	wantRefusal(t, find("early"), http.StatusUnauthorized, "invalid", "unknown key")
	flood(1)
	if n := asked.Load(); n != 2 {
		t.Errorf("asked %d times", n)
	}
}
