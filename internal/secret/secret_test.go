package secret_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"math/big"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/secret"
)

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// material returns keys and certificates as DER, by their PEM type.
func material(t *testing.T) map[string][]byte {
	t.Helper()
	bytes := must[[]byte](t)
	rsaKey := must[*rsa.PrivateKey](t)(rsa.GenerateKey(rand.Reader, 2048))
	ecKey := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	edPublic, edPrivate, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	return map[string][]byte{
		"PUBLIC KEY":          bytes(x509.MarshalPKIXPublicKey(&rsaKey.PublicKey)),
		"PUBLIC KEY P-256":    bytes(x509.MarshalPKIXPublicKey(&ecKey.PublicKey)),
		"PUBLIC KEY Ed25519":  bytes(x509.MarshalPKIXPublicKey(edPublic)),
		"RSA PUBLIC KEY":      x509.MarshalPKCS1PublicKey(&rsaKey.PublicKey),
		"RSA PRIVATE KEY":     x509.MarshalPKCS1PrivateKey(rsaKey),
		"EC PRIVATE KEY":      bytes(x509.MarshalECPrivateKey(ecKey)),
		"PRIVATE KEY":         bytes(x509.MarshalPKCS8PrivateKey(edPrivate)),
		"CERTIFICATE":         bytes(x509.CreateCertificate(rand.Reader, template, template, &rsaKey.PublicKey, rsaKey)),
		"CERTIFICATE REQUEST": bytes(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, ecKey)),
	}
}

// disguises returns a key in the forms in which people put it into an environment variable, or break it.
func disguises(kind string, der []byte) map[string]string {
	name, _, _ := strings.Cut(kind, " P-256")
	name, _, _ = strings.Cut(name, " Ed25519")
	text := string(pem.EncodeToMemory(&pem.Block{Type: name, Bytes: der}))
	lines := strings.Split(strings.TrimSpace(text), "\n")
	body := strings.Join(lines[1:len(lines)-1], "\n")
	base64Of := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	utf16 := "\xff\xfe"
	for _, c := range text {
		utf16 += string([]byte{byte(c), 0})
	}
	return map[string]string{
		"PEM":                         text,
		"with escaped line ends":      strings.ReplaceAll(text, "\n", `\n`),
		"in one line":                 strings.ReplaceAll(text, "\n", " "),
		"with CRLF":                   strings.ReplaceAll(text, "\n", "\r\n"),
		"in quotes":                   `"` + strings.ReplaceAll(text, "\n", `\n`) + `"`,
		"as UTF-16":                   utf16,
		"percent-encoded":             strings.NewReplacer(" ", "%20", "\n", "%0A", "+", "%2B").Replace(text),
		"without a dash":              text[1:],
		"without dashes":              strings.ReplaceAll(text, "-----", ""),
		"with four dashes":            strings.ReplaceAll(text, "-----", "----"),
		"with long dashes":            strings.ReplaceAll(text, "-----", "———"),
		"without BEGIN":               strings.ReplaceAll(text, "BEGIN ", ""),
		"in lower-case markers":       strings.ToLower(lines[0]) + "\n" + body + "\n" + strings.ToLower(lines[len(lines)-1]),
		"with misspelt markers":       "--- BEGON PUBLOC KAY ---\n" + body + "\n--- AND ---",
		"without its end":             strings.Join(lines[:len(lines)-1], "\n"),
		"without white space":         strings.Join(strings.Fields(text), ""),
		"body":                        body,
		"body in one line":            strings.ReplaceAll(body, "\n", ""),
		"body with escaped line ends": strings.ReplaceAll(body, "\n", `\n`) + `\n`,
		"body without padding":        strings.TrimRight(strings.ReplaceAll(body, "\n", ""), "="),
		"body in URL-safe base64":     base64.URLEncoding.EncodeToString(der),
		"body, cut off":               body[:len(body)*3/4],
		"body that has lost a letter": body[:len(body)-20] + body[len(body)-19:],
		"body that lost its first 1":  strings.ReplaceAll(body, "\n", "")[1:],
		"body that lost its first 6":  strings.ReplaceAll(body, "\n", "")[6:],
		"hex with 0x":                 "0x" + hex.EncodeToString(der),
		"hex as in C":                 "{ 0x" + strings.Join(chunks(hex.EncodeToString(der), 2), ", 0x") + " }",
		"hex":                         hex.EncodeToString(der),
		"hex in upper case":           strings.ToUpper(hex.EncodeToString(der)),
		"hex of the PEM":              hex.EncodeToString([]byte(text)),
		"hex with colons":             strings.Trim(strings.Join(strings.SplitAfter(colons(der), ":"), ""), ":"),
		"base64 of the PEM":           base64Of(text),
		"base64 of it, URL-safe":      base64.RawURLEncoding.EncodeToString([]byte(text)),
		"base64 of base64":            base64Of(base64Of(text)),
		"base64 of the body":          base64Of(body),
		"base64 in lines":             strings.Join(chunks(base64Of(text), 76), "\n"),
		"base64 of a damaged PEM":     base64Of(text[1:]),
		"DER":                         string(der),
		"a comment before it":         "# the key of 2026\n" + text,
		"an assignment":               "JWT_KEY=" + strings.ReplaceAll(body, "\n", ""),
	}
}

