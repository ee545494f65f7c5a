package secret

import (
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
