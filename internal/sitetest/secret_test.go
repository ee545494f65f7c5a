package sitetest_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// publicForms returns a public key in the ways that configs have it: those that can be read, and those that cannot.
func publicForms(t *testing.T, key *ecdsa.PrivateKey) (readable, damaged map[string]string) {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	text := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	coordinate := base64.RawURLEncoding.EncodeToString
	jwk := fmt.Sprintf(`{"kty":"EC","crv":"P-256","use":"sig","x":"%s","y":"%s"}`, coordinate(point[1:33]), coordinate(point[33:]))
	base64Of := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	readable = map[string]string{
		"PEM": text, "PEM with escaped line ends": strings.ReplaceAll(text, "\n", `\n`), "base64 of the PEM": base64Of(text),
		"its body": base64Of(string(der)), "its body, URL-safe": base64.RawURLEncoding.EncodeToString(der), "hex": hex.EncodeToString(der),
		"a JWK": jwk, "base64 of the JWK": base64Of(jwk),
	}
	damaged = map[string]string{
		"a PEM without a dash": text[1:], "base64 of that": base64Of(text[1:]), "a JWK in brackets": "[" + jwk + "]", "a key set": `{"keys":[` + jwk + `]}`,
		"a part of its body": base64Of(string(der))[:80], "a URL": "https://login.example.com/.well-known/jwks.json", "an SSH key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHeyhereisakey",
	}
	return readable, damaged
}

// fromEnv sets an environment variable, and returns its placeholder. Each is a new one: Caddy does not load a config that is
// the same as before.
func fromEnv(t *testing.T, value string) string {
	name := fmt.Sprintf("SSE_PUSH_TEST_%d", variables.Add(1))
	t.Setenv(name, value)
	return "{env." + name + "}"
}

var variables atomic.Int64

// However a public key stands in the config, its tokens are let in, or the config is refused. No client is let in by a token
// that is signed with the text of the key.
func TestPublicKeyIsNeverASecret(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	claims := jwt.MapClaims{"sub": "u1", "exp": time.Now().Add(time.Hour).Unix()}
	sign := func(method jwt.SigningMethod, key any) string {
		t.Helper()
		token, err := jwt.NewWithClaims(method, claims).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	readable, damaged := publicForms(t, key)
	s := sitetest.Serve(t, trusting("user jwt {\nsecret "+secretA+"\n}"))
	try := func(option, text string) error {
		// In a rotation, beside what is good.
		err := sitetest.Load([]*sitetest.Site{s}, trusting("user jwt {\nsecret "+secretA+"\n"+option+" "+fromEnv(t, text)+"\n}"))
		s.Reconnect()
		return err
	}
	for name, text := range readable {
		if err := try("key", text); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if a := s.Do(http.MethodHead, "/events", "", "Authorization", "Bearer "+sign(jwt.SigningMethodES256, key)); a.Status != http.StatusOK {
			t.Errorf("%s: its token gets %d", name, a.Status)
		}
		if a := s.Do(http.MethodHead, "/events", "", "Authorization", "Bearer "+sign(jwt.SigningMethodHS256, []byte(text))); a.Status != http.StatusUnauthorized {
			t.Errorf("%s: a forged token gets %d", name, a.Status)
		}
	}
	refused := func(name string, err error, want string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	for name, text := range damaged {
		refused("key: "+name, try("key", text), "looks like a")
		refused("secret: "+name, try("secret", text), "looks like a")
	}
	for name, text := range readable {
		refused("secret: "+name, try("secret", text), "looks like a")
	}
	refused("key: a secret", try("key", secretA), "write: secret <value>")
}

// Every secret of a config refuses a public key, from the environment and as it stands.
func TestEverySecretRefusesKeys(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	readable, damaged := publicForms(t, key)
	s := sitetest.Serve(t, trusting("user ticket "+secretA))
	internal := "internal /_sse {\ntoken %s\n}"
	for option, body := range map[string]string{
		"ticket":                 "sse_push /events {\nuser ticket " + secretA + " %s\n}",
		"jwt":                    "sse_push /events {\nuser jwt {\nsecret " + secretA + " %s\n}\n}",
		"token of the internal":  "sse_push {\n" + internal + "\n}",
		"token of the inspector": "sse_push {\ninspector /_look {\ntoken a-token-of-a-good-length %s\n}\n}",
		"client_key":             "sse_push /events {\nanonymous\nclient_key %s\n}",
	} {
		for _, forms := range []map[string]string{readable, damaged} {
			for name, text := range forms {
				for _, written := range []string{fromEnv(t, text), "`" + text + "`"} {
					err := sitetest.Load([]*sitetest.Site{s}, fmt.Sprintf(body, written))
					if err == nil || !strings.Contains(err.Error(), "looks like a") {
						t.Errorf("%s: %s as %.40s: got %v", option, name, written, err)
					} else if strings.Contains(err.Error(), text[8:]) {
						t.Errorf("%s: %s: the error repeats it: %v", option, name, err)
					}
				}
			}
		}
	}
}
