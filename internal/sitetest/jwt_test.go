package sitetest_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

func TestJWTLetsIn(t *testing.T) {
	s := sitetest.Serve(t, trusting(`user jwt {
		secret `+secretA+`
		audience push
		topics_claim topics
		from header Authorization
		from cookie jwt
	}`))
	sign := func(claims jwt.MapClaims) string {
		text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(secretA))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	exp := time.Now().Unix() + 60
	good := sign(jwt.MapClaims{"sub": "u1", "aud": "push", "exp": exp, "topics": []string{"extra"}})
	c := s.Open("/events?topic=extra&topic=user/u1/x", "Authorization", "Bearer "+good)
	s.Publish("topic", "extra", "data", "1")
	s.Publish("topic", "user/u1/x", "data", "2")
	c.Want("1", "2")
	for name, test := range map[string]struct {
		header, value string
		status        int
	}{
		"a cookie":         {"Cookie", "jwt=" + good, 200},
		"for someone else": {"Authorization", "Bearer " + sign(jwt.MapClaims{"sub": "u1", "aud": "shop", "exp": exp}), 401},
		"for ever":         {"Authorization", "Bearer " + sign(jwt.MapClaims{"sub": "u1", "aud": "push"}), 401},
		"nothing":          {"X-Nothing", "", 401},
	} {
		if a := s.Do(http.MethodHead, "/events", "", test.header, test.value); a.Status != test.status {
			t.Errorf("%s: got %d", name, a.Status)
		}
	}
}

// A client whose token cannot be checked, as the key set cannot be fetched, may come again.
func TestJWKSAwayAtStart(t *testing.T) {
	s := sitetest.Serve(t, trusting("user jwt {\njwks http://127.0.0.1:1/keys\n}"))
	text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"sub": "u1"}).SignedString([]byte(secretA))
	if err != nil {
		t.Fatal(err)
	}
	if a := s.Do(http.MethodGet, "/events", "", "Authorization", "Bearer "+text, "Accept", sitetest.EventStream); a.Status != http.StatusUnauthorized {
		t.Errorf("HMAC: got %d", a.Status)
	}
	const rs256 = "eyJhbGciOiJSUzI1NiIsImtpZCI6InIxIn0.eyJzdWIiOiJ1MSJ9.eA"
	if reason := rejected(s, "/events", "Authorization", "Bearer "+rs256); reason != "auth" {
		t.Errorf("got %q", reason)
	}
}

// A page that comes with a token of a key that the issuer has just added is told to come again once the set can be fetched
// anew; an EventSource that gets a 401 would never come again.
func TestJWKSRotates(t *testing.T) {
	var body atomic.Value
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body.Load()) }))
	t.Cleanup(keys.Close)
	private := map[string]ed25519.PrivateKey{}
	set := func(ids ...string) {
		var list []string
		for _, id := range ids {
			if private[id] == nil {
				_, key, err := ed25519.GenerateKey(nil)
				if err != nil {
					t.Fatal(err)
				}
				private[id] = key
			}
			x := base64.RawURLEncoding.EncodeToString(private[id].Public().(ed25519.PublicKey))
			list = append(list, fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","kid":%q,"x":%q}`, id, x))
		}
		body.Store(`{"keys":[` + strings.Join(list, ",") + `]}`)
	}
	token := func(kid string) string {
		token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{"sub": "u1", "exp": time.Now().Unix() + 600})
		token.Header["kid"] = kid
		text, err := token.SignedString(private[kid])
		if err != nil {
			t.Fatal(err)
		}
		return "Bearer " + text
	}
	set("k1")
	s := sitetest.Serve(t, trusting("user jwt {\njwks "+keys.URL+"\n}"))
	s.Open("/events", "Authorization", token("k1"))
	set("k1", "k2")
	c := s.Stream(http.MethodGet, "/events", "", "Authorization", token("k2"), "Accept", sitetest.EventStream)
	if m := c.Next(); c.Status != http.StatusOK || m.Type != "sse:rejected" || m.Data != `{"reason":"auth"}` {
		t.Fatalf("got %d %q", c.Status, m)
	}
	c.WantEnd()
	if c.Retry < 20*time.Second || c.Retry > 40*time.Second {
		t.Errorf("told to come again after %s", c.Retry)
	}
	if a := s.Do(http.MethodGet, "/events", "", "Authorization", token("k2")); a.Status != http.StatusServiceUnavailable || len(a.Header.Get("Retry-After")) != 2 {
		t.Errorf("got %d, Retry-After %q", a.Status, a.Header.Get("Retry-After"))
	}
	s.Open("/events", "Authorization", token("k1"))
}
