// Package secret holds what all secrets of a config have in common: how long they must be, what cannot be one, and how
// they are compared and named.
package secret

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// MinLength is how many bytes a secret that signs must have: whoever holds something signed with it can try as many
// secrets a second as they like.
const MinLength = 32

// CheckKey reports why text cannot be a secret that signs. The error repeats nothing of it.
func CheckKey(text string) error {
	text = strings.TrimSpace(text)
	if len(text) < MinLength {
		return fmt.Errorf("must be at least %d bytes long, so that it cannot be guessed; has %d (make one: openssl rand -hex 32)", MinLength, len(text))
	}
	return Check(text)
}

// Check reports why text cannot be a secret of any kind. The error repeats nothing of it.
func Check(text string) error {
	text = strings.TrimSpace(text)
	if text == "" {
		return errors.New("a secret must not be empty")
	}
	if what := Resembles(text); what != "" {
		return fmt.Errorf("looks like %s, which is not a secret: others may know it (make one: openssl rand -hex 32)", what)
	}
	return nil
}

// Fingerprint returns a name for a key that does not give it away.
func Fingerprint(key []byte) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:16])
}

// Hash is a secret in the form in which it is kept for comparison: all hashes are equally long.
type Hash [sha256.Size]byte

// Sum returns the hash of a secret.
func Sum(text string) Hash { return sha256.Sum256([]byte(text)) }

// Match returns the index of the secret that text is, or -1. It takes as long whether or not, and whichever, one fits.
func Match(text string, secrets []Hash) int {
	sum, match := Sum(text), -1
	for i := range secrets {
		match = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(sum[:], secrets[i][:]), i, match)
	}
	return match
}

// Equal reports whether two signatures are the same, in a time that depends only on their length.
func Equal(a, b []byte) bool { return subtle.ConstantTimeCompare(a, b) == 1 }
