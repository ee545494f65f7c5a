// Package secret has what all secrets of a config share: how long they must be, what cannot be a secret, how they are compared, and how a
// log names them.
package secret

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// MinLength is how many bytes a signing secret must have. Anyone with something signed by it can try any number of secrets a second.
const MinLength = 32

// CheckKey returns an error if text cannot be a signing secret. The error repeats nothing of the text.
func CheckKey(text string) error {
	text = strings.TrimSpace(text)
	if len(text) < MinLength {
		return fmt.Errorf("must be at least %d bytes long, so that it cannot be guessed; has %d (make one: openssl rand -hex 32)", MinLength, len(text))
	}
	return Check(text)
}

// Check returns an error if text cannot be a secret of any kind. The error repeats nothing of the text.
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

// Fingerprint returns a name for a key that does not reveal the key.
func Fingerprint(key []byte) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:16])
}

// Hash is a secret as it is kept for comparison. All hashes have the same length.
type Hash [sha256.Size]byte

// Sum returns the hash of a secret.
func Sum(text string) Hash { return sha256.Sum256([]byte(text)) }

// Match returns the index of the secret that equals text, or -1. The time that it takes does not depend on which one matches, if any.
func Match(text string, secrets []Hash) int {
	sum, match := Sum(text), -1
	for i := range secrets {
		match = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(sum[:], secrets[i][:]), i, match)
	}
	return match
}

// Equal reports whether two signatures are equal, in a time that depends only on their length.
func Equal(a, b []byte) bool { return subtle.ConstantTimeCompare(a, b) == 1 }
