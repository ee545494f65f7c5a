package mercure_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// The keys of an issuer may come from a URL. As long as they cannot be had, nobody is told that a good token is bad.
func TestKeySetOfAnIssuer(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	var away atomic.Bool
	set := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if away.Load() {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		_, _ = w.Write([]byte(toJSON(claims{"keys": []any{claims{
			"kty": "EC", "crv": "P-256", "kid": "k1", "x": encode(point[1:33]), "y": encode(point[33:]),
		}}})))
	}))
	t.Cleanup(set.Close)
	serve := func(t *testing.T) *sitetest.Site {
		t.Helper()
		return sitetest.Serve(t, `sse_push {
			mercure {
				issuer `+issuer+` {
					publisher {
						jwks_uri `+set.URL+` ES256
					}
					subscriber {
						jwks_uri `+set.URL+`
					}
				}
				resource_identifier `+resource+`
			}
		}`)
	}
	token := func(action string) string {
		signed := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims(accessClaims(action, topic)))
		signed.Header["typ"], signed.Header["kid"] = "at+jwt", "k1"
		text, err := signed.SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	form, target := "data=x&topic="+url.QueryEscape(topic), hub+"?match="+url.QueryEscape(topic)

	s := serve(t)
	if a := post(t, s, form, "Authorization", "Bearer "+token("publish")); a.status != 200 {
		t.Errorf("publishing: got %d %s", a.status, a.body)
	}
	if a := send(t, s, "GET", target, "", "Authorization", "Bearer "+token("subscribe")); a.status != 200 {
		t.Errorf("subscribing: got %d %s", a.status, a.body)
	}

	away.Store(true)
	t.Run("away", func(t *testing.T) {
		s := serve(t)
		if a := post(t, s, form, "Authorization", "Bearer "+token("publish")); a.status != 503 {
			t.Errorf("publishing: got %d %s", a.status, a.body)
		}
		c := s.Stream("GET", target, "", "Authorization", "Bearer "+token("subscribe"), "Accept", "text/event-stream")
		if m := c.Next(); m.Type != "sse:rejected" || !strings.Contains(m.Data, "auth") {
			t.Errorf("subscribing: got %q", m)
		}
		for _, use := range []string{"publisher", "subscriber"} {
			if !s.Logged("mercure issuer " + issuer + " " + use + ": the key set cannot be fetched") {
				t.Errorf("the log does not name the %s's key set: %s", use, s.Log())
			}
		}
	})
}

// The log warns of each option whose key set comes without TLS, in both versions, and of no other.
func TestKeySetWithoutTLS(t *testing.T) {
	s := sitetest.Serve(t, `sse_push {
		mercure {
			publisher_jwks_url http://keys.example/publishers
			subscriber_jwks_url https://keys.example/subscribers
			issuer `+issuer+` {
				publisher {
					jwks_uri https://keys.example/publishers
				}
				subscriber {
					jwks_uri http://keys.example/subscribers
				}
			}
			resource_identifier `+resource+`
		}
	}`)
	log := s.Log()
	for option, want := range map[string]int{"publisher_jwks_url": 1, "subscriber_jwks_url": 0, "issuer " + issuer + " publisher": 0, "issuer " + issuer + " subscriber": 1} {
		if n := strings.Count(log, "mercure: "+option+": the key set is fetched without TLS"); n != want {
			t.Errorf("%s: %d warnings, want %d", option, n, want)
		}
	}
}
