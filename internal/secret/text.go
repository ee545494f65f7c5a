package secret

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/sse-push/caddy-sse-push/internal/placeholder"
)

// CheckKeyText reports what is wrong with a secret, unless its placeholders are yet to be filled in. The error repeats nothing
// of it.
func CheckKeyText(s string) error {
	if placeholder.AtLoad.MatchString(s) {
		return nil
	}
	return CheckKey(s)
}

// CheckTokenText reports what is wrong with a token, unless its placeholders are yet to be filled in. The error repeats nothing
// of it.
func CheckTokenText(token string) error {
	if placeholder.AtLoad.MatchString(token) {
		return nil
	}
	return Check(token)
}

// Sums returns the hashes of the tokens of a route, whose placeholders have been filled in. The error repeats none of them.
func Sums(tokens []string) ([]Hash, error) {
	var sums []Hash
	for i, token := range tokens {
		token = strings.TrimSpace(token) // a secret read from a file often ends in a newline; a header could not carry it
		which := ""
		if len(tokens) > 1 {
			which = fmt.Sprintf(" (number %d of %d)", i+1, len(tokens))
		}
		switch err := Check(token); {
		case token == "":
			return nil, fmt.Errorf("token must not be empty%s", which)
		case err != nil:
			return nil, fmt.Errorf("token%s: %w", which, err)
		case strings.ContainsFunc(token, unicode.IsControl):
			return nil, fmt.Errorf("token must not hold control characters%s", which)
		}
		sums = append(sums, Sum(token))
	}
	return sums, nil
}
