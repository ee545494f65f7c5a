package secret

import (
	"bytes"
	"crypto/ecdh"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"os"
	"regexp"
	"slices"
	"strings"
)

// Resembles returns what text looks like if it does not look like a secret: a key, a certificate or a JSON Web Key, plain, in base64 or
// in hex, even damaged; a URL; the path of a file. It returns "" for anything else, such as random bytes in any encoding: no rule goes by
// a few characters that random text can contain by chance.
func Resembles(text string) string {
	text = strings.TrimSpace(text)
	switch {
	case address.MatchString(text):
		return "a URL"
	case isFile(text):
		return "the path of a file"
	case keyFileName.MatchString(text):
		return "the name of a key file"
	case token.MatchString(text):
		return "a JSON Web Token"
	case unfilled.MatchString(text):
		return "a variable that was not filled in"
	}
	return resembles([]byte(text), 3)
}

// resembles looks at b, and at what it decodes to, up to depth encodings deep.
func resembles(b []byte, depth int) string {
	if what := resemblesAsIs(b); what != "" || depth == 0 {
		return what
	}
	for _, decoded := range guesses(b) {
		if what := resembles(decoded, depth-1); what != "" {
			return what
		}
	}
	return ""
}

// Patterns of texts. Each needs more characters than random text matches by chance.
var (
	marker = regexp.MustCompile(`(?i)` + strings.Join([]string{
		`(?:BEGIN|END)[\W_]*(?:[A-Z0-9]+[\W_]+){0,2}(?:PUBLIC|PRIVATE)[\W_]*KEY`,
		`(?:BEGIN|END)[\W_]*(?:TRUSTED|X509|NEW)?[\W_]*CERTIFICATE`,
		`[-–—]{2}[\W_]*(?:[A-Z0-9]+[\W_]+){0,2}(?:PUBLIC|PRIVATE)[\W_]*KEY`,
		`(?:PUBLIC|PRIVATE)[\W_]*KEY[\W_]*[-–—]{2}`,
		`[-–—]{3}[\W_]*(?:BEGIN|END)\b`,
	}, "|"))
	sshName     = regexp.MustCompile(`(?i)\b(?:ssh[-_ ](?:rsa|dss|ed25519|ed448)|ecdsa[-_ ]sha2)`)
	sshBody     = regexp.MustCompile(`AAAA..(?:NzaC1|VjZHNhL|NrLXNza|NrLWVjZ)`) // a length, then ssh-, ecdsa-, sk-ssh- or sk-ecdsa-
	sshWire     = regexp.MustCompile(`^\x00\x00\x00.(?:sk-)?(?:ssh-|ecdsa-sha2-)`)
	jwkMember   = regexp.MustCompile(`(?:kty\\*["']?\s*(?::|(?:=>|=)\s*["']?(?:RSA|EC|OKP|oct)\b)|\be\\*["']?\s*(?:=>|[:=])\s*\\*["']?AQAB\b)`)
	xmlElement  = regexp.MustCompile(`(?i)<(?:\w+:)?(?:(?:RSA|DSA|EC)KeyValue|Modulus|X509Certificate)>`)
	address     = regexp.MustCompile(`^(?i:(?:file|data|https?|unix|vault):|[a-z][a-z0-9+.-]*://(?:[\w.@:-]*\.[a-z]|localhost|\[))\S|/\.well-known/|/jwks\.json$`)
	token       = regexp.MustCompile(`^eyJ[\w-]+\.eyJ[\w-]+\.[\w-]*$`)
	unfilled    = regexp.MustCompile(`^(?:\$\{[^{}]+\}|\$\([^()]+\)|%env\([^()]+\)%)$`)
	keyFileName = regexp.MustCompile(`(?i)^[\w./\\:~ -]*[/\\\w]\.(?:pem|pub|crt|cer|der|jwks?)$`)
)

