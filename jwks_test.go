package ssepush

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
)

// keyServer serves a key set, and counts how often.
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

// keySetOf is a key set, ids and keys in turn; "" for none.
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
		"an unknown kid":             {tokenOf(t, jwt.SigningMethodRS256, k.rsa, claimsOf(), "kid", "r2"), "unknown key"},
		"another's kid":              {tokenOf(t, jwt.SigningMethodRS256, k.rsa, claimsOf(), "kid", "e1"), "another algorithm"},
		"another's key":              {tokenOf(t, jwt.SigningMethodRS256, k.otherRSA, claimsOf(), "kid", "r1"), "none of the keys"},
		"a secret that the set has":  {tokenOf(t, jwt.SigningMethodHS256, []byte(secretA), claimsOf(), "kid", "s1"), "not allowed"},
		"HMAC with the public key":   {tokenOf(t, jwt.SigningMethodHS256, []byte(publicPEM(t, k.rsa)), claimsOf(), "kid", "r1"), "not allowed"},
		"a kid that is a path":       {tokenOf(t, jwt.SigningMethodRS256, k.rsa, claimsOf(), "kid", "../../dev/null"), "unknown key"},
		"a curve that the key isn't": {tokenOf(t, jwt.SigningMethodES384, k.p384, claimsOf(), "kid", "e1"), "another algorithm"},
	} {
		g, err := v.read(t.Context(), test.text)
		t.Run(name, func(t *testing.T) { wantRefusal(t, err, http.StatusUnauthorized, "invalid", test.cause) })
		if (g != nil) != (test.cause == "") {
			t.Errorf("%s: got %+v", name, g)
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("unknown key ids made %d fetches", n)
	}
}

// A key set that cannot be had refuses nobody for good, and takes nobody in.
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

// Keys that are known are believed while the set is away; new ones are found; one that is withdrawn is gone.
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
	earlier := func(d time.Duration) { // as if the set had been fetched so much earlier
		v.set.mu.Lock()
		defer v.set.mu.Unlock()
		v.set.tried = v.set.tried.Add(-d)
		v.set.keys.at = v.set.keys.at.Add(-d)
	}
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
	wantRefusal(t, read(second), http.StatusUnauthorized, "invalid", "unknown key")
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
	if err := read(tokenOf(t, jwt.SigningMethodRS256, k.rsa, claimsOf(), "kid", "r3")); !isSoft(err, "auth") {
		t.Errorf("away, an unknown key: %v", err)
	}
	body.Store(keySetOf(t, "r2", k.otherRSA.Public()))
	earlier(2 * time.Hour)
	if err := read(second); err != nil {
		t.Error(err)
	}
	settled()
	wantRefusal(t, read(first), http.StatusUnauthorized, "invalid", "unknown key")
	body.Store("")
	earlier(maxStale)
	if err := read(second); !isSoft(err, "auth") {
		t.Errorf("keys of yesterday: %v", err)
	}
	if n := asked.Load(); n != 5 {
		t.Errorf("asked %d times", n)
	}
}
