package mercure_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

const topic = "https://example.com/a"

// variant is a token, with whether it is accepted, and whether it then grants the topic.
type variant struct {
	name          string
	header        string // JSON; "" for the usual one
	change        claims // of the usual claims; nil removes one
	raw           string // the claims, if they cannot be built
	token         string // the whole token, if it cannot be built
	other         bool   // whether it says that it is of the other version
	valid, grants bool
}

// with returns claims with changes.
func with(c, change claims) claims {
	maps.Copy(c, change)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

// details returns the claim authorization_details with one detail that differs from a good one.
func details(change claims) claims {
	good := claims{"type": "https://mercure.rocks/authorization-detail", "actions": []any{"publish", "subscribe"}, "topics": []any{claims{"match": topic}}}
	return claims{"authorization_details": []any{with(good, change)}}
}

func topics(list ...any) claims { return details(claims{"topics": list}) }

// accessVariants are tokens of version 1.0, as their issuer signs them.
func accessVariants() []variant {
	const good = `{"alg":"HS256","typ":"at+jwt"}`
	hour, ago := time.Now().Add(time.Hour).Unix(), time.Now().Add(-time.Second).Unix()
	pattern := func(text string) claims { return topics(claims{"match": text, "match_type": "urlpattern"}) }
	beside := func(bad any) claims {
		c := details(nil)
		c["authorization_details"] = append(c["authorization_details"].([]any), bad)
		return c
	}
	return []variant{
		{name: "good", valid: true, grants: true},
		{name: "typ in capitals", header: `{"alg":"HS256","typ":"AT+JWT"}`, valid: true, grants: true},
		{name: "typ with its prefix", header: `{"alg":"HS256","typ":"application/at+jwt"}`, valid: true, grants: true},
		{name: "a kid that nobody knows, as a hint", header: `{"alg":"HS256","typ":"at+jwt","kid":"x"}`, valid: true, grants: true},
		{name: "aud is a list", change: claims{"aud": []string{"x", resource}}, valid: true, grants: true},
		{name: "all", change: topics(claims{"match": "*"}), valid: true, grants: true},
		{name: "all beside others", change: topics(claims{"match": "*"}, claims{"match": "other"}), valid: true, grants: true},
		{name: "a URL pattern", change: pattern("https://example.com/:x"), valid: true, grants: true},
		{name: "an action that nobody knows beside one", change: details(claims{"actions": []any{"dance", "publish", "subscribe"}}), valid: true, grants: true},
		{name: "a payload", change: details(claims{"payload": claims{"a": 1}}), valid: true, grants: true},

		{name: "no details", change: claims{"authorization_details": nil}, valid: true},
		{name: "an empty list of details", change: claims{"authorization_details": []any{}}, valid: true},
		{name: "details of another type", change: details(claims{"type": "payment"}), valid: true},
		{name: "the type in capitals", change: details(claims{"type": "HTTPS://mercure.rocks/authorization-detail"}), valid: true},
		{name: "only an action that nobody knows", change: details(claims{"actions": []any{"dance"}}), valid: true},
		{name: "an exact topic that looks like a pattern", change: topics(claims{"match": "https://example.com/:x"}), valid: true},
		{name: "an exact topic with a wildcard", change: topics(claims{"match": "https://example.com/*", "match_type": "exact"}), valid: true},
		{name: "the claim of the other version", change: claims{"authorization_details": nil, "mercure": claims{"publish": []string{"*"}, "subscribe": []string{"*"}}}, valid: true},

		{name: "no typ", header: `{"alg":"HS256"}`, other: true},
		{name: "typ JWT", header: `{"alg":"HS256","typ":"JWT"}`, other: true},
		{name: "typ is a list", header: `{"alg":"HS256","typ":["at+jwt"]}`, other: true},
		{name: "typ is given twice", header: `{"alg":"HS256","typ":"JWT","typ":"at+jwt"}`},
		{name: "alg none", header: `{"alg":"none","typ":"at+jwt"}`},
		{name: "another alg of the same kind", header: `{"alg":"HS384","typ":"at+jwt"}`},
		{name: "alg RS256", header: `{"alg":"RS256","typ":"at+jwt"}`},
		{name: "an extension that is critical", header: `{"alg":"HS256","typ":"at+jwt","crit":["b64"]}`},

		{name: "no iss", change: claims{"iss": nil}},
		{name: "another iss", change: claims{"iss": issuer + "/"}},
		{name: "iss is a list", change: claims{"iss": []string{issuer}}},
		{name: "no aud", change: claims{"aud": nil}},
		{name: "another aud", change: claims{"aud": "https://hub.example.com"}},
		{name: "aud is empty", change: claims{"aud": []string{}}},
		{name: "no exp", change: claims{"exp": nil}},
		{name: "expired", change: claims{"exp": ago}},
		{name: "exp is text", change: claims{"exp": "tomorrow"}},
		{name: "exp is before 1970", change: claims{"exp": -1}},
		{name: "exp is beyond all calendars", change: claims{"exp": 1e18}},
		{name: "not valid yet", change: claims{"nbf": hour}},

		{name: "details are an object", change: claims{"authorization_details": details(nil)["authorization_details"].([]any)[0]}},
		{name: "details are null", raw: `{"iss":"` + issuer + `","aud":"` + resource + `","exp":` + toJSON(hour) + `,"authorization_details":null}`},
		{name: "a detail is a string", change: beside("publish")},
		{name: "a detail is null", change: beside(nil)},
		{name: "a detail without a type", change: details(claims{"type": nil})},
		{name: "a detail whose type is no string", change: details(claims{"type": 1})},
		{name: "no actions", change: details(claims{"actions": nil})},
		{name: "actions are empty", change: details(claims{"actions": []any{}})},
		{name: "actions are a string", change: details(claims{"actions": "publish"})},
		{name: "an action is no string", change: details(claims{"actions": []any{"publish", "subscribe", 1}})},
		{name: "no topics", change: details(claims{"topics": nil})},
		{name: "topics are empty", change: topics()},
		{name: "a topic is a string", change: topics(topic)},
		{name: "a topic is null", change: topics(claims{"match": topic}, nil)},
		{name: "a topic without match", change: topics(claims{"match": topic}, claims{"match_type": "exact"})},
		{name: "match is a list", change: topics(claims{"match": []string{topic}})},
		{name: "match is empty", change: topics(claims{"match": topic}, claims{"match": ""})},
		{name: "match is 1,025 bytes long", change: topics(claims{"match": topic}, claims{"match": strings.Repeat("x", 1025)})},
		{name: "match has a control character", change: topics(claims{"match": topic}, claims{"match": "a\nb"})},
		{name: "match_type that nobody knows", change: topics(claims{"match": topic}, claims{"match": "x", "match_type": "regexp"})},
		{name: "match_type in capitals", change: topics(claims{"match": topic, "match_type": "Exact"})},
		{name: "match_type is empty", change: topics(claims{"match": topic, "match_type": ""})},
		{name: "match_type is a number", change: topics(claims{"match": topic, "match_type": 1})},
		{name: "a pattern that does not parse", change: pattern("https://example.com/:")},
		{name: "a pattern with a regular expression", change: pattern("https://example.com/(.*)")},
		{name: "a payload that is no object", change: details(claims{"payload": "x"})},
		{name: "one bad detail among good ones", change: beside(claims{"type": "https://mercure.rocks/authorization-detail", "actions": []any{"publish"}})},

		{name: "a claim is given twice", raw: `{"iss":"` + issuer + `","aud":"x","aud":"` + resource + `","exp":` + toJSON(hour) + `}`},
		{name: "a member of a detail is given twice", raw: strings.Replace(toJSON(with(accessClaims("publish"), details(nil))),
			`"match":`, `"match":"x","match":`, 1)},
		{name: "not UTF-8", raw: strings.Replace(toJSON(accessClaims("publish", topic)), `"u1"`, "\"\xff\"", 1)},
		{name: "half of a surrogate pair", raw: strings.Replace(toJSON(accessClaims("publish", topic)), `"u1"`, `"\ud800"`, 1)},
		{name: "claims that are a list", raw: `[]`},
		{name: "longer than 16 KiB", change: claims{"sub": strings.Repeat("x", 13<<10)}},
		{name: "two parts", token: "e30.e30"},
		{name: "four parts", token: accessToken(publisher, "publish", topic) + ".e30"},
		{name: "a word", token: "token"},
		{name: "no signature", token: strings.TrimRight(accessToken(publisher, "publish", topic), "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")},
		{name: "the header is no JSON", header: good[1:]},
	}
}

// legacyVariants are tokens of version 0.x.
func legacyVariants() []variant {
	claim := func(change claims) claims {
		return claims{"mercure": with(claims{"publish": []any{topic}, "subscribe": []any{topic}}, change)}
	}
	both := func(list any) claims { return claim(claims{"publish": list, "subscribe": list}) }
	many := func(n int) []any { return append(slices.Repeat([]any{"x"}, n-1), topic) }
	return []variant{
		{name: "good", valid: true, grants: true},
		{name: "no typ", header: `{"alg":"HS256"}`, valid: true, grants: true},
		{name: "with exp", change: claims{"exp": time.Now().Add(time.Hour).Unix()}, valid: true, grants: true},
		{name: "the claim by its long name", change: claims{"mercure": nil, "https://mercure.rocks/": claim(nil)["mercure"]}, valid: true, grants: true},
		{name: "all", change: both([]any{"*"}), valid: true, grants: true},
		{name: "all beside others", change: both([]any{"other", "*"}), valid: true, grants: true},
		{name: "a template", change: both([]any{"https://example.com/{x}"}), valid: true, grants: true},
		{name: "a thousand topics", change: both(many(500)), valid: true, grants: true},
		{name: "a template that does not parse, which is an exact topic", change: both([]any{topic, "https://example.com/{"}), valid: true, grants: true},
		{name: "for another hub", change: claims{"aud": "x", "iss": "x"}, valid: true, grants: true},

		{name: "no claim", change: claims{"mercure": nil}, valid: true},
		{name: "an empty claim", change: claims{"mercure": claims{}}, valid: true},
		{name: "an empty list", change: both([]any{}), valid: true},
		{name: "another topic", change: both([]any{"https://example.com/b"}), valid: true},
		{name: "a topic with a wildcard", change: both([]any{"https://example.com/*"}), valid: true},
		{name: "details of the other version", change: with(details(nil), claims{"mercure": claims{}}), valid: true},

		{name: "typ at+jwt", header: `{"alg":"HS256","typ":"at+jwt"}`, other: true},
		{name: "alg none", header: `{"alg":"none"}`},
		{name: "another alg of the same kind", header: `{"alg":"HS512"}`},
		{name: "expired", change: claims{"exp": time.Now().Add(-time.Second).Unix()}},
		{name: "not valid yet", change: claims{"nbf": time.Now().Add(time.Hour).Unix()}},
		{name: "the claim is a list", change: claims{"mercure": []any{}}},
		{name: "the claim is a string", change: claims{"mercure": "*"}},
		{name: "the claim under both names", change: claims{"https://mercure.rocks/": claims{}}},
		{name: "a list is a string", change: both("*")},
		{name: "one entry is a number", change: both([]any{topic, 1})},
		{name: "one entry is empty", change: both([]any{topic, ""})},
		{name: "one entry is 1,025 bytes long", change: both([]any{topic, strings.Repeat("x", 1025)})},
		{name: "one template has too many variables", change: both([]any{topic, strings.Repeat("{x}", 17)})},
		{name: "1,002 topics", change: both(many(501))},
		{name: "not UTF-8", raw: "{\"mercure\":{\"publish\":[\"*\"],\"subscribe\":[\"*\"]},\"sub\":\"\xff\"}", other: true},
		{name: "a name is given twice", raw: `{"mercure":{"publish":[],"publish":["*"],"subscribe":[],"subscribe":["*"]}}`},
	}
}

// text returns the variant as a token that a key has signed.
func (v variant) text(key, header string, usual claims) string {
	if v.token != "" {
		return v.token
	}
	if v.header != "" {
		header = v.header
	}
	if v.raw != "" {
		return sign(key, header, v.raw)
	}
	return sign(key, header, toJSON(with(usual, v.change)))
}

// door is a way to present a token.
type door struct {
	name    string
	publish bool
	present func(token string) answer
}

// doors are the ways in of a version.
func doors(t *testing.T, s *sitetest.Site, parameter, cookie string) []door {
	t.Helper()
	form, target := "data=x&topic="+url.QueryEscape(topic), hub+"?"+parameter+"="+url.QueryEscape(topic)
	return []door{
		{"POST, header", true, func(token string) answer { return post(t, s, form, "Authorization", "Bearer "+token) }},
		{"POST, cookie", true, func(token string) answer { return post(t, s, form, "Cookie", cookie+"="+token, "Origin", page) }},
		{"GET, header", false, func(token string) answer { return send(t, s, "GET", target, "", "Authorization", "bearer "+token) }},
		{"GET, cookie", false, func(token string) answer { return send(t, s, "GET", target, "", "Cookie", cookie+"="+token) }},
	}
}

// want checks an answer to a token.
func (v variant) want(t *testing.T, d door, a answer, legacy bool) {
	t.Helper()
	status, code := 200, ""
	switch {
	case !v.valid:
		status, code = 401, `error="invalid_token"`
	case d.publish && !v.grants:
		status, code = 403, `error="insufficient_scope"`
	}
	if legacy {
		code = ""
		if status != 200 {
			status = 401
		}
	}
	if a.status != status || !strings.Contains(a.challenge, code) {
		t.Errorf("%s, %s: got %d, challenge %q; want %d %s", v.name, d.name, a.status, a.challenge, status, code)
	}
	if refused := a.status != 200; refused && legacy != strings.HasPrefix(a.kind, "text/plain") {
		t.Errorf("%s, %s: the answer is %s", v.name, d.name, a.kind)
	}
}

// Each variant of a token of version 1.0 is accepted or refused at each of its doors, and refused at all others.
func TestAccessTokens(t *testing.T) {
	s := serve(t, "")
	testTokens(t, s, accessVariants(), version{
		doors: doors(t, s, "match", cookie), others: doors(t, s, "topic", legacyCookie),
		publisher: publisher, subscriber: subscriber, otherPublisher: legacyPublisher, otherSubscriber: legacySubscriber,
		header: `{"alg":"HS256","typ":"at+jwt"}`, usual: func() claims { return with(accessClaims("publish"), details(nil)) },
	})
	for _, v := range accessVariants() {
		inURL := hub + "?match=" + url.QueryEscape(topic) + "&authorization=" + v.text(subscriber, `{"alg":"HS256","typ":"at+jwt"}`, accessClaims("subscribe", topic))
		if a := send(t, s, "GET", inURL, ""); a.status != 401 {
			t.Errorf("%s in the URL: got %d", v.name, a.status)
		}
	}
}

// Each variant of a token of version 0.x is accepted or refused at each of its doors, and refused at all others.
func TestLegacyTokens(t *testing.T) {
	s := serve(t, "")
	own := doors(t, s, "topic", legacyCookie)
	own = append(own, door{"GET, in the URL", false, func(token string) answer {
		return send(t, s, "GET", hub+"?topic="+url.QueryEscape(topic)+"&authorization="+token, "")
	}})
	testTokens(t, s, legacyVariants(), version{
		doors: own, others: doors(t, s, "match", cookie), legacy: true,
		publisher: legacyPublisher, subscriber: legacySubscriber, otherPublisher: publisher, otherSubscriber: subscriber,
		header: `{"alg":"HS256","typ":"JWT"}`,
		usual:  func() claims { return claims{"mercure": claims{"publish": []any{topic}, "subscribe": []any{topic}}} },
	})
}

// version is a version of the protocol, with its keys and what its tokens usually say.
type version struct {
	doors, others                   []door // its own, and those of the other version
	publisher, subscriber           string
	otherPublisher, otherSubscriber string
	header                          string
	usual                           func() claims
	legacy                          bool
}

func testTokens(t *testing.T, s *sitetest.Site, variants []variant, of version) {
	t.Helper()
	for _, v := range variants {
		token := func(d door, publisher, subscriber string) string {
			if d.publish {
				return v.text(publisher, of.header, of.usual())
			}
			return v.text(subscriber, of.header, of.usual())
		}
		for _, d := range of.doors {
			// A publisher speaks the version that its token says, and is answered in it.
			legacy := of.legacy != (v.other && d.name == "POST, header")
			v.want(t, d, d.present(token(d, of.publisher, of.subscriber)), legacy)
			swapped := variant{name: v.name + ", by the key of the other use"}
			swapped.want(t, d, d.present(token(d, of.subscriber, of.publisher)), legacy)
			if v.other {
				continue // by a key of the other version, it may be one of its tokens
			}
			if a := d.present(token(d, of.otherPublisher, of.otherSubscriber)); a.status != 401 {
				t.Errorf("%s, by a key of the other version, %s: got %d", v.name, d.name, a.status)
			}
		}
		for _, d := range of.others {
			if d.name == "POST, header" { // which both versions have
				continue
			}
			if a := d.present(token(d, of.publisher, of.subscriber)); a.status != 401 {
				t.Errorf("%s at a door of the other version, %s: got %d", v.name, d.name, a.status)
			}
		}
	}
}

// A public key is never a secret: what is signed by HMAC with its text is refused.
func TestPublicKeyOfAnIssuer(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	text := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	s := sitetest.Serve(t, `sse_push {
		mercure {
			issuer `+issuer+` {
				publisher {
					jwt "`+strings.ReplaceAll(text, "\n", `\n`)+`" ES256
				}
			}
			resource_identifier `+resource+`
			anonymous
		}
	}`)
	signed := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims(accessClaims("publish", topic)))
	signed.Header["typ"] = "at+jwt"
	good, err := signed.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	form := "data=x&topic=" + url.QueryEscape(topic)
	if a := post(t, s, form, "Authorization", "Bearer "+good); a.status != 200 {
		t.Errorf("signed with the private key: got %d %s", a.status, a.body)
	}
	for name, secret := range map[string]string{
		"the text": text, "without the last line end": strings.TrimSpace(text), "as in the config": strings.ReplaceAll(text, "\n", `\n`),
		"DER": string(der), "base64": base64.StdEncoding.EncodeToString(der),
	} {
		if a := post(t, s, form, "Authorization", "Bearer "+accessToken(secret, "publish", topic)); a.status != 401 {
			t.Errorf("signed by HMAC with %s: got %d", name, a.status)
		}
	}
}
