package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/zap"
)

// keyring are keys to sign with; making them takes a while.
var keyring = sync.OnceValue(func() (k struct {
	rsa, otherRSA *rsa.PrivateKey
	p256, p384    *ecdsa.PrivateKey
	ed            ed25519.PrivateKey
}) {
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	var err error
	k.rsa, err = rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	k.otherRSA, err = rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	k.p256, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	k.p384, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	must(err)
	_, k.ed, err = ed25519.GenerateKey(rand.Reader)
	must(err)
	return k
})

// publicPEM returns a public key in the form of a config.
func publicPEM(t testing.TB, key crypto.Signer) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func newTokens(t testing.TB, config JWT) *jwtVerifier {
	t.Helper()
	if err := config.Check(); err != nil {
		t.Fatal(err)
	}
	v, err := newJWTVerifier("user jwt", &config, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// tokenOf signs claims; header entries are names and values in turn.
func tokenOf(t testing.TB, method jwt.SigningMethod, key any, claims jwt.MapClaims, header ...string) string {
	t.Helper()
	token := jwt.NewWithClaims(method, claims)
	for i := 0; i < len(header); i += 2 {
		token.Header[header[i]] = header[i+1]
	}
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// claimsOf returns good claims, changed by names and values in turn; nil removes a claim.
func claimsOf(more ...any) jwt.MapClaims {
	c := jwt.MapClaims{"sub": "u1", "exp": time.Now().Add(time.Hour).Unix()}
	for i := 0; i < len(more); i += 2 {
		if c[more[i].(string)] = more[i+1]; more[i+1] == nil {
			delete(c, more[i].(string))
		}
	}
	return c
}

func TestJWTAlgorithms(t *testing.T) {
	k := keyring()
	signers := map[string]struct {
		method jwt.SigningMethod
		key    any
		config JWT
	}{
		"HS256": {jwt.SigningMethodHS256, []byte(secretA), JWT{Secrets: []string{secretA}}},
		"HS512": {jwt.SigningMethodHS512, []byte(secretA), JWT{Secrets: []string{secretA}}},
		"RS256": {jwt.SigningMethodRS256, k.rsa, JWT{Keys: []string{publicPEM(t, k.rsa)}}},
		"PS384": {jwt.SigningMethodPS384, k.rsa, JWT{Keys: []string{publicPEM(t, k.rsa)}}},
		"ES256": {jwt.SigningMethodES256, k.p256, JWT{Keys: []string{publicPEM(t, k.p256)}}},
		"ES384": {jwt.SigningMethodES384, k.p384, JWT{Keys: []string{strings.ReplaceAll(publicPEM(t, k.p384), "\n", `\n`)}}},
		"EdDSA": {jwt.SigningMethodEdDSA, k.ed, JWT{Keys: []string{publicPEM(t, k.ed)}}},
	}
	for alg, signer := range signers {
		for other, verifier := range signers {
			v := newTokens(t, verifier.config)
			g, err := v.read(t.Context(), tokenOf(t, signer.method, signer.key, claimsOf(), "kid", "whatever"))
			if fits := reflect.DeepEqual(signer.config, verifier.config); fits != (err == nil) || fits && g.User != "u1" {
				t.Errorf("signed by %s, keys for %s: got %+v, %v", alg, other, g, err)
			}
		}
		all := JWT{}
		for _, verifier := range signers {
			all.Keys = append(all.Keys, verifier.config.Keys...)
			all.Secrets = append(all.Secrets, verifier.config.Secrets...)
		}
		if _, err := newTokens(t, all).read(t.Context(), tokenOf(t, signer.method, signer.key, claimsOf())); err != nil {
			t.Errorf("%s, among all keys: %v", alg, err)
		}
	}
}

// A token for a public key cannot be signed with the public key, nor go without a signature.
func TestJWTAlgorithmConfusion(t *testing.T) {
	k := keyring()
	public := publicPEM(t, k.rsa)
	der, _ := pem.Decode([]byte(public))
	none := tokenOf(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, claimsOf())
	payload := strings.Split(none, ".")[1]
	encode := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	for name, v := range map[string]*jwtVerifier{
		"an RSA key":                 newTokens(t, JWT{Keys: []string{public}}),
		"an RSA key and a secret":    newTokens(t, JWT{Keys: []string{public}, Secrets: []string{secretA}}),
		"all algorithms of the keys": newTokens(t, JWT{Keys: []string{public}, Secrets: []string{secretA}, Algorithms: []string{"RS256", "HS256"}}),
	} {
		for attack, text := range map[string]string{
			"HMAC with the PEM":           tokenOf(t, jwt.SigningMethodHS256, []byte(public), claimsOf()),
			"HMAC with the trimmed PEM":   tokenOf(t, jwt.SigningMethodHS256, []byte(strings.TrimSpace(public)), claimsOf()),
			"HMAC with the DER":           tokenOf(t, jwt.SigningMethodHS256, der.Bytes, claimsOf()),
			"HMAC with the modulus":       tokenOf(t, jwt.SigningMethodHS256, k.rsa.N.Bytes(), claimsOf()),
			"HMAC with nothing":           tokenOf(t, jwt.SigningMethodHS256, []byte{}, claimsOf()),
			"none":                        none,
			"None":                        encode(`{"alg":"None"}`) + "." + payload + ".",
			"NONE with a signature":       encode(`{"alg":"NONE"}`) + "." + payload + "." + encode("x"),
			"no alg":                      encode(`{"typ":"JWT"}`) + "." + payload + ".",
			"alg null":                    encode(`{"alg":null}`) + "." + payload + ".",
			"RS256 without a signature":   encode(`{"alg":"RS256"}`) + "." + payload + ".",
			"another RSA key":             tokenOf(t, jwt.SigningMethodRS256, k.otherRSA, claimsOf()),
			"another RSA key, sent along": tokenOf(t, jwt.SigningMethodRS256, k.otherRSA, claimsOf(), "jwk", publicPEM(t, k.otherRSA), "jku", "http://127.0.0.1:1/keys"),
		} {
			if g, err := v.read(t.Context(), text); err == nil || g != nil {
				t.Errorf("%s: %s is taken", name, attack)
			}
		}
		good := tokenOf(t, jwt.SigningMethodRS256, k.rsa, claimsOf())
		parts := strings.Split(good, ".")
		for _, bad := range []string{
			strings.Split(good, ".")[0] + "." + encode(`{"sub":"admin","exp":99999999999}`) + "." + strings.Split(good, ".")[2],
			encode(`{"alg":"HS256"}`) + "." + parts[1] + "." + parts[2], good + "=", good + ".", good + "A", " " + good,
		} {
			if g, err := v.read(t.Context(), bad); err == nil || g != nil {
				t.Errorf("%s: a changed token is taken", name)
			}
		}
	}
}

func TestJWTClaims(t *testing.T) {
	hs := func(claims jwt.MapClaims, header ...string) string {
		return tokenOf(t, jwt.SigningMethodHS256, []byte(secretA), claims, header...)
	}
	in := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	for name, test := range map[string]struct {
		config        JWT
		text          string
		user          string
		topics        []string
		public, cause string
	}{
		"plain":                     {text: hs(claimsOf()), user: "u1"},
		"another claim":             {config: JWT{UserClaim: "uid"}, text: hs(claimsOf("uid", int64(12345678901234567))), user: "12345678901234567"},
		"a claim that is not there": {config: JWT{UserClaim: "uid"}, text: hs(claimsOf()), public: "invalid", cause: "the claim uid must not be empty"},
		"a user that is a list":     {text: hs(claimsOf("sub", []string{"u1"})), public: "invalid", cause: "the claim sub must be"},
		"a user with a newline":     {text: hs(claimsOf("sub", "a\nb")), public: "invalid", cause: "control characters"},

		"expired within the leeway": {text: hs(claimsOf("exp", in(-20*time.Second))), user: "u1"},
		"expired":                   {text: hs(claimsOf("exp", in(-31*time.Second))), public: "expired", cause: "expired"},
		"expired, more leeway":      {config: JWT{Leeway: caddy.Duration(time.Minute)}, text: hs(claimsOf("exp", in(-31*time.Second))), user: "u1"},
		"without exp":               {text: hs(claimsOf("exp", nil)), public: "invalid", cause: "without exp"},
		"without exp, allowed":      {config: JWT{AllowNoExpiry: true}, text: hs(claimsOf("exp", nil)), user: "u1"},
		"expired, though allowed":   {config: JWT{AllowNoExpiry: true}, text: hs(claimsOf("exp", in(-time.Minute))), public: "expired", cause: "expired"},
		"exp as a text":             {text: hs(claimsOf("exp", "tomorrow")), public: "invalid", cause: "claim"},
		"exp in milliseconds":       {text: hs(claimsOf("exp", time.Now().UnixMilli()*1000)), public: "invalid", cause: "exp is not a time"},
		"not valid yet":             {text: hs(claimsOf("nbf", in(time.Minute))), public: "invalid", cause: "nbf"},
		"valid in a moment":         {text: hs(claimsOf("nbf", in(20*time.Second))), user: "u1"},

		"for us":                    {config: JWT{Audiences: []string{"push", "x"}}, text: hs(claimsOf("aud", []string{"shop", "push"})), user: "u1"},
		"for us, as a text":         {config: JWT{Audiences: []string{"push"}}, text: hs(claimsOf("aud", "push")), user: "u1"},
		"for someone else":          {config: JWT{Audiences: []string{"push"}}, text: hs(claimsOf("aud", "shop")), public: "invalid", cause: "aud"},
		"for nobody":                {config: JWT{Audiences: []string{"push"}}, text: hs(claimsOf()), public: "invalid", cause: "aud"},
		"issued by ours":            {config: JWT{Issuers: []string{"a", "b"}}, text: hs(claimsOf("iss", "b")), user: "u1"},
		"issued by someone else":    {config: JWT{Issuers: []string{"a"}}, text: hs(claimsOf("iss", "A")), public: "invalid", cause: "iss"},
		"issued by nobody":          {config: JWT{Issuers: []string{"a"}}, text: hs(claimsOf()), public: "invalid", cause: "iss"},
		"topics":                    {config: JWT{TopicsClaim: "topics"}, text: hs(claimsOf("topics", []string{"a/b", "c/**"})), user: "u1", topics: []string{"a/b", "c/**"}},
		"one topic":                 {config: JWT{TopicsClaim: "topics"}, text: hs(claimsOf("topics", "a/b")), user: "u1", topics: []string{"a/b"}},
		"no topics":                 {config: JWT{TopicsClaim: "topics"}, text: hs(claimsOf()), user: "u1"},
		"topics nobody asked for":   {text: hs(claimsOf("topics", []string{"**"})), user: "u1"},
		"topics that are numbers":   {config: JWT{TopicsClaim: "topics"}, text: hs(claimsOf("topics", []int{1})), public: "invalid", cause: "not a list of strings"},
		"topics that are an object": {config: JWT{TopicsClaim: "topics"}, text: hs(claimsOf("topics", map[string]int{"a": 1})), public: "invalid", cause: "not a list of strings"},
		"a bad topic":               {config: JWT{TopicsClaim: "topics"}, text: hs(claimsOf("topics", "a*")), public: "invalid", cause: "must stand alone"},
		"too many topics":           {config: JWT{TopicsClaim: "topics"}, text: hs(claimsOf("topics", slices.Repeat([]string{"a"}, 101))), public: "invalid", cause: "more than 100"},
		"an extension (crit)":       {text: hs(claimsOf(), "crit", "b64"), public: "invalid", cause: "crit"},
		"an algorithm not allowed":  {config: JWT{Algorithms: []string{"HS512"}}, text: hs(claimsOf()), public: "invalid", cause: "not allowed"},
		"too long":                  {text: hs(claimsOf("x", strings.Repeat("a", maxToken))), public: "invalid", cause: "too long"},
		"no token":                  {text: "u1", public: "invalid", cause: "malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			test.config.Secrets = []string{secretA}
			g, err := newTokens(t, test.config).read(t.Context(), test.text)
			wantRefusal(t, err, http.StatusUnauthorized, test.public, test.cause)
			if test.cause == "" && (g == nil || g.User != test.user || !slices.Equal(g.Topics, test.topics)) {
				t.Errorf("got %+v", g)
			}
		})
	}
}

func TestJWTConfig(t *testing.T) {
	k := keyring()
	public := publicPEM(t, k.rsa)
	private := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(k.rsa)}))
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "key.pem")
	if err := os.WriteFile(file, []byte(public), 0o600); err != nil {
		t.Fatal(err)
	}
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, []byte(secretA), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		config JWT
		want   string
	}{
		"a file":                    {JWT{KeyFiles: []string{file}}, ""},
		"nothing":                   {JWT{}, "needs key, key_file, secret or jwks"},
		"both":                      {JWT{Secrets: []string{secretA}, JWKS: "https://a.example/keys"}, "jwks: cannot be combined with key"},
		"refresh without a set":     {JWT{Secrets: []string{secretA}, Refresh: 1}, "refresh: needs jwks"},
		"a private key":             {JWT{Keys: []string{private}}, "is a rsa private key: give the public key"},
		"a small key":               {JWT{Keys: []string{publicPEM(t, small)}}, "must be an RSA key of 2048 to 8192 bits"},
		"a broken key":              {JWT{Keys: []string{"-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----"}}, "cannot be read"},
		"two keys in one":           {JWT{Keys: []string{public + public}}, "with nothing after it"},
		"a part of a key":           {JWT{Keys: []string{strings.Split(public, "\n")[1]}}, "looks like a key or a certificate, but cannot be read"},
		"a secret for a key":        {JWT{Keys: []string{secretA}}, "write: secret <value>"},
		"a short secret":            {JWT{Secrets: []string{"secret"}}, "at least 32 bytes"},
		"a file that is not there":  {JWT{KeyFiles: []string{filepath.Join(dir, "none")}}, "key_file: open"},
		"a file of something else":  {JWT{KeyFiles: []string{plain}}, "is not a public key"},
		"none":                      {JWT{Keys: []string{public}, Algorithms: []string{"none"}}, `"none" is unknown`},
		"HMAC with an RSA key":      {JWT{Keys: []string{public}, Algorithms: []string{"HS256"}}, "HS256 needs a secret, but none is given"},
		"HMAC with a key set":       {JWT{JWKS: "https://a.example/keys", Algorithms: []string{"HS256"}}, "a key set holds none"},
		"a key set that is no URL":  {JWT{JWKS: "/keys"}, "is not a URL"},
		"a key set with a password": {JWT{JWKS: "https://u:p@a.example/keys"}, "user or password"},
		"a bad place":               {JWT{Secrets: []string{secretA}, From: []Carrier{{"body", "x"}}}, `from: "body"`},
	} {
		t.Run(name, func(t *testing.T) {
			err := test.config.Check()
			if err == nil {
				_, err = newJWTVerifier("user jwt", &test.config, zap.NewNop())
			}
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v", err)
			}
			if err != nil && (strings.Contains(err.Error(), secretA) || strings.Contains(err.Error(), "MII")) {
				t.Errorf("the error repeats a key: %v", err)
			}
		})
	}
}

func TestJWTVouches(t *testing.T) {
	public := publicPEM(t, keyring().rsa)
	g, err := newTokens(t, JWT{Secrets: []string{secretA}, Keys: []string{public}}).read(t.Context(), tokenOf(t, jwt.SigningMethodRS256, keyring().rsa, claimsOf()))
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		config JWT
		want   bool
	}{
		"a key more":    {JWT{Keys: []string{public}, Secrets: []string{secretB}}, true},
		"the key gone":  {JWT{Secrets: []string{secretA}}, false},
		"an audience":   {JWT{Keys: []string{public}, Audiences: []string{"push"}}, false},
		"another claim": {JWT{Keys: []string{public}, UserClaim: "uid"}, false},
		"another place": {JWT{Keys: []string{public}, From: []Carrier{{"cookie", "jwt"}}}, true},
	} {
		if got := newTokens(t, test.config).vouches(g.by); got != test.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}
