package identity

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"

	"github.com/sse-push/caddy-sse-push/internal/secret"
)

const (
	minRSA = 2048
	maxRSA = 8192 // each bit costs time here, and nothing to the publisher of a key set
)

// algorithms maps each known algorithm to the kind of key that it signs with. `none` is not among them.
var algorithms = map[string]string{
	"HS256": "a secret", "HS384": "a secret", "HS512": "a secret",
	"RS256": "an RSA key", "RS384": "an RSA key", "RS512": "an RSA key",
	"PS256": "an RSA key", "PS384": "an RSA key", "PS512": "an RSA key",
	"ES256": "a P-256 key", "ES384": "a P-384 key", "ES512": "a P-521 key",
	"EdDSA": "an Ed25519 key",
}

// kindOf returns the kind of a key, in the words of algorithms; "" if it cannot be used. A public key is never a secret, so no
// token can be signed by HMAC with what everybody knows.
func kindOf(key any) string {
	switch k := key.(type) {
	case []byte:
		return "a secret"
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits >= minRSA && bits <= maxRSA {
			return "an RSA key"
		}
	case *ecdsa.PublicKey:
		return "a " + k.Curve.Params().Name + " key"
	case ed25519.PublicKey:
		return "an Ed25519 key"
	}
	return ""
}

// namedKeys holds the keys and secrets of a config. keySet holds those of a URL.
type namedKeys []namedKey

type namedKey struct {
	key  any
	name string // vouches for the grants of tokens that the key signed
}

// has reports whether a key has a name.
func (keys namedKeys) has(name string) bool {
	return slices.ContainsFunc(keys, func(k namedKey) bool { return k.name == name })
}

// choose returns the key that has signed a token, and its name. If none has, it returns any of the right kind, and the check
// of the signature fails. signed is the text of the token before the signature.
func (keys namedKeys) choose(token *jwt.Token, signed string) (key any, name string) {
	for _, k := range keys {
		if kindOf(k.key) != algorithms[token.Method.Alg()] {
			continue
		}
		if key, name = k.key, k.name; token.Method.Verify(signed, token.Signature, key) == nil {
			break
		}
	}
	return key, name
}

// readKey reads a public key or a certificate: PEM, DER or a JSON Web Key, as it is or in base64 or hex. The error says what
// the text looks like, and repeats nothing of it.
func readKey(text string) (crypto.PublicKey, error) {
	forms := [][]byte{[]byte(text), []byte(strings.ReplaceAll(text, `\n`, "\n"))} // as in .env files
	for _, form := range append(forms, secret.Decodings(text)...) {
		key, err := parseKey(form)
		if err != nil {
			return nil, err
		}
		if key == nil {
			continue
		}
		if !slices.Contains(publicKinds, kindOf(key)) {
			return nil, fmt.Errorf("must be an RSA key of %d to %d bits, or one of P-256, P-384, P-521 or Ed25519", minRSA, maxRSA)
		}
		return key, nil
	}
	if what := secret.Resembles(text); what != "" {
		return nil, fmt.Errorf("looks like %s, but cannot be read as a public key: give one key or certificate, as PEM, DER or a JSON Web Key, "+
			"either plain or in base64 or hex", what)
	}
	return nil, ErrNotPublicKey
}

// ErrNotPublicKey: a text is no key at all, and may be a secret.
var ErrNotPublicKey = errors.New("is not a public key; if it is a secret that is shared with the issuer, write: secret <value>")

// publicKinds are the kinds of public keys.
var publicKinds = []string{"an RSA key", "a P-256 key", "a P-384 key", "a P-521 key", "an Ed25519 key"}

// parseKey returns the key in b; nil if it is none.
func parseKey(b []byte) (crypto.PublicKey, error) {
	text := bytes.TrimSpace(b)
	if block, rest := pem.Decode(text); block != nil && bytes.HasPrefix(text, []byte("-----BEGIN")) {
		if len(bytes.TrimSpace(rest)) > 0 {
			return nil, errors.New("must be one key in PEM form, with nothing after it")
		}
		return parsePEM(block)
	}
	if bytes.HasPrefix(text, []byte("{")) {
		return parseJWK(text)
	}
	return parseDER(b), nil // not of text: DER may end in a byte that looks like white space
}

// parsePEM returns the key of a PEM block.
func parsePEM(block *pem.Block) (crypto.PublicKey, error) {
	kind := strings.ToLower(block.Type)
	if !slices.Contains([]string{"PUBLIC KEY", "RSA PUBLIC KEY", "CERTIFICATE"}, block.Type) {
		return nil, fmt.Errorf("is a %s: give the public key or its certificate", kind)
	}
	key := parseDER(block.Bytes)
	if key == nil {
		return nil, fmt.Errorf("cannot be read as a %s", kind)
	}
	return key, nil
}

// parseDER returns the key in der; nil if it holds none.
func parseDER(der []byte) crypto.PublicKey {
	if key, err := x509.ParsePKIXPublicKey(der); err == nil {
		return key
	}
	if key, err := x509.ParsePKCS1PublicKey(der); err == nil {
		return key
	}
	if cert, err := x509.ParseCertificate(der); err == nil {
		return cert.PublicKey
	}
	return nil
}

// parseJWK returns the key of a JSON Web Key (RFC 7517); nil if b is none.
func parseJWK(b []byte) (crypto.PublicKey, error) {
	var m jwkset.JWKMarshal
	if json.Unmarshal(b, &m) != nil {
		return nil, nil
	}
	switch {
	case m.KTY == jwkset.KtyOct:
		return nil, errors.New("is a JSON Web Key that holds a shared secret: write: secret <value>")
	case m.D != "":
		return nil, errors.New("is a JSON Web Key that holds a private key: give the public key")
	}
	m.X5U, m.X5C, m.X5T, m.X5TS256 = "", nil, "", ""
	jwk, err := jwkset.NewJWKFromMarshal(m, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
	if err != nil {
		return nil, nil
	}
	return jwk.Key(), nil
}
