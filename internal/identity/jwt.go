package identity

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/zap"

	"github.com/sse-push/caddy-sse-push/internal/placeholder"
	"github.com/sse-push/caddy-sse-push/internal/secret"
)

const (
	maxToken      = 16 << 10
	defaultLeeway = 30 * time.Second
)

// JWT lets in clients with a JSON Web Token (RFC 7519). It needs keys, key files or secrets, or the URL of a key set.
type JWT struct {
	// Public keys or certificates: PEM, DER or a JSON Web Key, as they are or in base64 or hex. Placeholders such as
	// `{env.JWT_PUBLIC_KEY}` are filled in when the config is loaded. A shared secret goes into `secrets`.
	// Default: none.
	Keys []string `json:"keys,omitempty" placeholders:"key"`

	// Secrets shared with the issuer (HMAC), of at least 32 bytes. Placeholders such as `{env.JWT_SECRET}` are filled in
	// when the config is loaded. A key or a certificate in any form is refused: all who know it could sign tokens.
	// Default: none.
	Secrets []string `json:"secrets,omitempty"`

	// Files with a public key or a certificate, in the same forms as `keys`. Default: none.
	KeyFiles []string `json:"key_files,omitempty"`

	// The URL of a key set (RFC 7517) of public keys. It is fetched when the first token comes, not before. Default: none.
	JWKS string `json:"jwks,omitempty"`

	// How old the key set may get before it is fetched again. A token with an unknown key id causes an earlier fetch, twice a
	// minute at most. Default: 1h.
	Refresh caddy.Duration `json:"refresh,omitempty"`

	// The algorithms that may sign. Default: those that fit the keys; with a key set, all except HMAC.
	Algorithms []string `json:"algorithms,omitempty" placeholders:"none"`

	// Issuers (`iss`), one of which a token must name. Default: any.
	Issuers []string `json:"issuers,omitempty"`

	// Audiences (`aud`), one of which a token must be for. Default: any.
	Audiences []string `json:"audiences,omitempty"`

	// The claim that names the user. Default: `sub`.
	UserClaim string `json:"user_claim,omitempty"`

	// The claim that lists topics to grant besides the route's. Default: none.
	TopicsClaim string `json:"topics_claim,omitempty"`

	// The places where a token is looked for, in order. Default: `Authorization: Bearer`.
	From []Carrier `json:"from,omitempty"`

	// How far the issuer's clock may be off. Default: 30s.
	Leeway caddy.Duration `json:"leeway,omitempty"`

	// Whether a token without `exp` is valid, for ever. Default: false, it is refused.
	AllowNoExpiry bool `json:"allow_no_expiry,omitempty"`
}

// Check reports what is wrong with the settings.
func (j *JWT) Check() error {
	switch {
	case j.JWKS != "" && len(j.Keys)+len(j.KeyFiles)+len(j.Secrets) > 0:
		return errors.New("jwks: cannot be combined with key, key_file or secret")
	case j.JWKS == "" && len(j.Keys)+len(j.KeyFiles)+len(j.Secrets) == 0:
		return errors.New("needs key, key_file, secret or jwks")
	case j.JWKS == "" && j.Refresh != 0:
		return errors.New("refresh: needs jwks")
	case j.Refresh < 0 || j.Leeway < 0:
		return errors.New("refresh, leeway: must not be negative")
	}
	if j.JWKS != "" && !placeholder.AtLoad.MatchString(j.JWKS) {
		if err := checkHTTP(j.JWKS); err != nil {
			return fmt.Errorf("jwks: %w", err)
		}
	}
	for i, key := range j.Keys {
		if err := CheckPublicKey(key); err != nil {
			return fmt.Errorf("key number %d: %w", i+1, err)
		}
	}
	for i, s := range j.Secrets {
		if err := secret.CheckKeyText(s); err != nil {
			return fmt.Errorf("secret number %d: %w", i+1, err)
		}
	}
	if err := CheckAlgorithms(j.Algorithms); err != nil {
		return err
	}
	for _, alg := range j.Algorithms {
		if j.JWKS != "" && algorithms[alg] == "a secret" {
			return fmt.Errorf("algorithms: %s needs a secret, but a key set holds none", alg)
		}
	}
	return checkCarriers(j.From)
}

// CheckAlgorithms reports an algorithm that is not known.
func CheckAlgorithms(names []string) error {
	for _, alg := range names {
		if algorithms[alg] == "" {
			return fmt.Errorf("algorithms: %q is unknown; it must be one of HS256, RS256, PS256, ES256 and the like, or EdDSA", alg)
		}
	}
	return nil
}

// CheckPublicKey reports what is wrong with a public key. A text with placeholders that are filled in later passes.
func CheckPublicKey(key string) error {
	if placeholder.AtLoad.MatchString(key) {
		return nil
	}
	_, err := readKey(key)
	return err
}