func resemblesAsIs(b []byte) string {
	if len(b) > maxLooked {
		b = b[:maxLooked]
	}
	if block, _ := pem.Decode(b); block != nil {
		return "a " + strings.ToLower(block.Type) + " in PEM form"
	}
	switch {
	case marker.Match(b):
		return "a key or a certificate in PEM form with a damaged marker"
	case sshName.Match(b), sshBody.Match(b), sshWire.Match(b):
		return "an SSH key"
	case jwkMember.Match(b):
		return "a JSON Web Key"
	case xmlElement.Match(b):
		return "a key in XML"
	}
	return resemblesDER(b)
}

// identifiers are the object identifiers in keys and certificates, as DER or the beginning of it.
var identifiers = [][]byte{
	{0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01},         // PKCS
	{0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d},                     // elliptic curves
	{0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d},                     // P-256
	{0x06, 0x05, 0x2b, 0x81, 0x04, 0x00},                           // other curves of SECG
	{0x06, 0x09, 0x2b, 0x24, 0x03, 0x03, 0x02, 0x08},               // Brainpool
	{0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x38, 0x04},               // DSA
	{0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04},         // NIST
	{0x06, 0x03, 0x2b, 0x65, 0x6e}, {0x06, 0x03, 0x2b, 0x65, 0x6f}, // X25519, X448
	{0x06, 0x03, 0x2b, 0x65, 0x70}, {0x06, 0x03, 0x2b, 0x65, 0x71}, // Ed25519, Ed448
}

// exponent is the number 65537, which follows the modulus in almost every RSA key.
var exponent = []byte{0x02, 0x03, 0x01, 0x00, 0x01}

// pkcs1 matches the beginning of an RSA key without an identifier: a sequence of numbers, with the modulus first or after a version.
var pkcs1 = regexp.MustCompile(`(?s)^\x30(?:\x81.|\x82..)\x02(?:\x01\x00\x02)?(?:\x81.|\x82..)\x00`)

// resemblesDER returns what the DER in b is, whole or cut off.
func resemblesDER(b []byte) string {
	if isPoint(b) {
		return "a public key"
	}
	// These two also find keys that have lost their beginning.
	if bytes.Contains(b, exponent) {
		return "an RSA key"
	}
	if slices.ContainsFunc(identifiers, func(id []byte) bool { return bytes.Contains(b, id) }) {
		return "a key or a certificate"
	}
	if len(b) == 0 || b[0] != 0x30 { // a sequence, as all of them are
		return ""
	}
	if _, err := x509.ParseCertificate(b); err == nil {
		return "a certificate"
	}
	if _, err := x509.ParsePKCS8PrivateKey(b); err == nil {
		return "a private key"
	}
	if _, err := x509.ParsePKIXPublicKey(b); err == nil || isPublicKeyInfo(b) {
		return "a public key"
	}
	if pkcs1.Match(latin1(b[:min(len(b), 16)])) {
		return "an RSA key"
	}
	return ""
}

// latin1 returns bytes as the characters with the same numbers in UTF-8, which regexp reads.
func latin1(b []byte) []byte {
	runes := make([]rune, len(b))
	for i, c := range b {
		runes[i] = rune(c)
	}
	return []byte(string(runes))
}

// isPublicKeyInfo reports whether b is a public key of any algorithm (RFC 5280, SubjectPublicKeyInfo).
func isPublicKeyInfo(b []byte) bool {
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	rest, err := asn1.Unmarshal(b, &info)
	return err == nil && len(rest) == 0
}

// isPoint reports whether b is an uncompressed point of a curve. A compressed one looks like random bytes.
func isPoint(b []byte) bool {
	for _, curve := range []ecdh.Curve{ecdh.P256(), ecdh.P384(), ecdh.P521()} {
		if _, err := curve.NewPublicKey(b); err == nil {
			return true
		}
	}
	return false
}

func isFile(text string) bool {
	info, err := os.Stat(text)
	return err == nil && !info.IsDir()
}