func colons(b []byte) string {
	var s strings.Builder
	for _, c := range b {
		s.WriteString(hex.EncodeToString([]byte{c}) + ":")
	}
	return s.String()
}

func chunks(s string, n int) (list []string) {
	for ; len(s) > n; s = s[n:] {
		list = append(list, s[:n])
	}
	return append(list, s)
}

func wantRefused(t *testing.T, name, text string) {
	t.Helper()
	if err := secret.Check(text); err == nil {
		t.Errorf("%s passes for a secret", name)
	} else if tail := text[len(text)/2:]; len(tail) > 8 && strings.Contains(err.Error(), tail) {
		t.Errorf("%s: the error repeats it: %v", name, err)
	}
}

func TestKeysAreNoSecrets(t *testing.T) {
	t.Parallel()
	for kind, der := range material(t) {
		for disguise, text := range disguises(kind, der) {
			wantRefused(t, kind+", "+disguise, text)
		}
		if secret.CheckKey(string(der)) == nil { // which calls Check
			t.Errorf("%s passes for a secret that signs", kind)
		}
	}
}

func TestJSONWebKeysAreNoSecrets(t *testing.T) {
	t.Parallel()
	for kind, jwk := range map[string]string{
		"RSA": `{"kty":"RSA","n":"` + strings.Repeat("0vx7agoebGcQ", 30) + `","e":"AQAB"}`,
		"EC":  `{"crv":"P-256","kty":"EC","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`,
		"OKP": `{ "kty" : "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`,
		"oct": `{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}`,
	} {
		quoted, err := json.Marshal(jwk)
		if err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{
			"as it stands": jwk, "in brackets": "[" + jwk + "]", "as a set": `{"keys":[` + jwk + `]}`, "as a string": string(quoted),
			"without its end": jwk[:len(jwk)-1], "without its quotes": strings.ReplaceAll(jwk, `"`, ""), "in single quotes": strings.ReplaceAll(jwk, `"`, "'"),
			"as PHP": strings.NewReplacer(`"`, "'", ":", "=>", "{", "[", "}", "]").Replace(jwk), "as a query": strings.NewReplacer(`"`, "", ":", "=", ",", "&", " ", "").Replace(jwk),
			"in base64": base64.StdEncoding.EncodeToString([]byte(jwk)), "in base64url": base64.RawURLEncoding.EncodeToString([]byte(jwk)),
			"in hex": hex.EncodeToString([]byte(jwk)), "in base64 twice": base64.StdEncoding.EncodeToString([]byte(base64.StdEncoding.EncodeToString([]byte(jwk)))),
		} {
			wantRefused(t, kind+", "+name, text)
		}
	}
}

func TestOtherFormsAreNoSecrets(t *testing.T) {
	modulus := strings.Repeat("0vx7agoebGcQ", 30)
	for name, text := range map[string]string{
		"a key in XML":                    "<RSAKeyValue><Modulus>" + modulus + "</Modulus><Exponent>AQAB</Exponent></RSAKeyValue>",
		"a JSON Web Key without its kind": `{"n":"` + modulus + `","e":"AQAB"}`,
		"a token":                         "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
		"a variable of a shell":           "${JWT_PUBLIC_KEY_OF_THE_ISSUER_IN_PEM}", "a command of a shell": "$(cat /run/secrets/jwt_public_key_of_the_app)",
		"a variable of Symfony": "%env(file:JWT_PUBLIC_KEY_OF_THE_ISSUER)%", "a URL without its scheme": "login.example.com/.well-known/jwks.json",
	} {
		wantRefused(t, name, text)
	}
}