// checkHTTP reports why a text is not the URL of an HTTP server.
func checkHTTP(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Fragment != "" {
		return fmt.Errorf("%q is not a URL of the form https://host/path", s)
	}
	if u.User != nil {
		return errors.New("must not hold a user or password")
	}
	return nil
}

func newJWTVerifier(option string, j *JWT, log *zap.Logger) (*jwtVerifier, error) {
	v := &jwtVerifier{
		from: j.From, issuers: j.Issuers, topics: j.TopicsClaim, user: j.UserClaim,
		leeway: cmp.Or(time.Duration(j.Leeway), defaultLeeway),
	}
	if len(v.from) == 0 {
		v.from = []Carrier{{In: "header", Name: "Authorization"}}
	}
	if v.user == "" {
		v.user = "sub"
	}
	// The rules that a token has to meet: a connection that was admitted under other rules has to reconnect.
	rules, err := json.Marshal([]any{j.Issuers, j.Audiences, v.user, v.topics, j.AllowNoExpiry, j.Algorithms})
	if err != nil {
		return nil, err
	}
	v.rules = secret.Fingerprint(rules)
	kinds := map[string]bool{}
	if j.JWKS != "" {
		v.set = newKeySet(option, j.JWKS, cmp.Or(time.Duration(j.Refresh), defaultRefresh), log)
		for _, kind := range algorithms {
			kinds[kind] = kind != "a secret"
		}
	} else if err := v.load(j); err != nil {
		return nil, err
	}
	for _, k := range v.keys {
		kinds[kindOf(k.key)] = true
	}
	allowed := j.Algorithms
	for alg, kind := range algorithms {
		if len(j.Algorithms) == 0 && kinds[kind] {
			allowed = append(allowed, alg)
		}
	}
	for _, alg := range allowed {
		if !kinds[algorithms[alg]] {
			return nil, fmt.Errorf("algorithms: %s needs %s, but none is given", alg, algorithms[alg])
		}
	}
	options := []jwt.ParserOption{
		jwt.WithValidMethods(allowed), jwt.WithJSONNumber(), jwt.WithLeeway(v.leeway), jwt.WithStrictDecoding(),
	}
	if !j.AllowNoExpiry {
		options = append(options, jwt.WithExpirationRequired())
	}
	if len(j.Audiences) > 0 {
		options = append(options, jwt.WithAudience(j.Audiences...))
	}
	v.parser = jwt.NewParser(options...)
	return v, nil
}

// load reads the keys, key files and secrets of the settings.
func (v *jwtVerifier) load(j *JWT) error {
	texts, names := []string{}, []string{}
	for i, key := range j.Keys {
		texts, names = append(texts, key), append(names, fmt.Sprintf("key number %d", i+1))
	}
	for _, file := range j.KeyFiles {
		text, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("key_file: %w", err)
		}
		texts, names = append(texts, string(text)), append(names, "key_file "+file)
	}
	for i, text := range texts {
		key, err := readKey(text)
		if err != nil {
			return fmt.Errorf("%s: %w", names[i], err)
		}
		v.add(key, text)
	}
	for _, text := range j.Secrets {
		text = strings.TrimSpace(text)
		v.add([]byte(text), text)
	}
	return nil
}

// add adds a key under a name that is the same in later configs with the same rules.
func (v *jwtVerifier) add(key any, text string) {
	v.keys = append(v.keys, namedKey{key, "jwt " + secret.Fingerprint([]byte(strings.TrimSpace(text))) + " " + v.rules})
}

// jwtVerifier verifies JSON Web Tokens.
type jwtVerifier struct {
	from         []Carrier
	issuers      []string
	user, topics string // claims
	leeway       time.Duration
	parser       *jwt.Parser
	rules        string
	keys         namedKeys
	set          *keySet // instead of keys
}

// vouches implements verifier.
func (v *jwtVerifier) vouches(by string) bool {
	return v.set != nil && by == v.setName() || v.keys.has(by)
}

// setName names the key set, with the rules that a token has to meet, in grants.
func (v *jwtVerifier) setName() string { return "jwt " + v.set.url + " " + v.rules }

// verify implements verifier.
func (v *jwtVerifier) verify(r *attempt) (*Grant, error) {
	text, err := carried(v.from, r)
	if err != nil || text == "" {
		return nil, err
	}
	return v.read(r.Context(), text)
}

// warnings says whose tokens the settings accept besides those that are meant.
func (j *JWT) warnings() (warnings []string) {
	if j.JWKS != "" && len(j.Audiences) == 0 {
		warnings = append(warnings, "user jwt: without audience, a token that the issuer made for another app is accepted too")
	}
	if strings.HasPrefix(j.JWKS, "http:") {
		warnings = append(warnings, "user jwt: the key set is fetched without TLS: anyone on the network path can sign tokens")
	}
	if j.AllowNoExpiry {
		warnings = append(warnings, "user jwt: a token without exp is valid for ever, even if it is stolen")
	}
	return warnings
}
