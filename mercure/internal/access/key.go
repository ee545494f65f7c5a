package access

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"unicode"

	"go.uber.org/zap"

	"github.com/sse-push/caddy-sse-push/internal/identity"
	"github.com/sse-push/caddy-sse-push/internal/placeholder"
	"github.com/sse-push/caddy-sse-push/internal/secret"
)

// Key signs tokens. It is a secret, a public key, or the URL of a set of public keys.
type Key struct {
	// A secret that is shared with the app, if the algorithm is HS256, HS384 or HS512, of at least 32, 48 or 64 bytes. For the other
	// algorithms, a public key or a certificate: PEM, DER or a JSON Web Key, as it is or in base64 or hex. Required unless `jwks_uri` is
	// given. Default: none.
	Key string `json:"key,omitempty" placeholders:"key"`

	// The URL of a key set (RFC 7517) of public keys, in place of a key. Default: none.
	JWKSURI string `json:"jwks_uri,omitempty"`

	// The algorithm that signs with the key; for a key set, one or more. Default: HS256 for a key, all except HMAC for a key set.
	Algorithms []string `json:"algorithms,omitempty" placeholders:"none"`
}

// secretLengths are how many bytes a secret must have, by algorithm (RFC 7518).
var secretLengths = map[string]int{"HS256": 32, "HS384": 48, "HS512": 64}

// Check reports what is wrong with the key. The error repeats nothing of it.
func (k *Key) Check() error {
	switch {
	case k.Key == "" && k.JWKSURI == "":
		return errors.New("the key is missing")
	case k.Key != "" && k.JWKSURI != "":
		return errors.New("jwks_uri: cannot be combined with a key")
	case k.Key != "" && len(k.Algorithms) > 1:
		return errors.New("a key has one algorithm")
	}
	if err := identity.CheckAlgorithms(k.Algorithms); err != nil {
		return err
	}
	if k.Key != "" && !placeholder.AtLoad.MatchString(k.Key) {
		if err := k.checkText(); err != nil {
			return err
		}
	}
	settings := k.settings()
	return settings.Check()
}

func (k *Key) checkText() error {
	algorithm := k.algorithm()
	least := secretLengths[algorithm]
	if least == 0 {
		err := identity.CheckPublicKey(k.Key)
		if errors.Is(err, identity.ErrNotPublicKey) { // whose advice is an option of user jwt
			return fmt.Errorf("is not a public key, as %s needs; if it is a secret, leave the algorithm out, or give HS256, HS384 or HS512", algorithm)
		}
		return err
	}
	if err := placeholder.Load.Check(k.Key); err != nil { // only keys have braces
		return err
	}
	text := strings.TrimSpace(k.Key)
	if isPublished(text) {
		return errors.New("is a default that everybody knows: anyone could sign tokens with it (make a secret: openssl rand -hex 32)")
	}
	if what := secret.Resembles(text); what != "" {
		return fmt.Errorf("looks like %s, which is no secret for %s; for a public key, name its algorithm after it, such as RS256", what, algorithm)
	}
	if len(text) < least {
		return fmt.Errorf("must be at least %d bytes long for %s, so that it cannot be guessed; has %d (make one: openssl rand -hex 32)",
			least, algorithm, len(text))
	}
	return nil
}

// algorithm returns the algorithm of the key.
func (k *Key) algorithm() string {
	return cmp.Or(strings.Join(k.Algorithms, " "), "HS256")
}

// isPublished reports whether a secret is one of those that Mercure's documentation, its images and apps made from templates come with,
// such as !ChangeThisMercureHubJWTSecretKey!.
func isPublished(text string) bool {
	letters := strings.Map(func(r rune) rune {
		if !unicode.IsLetter(r) {
			return -1
		}
		return unicode.ToLower(r)
	}, text)
	return strings.Contains(letters, "changeme") || strings.Contains(letters, "changethis") || letters == "averysecretkey"
}

// settings returns the key as settings of tokens that it signs.
func (k *Key) settings() identity.JWT {
	switch {
	case k.JWKSURI != "":
		return identity.JWT{JWKS: k.JWKSURI, Algorithms: k.Algorithms}
	case secretLengths[k.algorithm()] > 0:
		return identity.JWT{Secrets: []string{k.Key}, Algorithms: []string{k.algorithm()}}
	}
	return identity.JWT{Keys: []string{k.Key}, Algorithms: []string{k.algorithm()}}
}

// tokens returns what verifies tokens that the key of an option signs and that meet rules; nil without a key.
func (k *Key) tokens(option string, rules identity.JWT, log *zap.Logger) (*identity.Tokens, error) {
	if k == nil {
		return nil, nil
	}
	settings := k.settings()
	settings.Issuers, settings.Audiences, settings.AllowNoExpiry = rules.Issuers, rules.Audiences, rules.AllowNoExpiry
	return identity.NewTokens("mercure "+option, &settings, log)
}
