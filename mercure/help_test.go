package mercure_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	_ "github.com/sse-push/caddy-sse-push"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
	_ "github.com/sse-push/caddy-sse-push/mercure"
)

func TestMain(m *testing.M) { os.Exit(sitetest.Run(m)) }

// The keys of the sites of tests: each use of each version has its own.
const (
	legacyPublisher  = "legacy-publisher-secret-of-32-bytes-or-more"
	legacySubscriber = "legacy-subscriber-secret-of-32-bytes-or-more"
	publisher        = "modern-publisher-secret-of-32-bytes-or-more"
	subscriber       = "modern-subscriber-secret-of-32-bytes-or-more"

	issuer   = "https://app.example.com"
	resource = "https://hub.example.com/.well-known/mercure"
	page     = "https://page.example.com" // may publish by a cookie

	hub = "/.well-known/mercure"

	legacyCookie = "mercureAuthorization"
	cookie       = "__Secure-mercure_access_token"
)

// bothVersions are lines of a Caddyfile for a hub that speaks both versions.
const bothVersions = `
	publisher_jwt ` + legacyPublisher + `
	subscriber_jwt ` + legacySubscriber + `
	issuer ` + issuer + ` {
		publisher {
			jwt ` + publisher + `
		}
		subscriber {
			jwt ` + subscriber + `
		}
	}
	resource_identifier ` + resource + `
	publish_origins ` + page + `
`

// serve serves a site with a hub that speaks both versions. more are lines for its block.
func serve(t *testing.T, more string) *sitetest.Site {
	t.Helper()
	return serveWith(t, more, "")
}

// serveWith is serve with more directives of the site.
func serveWith(t *testing.T, more, directives string) *sitetest.Site {
	t.Helper()
	return sitetest.Serve(t, "sse_push {\nmercure {"+bothVersions+more+"\n}\n}\n"+directives)
}

// sign returns a token with a header and claims, signed by HS256.
func sign(key, header, claims string) string {
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode([]byte(header)) + "." + encode([]byte(claims))
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(signed))
	return signed + "." + encode(mac.Sum(nil))
}

// toJSON returns a value as JSON.
func toJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// claims is a JSON object.
type claims = map[string]any

// legacyToken returns a token of version 0.x that grants what the selectors match.
func legacyToken(key, action string, selectors ...string) string {
	return sign(key, `{"alg":"HS256","typ":"JWT"}`, toJSON(claims{"mercure": claims{action: selectors}}))
}

// accessToken returns a token of version 1.0 that is valid for an hour and grants what the matchers, objects with match and perhaps
// match_type, match. A matcher may be given as a string.
func accessToken(key, action string, matchers ...any) string {
	return sign(key, `{"alg":"HS256","typ":"at+jwt"}`, toJSON(accessClaims(action, matchers...)))
}

func accessClaims(action string, matchers ...any) claims {
	for i, m := range matchers {
		if text, ok := m.(string); ok {
			matchers[i] = claims{"match": text}
		}
	}
	return claims{
		"iss": issuer, "aud": resource, "sub": "u1", "exp": time.Now().Add(time.Hour).Unix(),
		"authorization_details": []any{claims{"type": "https://mercure.rocks/authorization-detail", "actions": []string{action}, "topics": matchers}},
	}
}

// answer is a response whose body may be a stream.
type answer struct {
	status    int
	challenge string // WWW-Authenticate
	kind      string // Content-Type
	body      string // "" for a stream
}

// send sends a request; headers are names and values in turn. Of a stream it reads nothing.
func send(t *testing.T, s *sitetest.Site, method, target, body string, headers ...string) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), sitetest.Limit)
	defer cancel()
	resp, err := s.HTTP.Do(s.Request(ctx, method, target, strings.NewReader(body), headers))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	a := answer{resp.StatusCode, resp.Header.Get("WWW-Authenticate"), resp.Header.Get("Content-Type"), ""}
	if a.kind != "text/event-stream" {
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		a.body = string(b)
	}
	return a
}

// post publishes a form.
func post(t *testing.T, s *sitetest.Site, form string, headers ...string) answer {
	t.Helper()
	return send(t, s, http.MethodPost, hub, form, append(headers, "Content-Type", "application/x-www-form-urlencoded")...)
}