func TestSSHKeysAreNoSecrets(t *testing.T) {
	for _, kind := range []string{"ssh-rsa", "ssh-dss", "ssh-ed25519", "ecdsa-sha2-nistp256", "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com", "ssh-rsa-cert-v01@openssh.com"} {
		blob := append(binary.BigEndian.AppendUint32(nil, uint32(len(kind))), kind...)
		blob = append(blob, make([]byte, 64)...)
		body := base64.StdEncoding.EncodeToString(blob)
		for name, text := range map[string]string{
			"as it stands": kind + " " + body + " someone@example.com", "with options": `restrict ` + kind + " " + body, "its body": body,
			"without a space": kind + body, "with another dash": strings.ReplaceAll(kind, "-", "_") + " " + body, "without its first letter": kind[1:] + " " + body,
			"in base64": base64.StdEncoding.EncodeToString([]byte(kind + " " + body)), "in hex": hex.EncodeToString(blob),
		} {
			wantRefused(t, kind+", "+name, text)
		}
	}
	wantRefused(t, "SSH2", "---- BEGIN SSH2 PUBLIC KEY ----\nComment: x\n"+strings.Repeat("x", 40)+"\n---- END SSH2 PUBLIC KEY ----")
}

func TestAddressesAreNoSecrets(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a-key-with-a-name-that-is-quite-long")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		file, "https://login.example.com/.well-known/jwks.json", "HTTP://login.example.com/keys/of/the/year", "file:/etc/keys/jwt-public-2026.der.txt",
		"vault://secret/data/jwt-signing-key-of-2026", "data:application/x-pem-file;base64,AAAAAAAAAAAA",
		"/etc/sse_push/keys/the-public-key-of-jwt.pem", `C:\ProgramData\Caddy\keys\jwt-2026.crt`, "keys/production/2026/jwt-rotation-2.pub",
	} {
		wantRefused(t, text, text)
	}
	if err := secret.CheckKey(file + "-that-is-not-there"); err != nil {
		t.Errorf("a path without a file: %v", err)
	}
}

// Random bytes pass in any encoding, whichever character comes first.
func TestRandomSecretsPass(t *testing.T) {
	t.Parallel()
	random := mathrand.NewChaCha8([32]byte{1})
	encodings := map[string]func([]byte) string{
		"hex": hex.EncodeToString, "base64": base64.StdEncoding.EncodeToString, "base64 without padding": base64.RawStdEncoding.EncodeToString,
		"base64url": base64.URLEncoding.EncodeToString, "base64url without padding": base64.RawURLEncoding.EncodeToString,
		"a slash first":      func(b []byte) string { return "/" + base64.StdEncoding.EncodeToString(b) },
		"a dash first":       func(b []byte) string { return "--" + base64.RawURLEncoding.EncodeToString(b) },
		"MII first":          func(b []byte) string { return "MII" + base64.RawURLEncoding.EncodeToString(b) },
		"base64 of hex":      func(b []byte) string { return base64.StdEncoding.EncodeToString([]byte(hex.EncodeToString(b))) },
		"a Laravel key":      func(b []byte) string { return "base64:" + base64.StdEncoding.EncodeToString(b) },
		"printable":          printable,
		"printable, a brace": func(b []byte) string { return "{" + printable(b) },
	}
	for range 50 {
		b := make([]byte, 32+random.Uint64()%34)
		if _, err := random.Read(b); err != nil {
			t.Fatal(err)
		}
		for name, encode := range encodings {
			if text := encode(b); secret.CheckKey(text) != nil {
				t.Errorf("%s: %q: %v", name, text, secret.CheckKey(text))
			}
		}
	}
	for _, text := range []string{
		"correct horse battery staple, and then some more", "the end of the public road is private at weekends",
		"weekend-private-beach-with-a-keyring-0001", "sse1.this-is-a-secret-of-an-app.no-more", strings.Repeat("0", 64),
	} {
		if err := secret.CheckKey(text); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// printable returns bytes as the characters that password generators use.
func printable(b []byte) string {
	out := make([]byte, len(b))
	for i, c := range b {
		out[i] = '!' + c%94
	}
	return string(out)
}

func TestLength(t *testing.T) {
	if err := secret.CheckKey(" " + strings.Repeat("s", 31) + "\n"); err == nil || !strings.Contains(err.Error(), "at least 32 bytes") {
		t.Errorf("31 bytes: got %v", err)
	}
	if err := secret.Check("short"); err != nil {
		t.Errorf("a short token: got %v", err)
	}
	if err := secret.Check(" \n"); err == nil {
		t.Error("an empty one passes")
	}
}

func TestMatch(t *testing.T) {
	secrets := []secret.Hash{secret.Sum("a"), secret.Sum("b"), secret.Sum("b")}
	for text, want := range map[string]int{"a": 0, "b": 2, "c": -1, "": -1} {
		if got := secret.Match(text, secrets); got != want {
			t.Errorf("%q: got %d, want %d", text, got, want)
		}
	}
}
