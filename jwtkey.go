package ssepush

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
)

const (
	minRSA = 2048
	maxRSA = 8192 // each bit costs time, and who makes the key set does not pay for it
)

// algorithms are those that there are, with what they sign by. `none` is not among them.
var algorithms = map[string]string{
	"HS256": "a secret", "HS384": "a secret", "HS512": "a secret",
	"RS256": "an RSA key", "RS384": "an RSA key", "RS512": "an RSA key",
	"PS256": "an RSA key", "PS384": "an RSA key", "PS512": "an RSA key",
	"ES256": "a P-256 key", "ES384": "a P-384 key", "ES512": "a P-521 key",
	"EdDSA": "an Ed25519 key",
}

// kindOf says which algorithms go with a key: those with the same words in the table. A public key is never a secret,
// so no token can be signed by HMAC with what everybody knows.
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

// readKey reads a public key, a certificate or a secret. It says nothing of what is in it.
func readKey(text string) (any, error) {
	if !strings.Contains(text, "-----BEGIN") {
		if strings.HasPrefix(text, "ssh-") || strings.HasPrefix(text, "{") || strings.HasPrefix(text, "MI") && len(text) > 60 {
			return nil, errors.New("looks like a key, but is not in PEM form (-----BEGIN PUBLIC KEY-----)")
		}
		return []byte(text), checkSecret(text)
	}
	text = strings.ReplaceAll(text, `\n`, "\n") // as it stands in many an .env file
	block, rest := pem.Decode([]byte(text))
	if block == nil || strings.TrimSpace(string(rest)) != "" {
		return nil, errors.New("must be one key in PEM form, with nothing behind it")
	}
	key, err := parsePEM(block)
	if err != nil {
		return nil, err
	}
	if kind := kindOf(key); !slices.Contains([]string{"an RSA key", "a P-256 key", "a P-384 key", "a P-521 key", "an Ed25519 key"}, kind) {
		return nil, fmt.Errorf("must be an RSA key of %d to %d bits, or one of P-256, P-384, P-521 or Ed25519", minRSA, maxRSA)
	}
	return key, nil
}

func parsePEM(block *pem.Block) (key crypto.PublicKey, err error) {
	switch block.Type {
	case "PUBLIC KEY":
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		key, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		var cert *x509.Certificate
		if cert, err = x509.ParseCertificate(block.Bytes); err == nil {
			key = cert.PublicKey
		}
	default:
		return nil, fmt.Errorf("is a %s: give the public key or its certificate", strings.ToLower(block.Type))
	}
	if err != nil {
		return nil, fmt.Errorf("cannot be read as a %s", strings.ToLower(block.Type))
	}
	return key, nil
}
