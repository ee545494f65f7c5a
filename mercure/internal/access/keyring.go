package access

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/sse-push/caddy-sse-push/internal/identity"
	"github.com/sse-push/caddy-sse-push/internal/matcher"
)

// Settings are the settings of a Keyring. They must have passed their checks.
type Settings struct {
	Publisher, Subscriber *Key // of version 0.x
	Issuers               []Issuer
	Audience              string // of tokens of version 1.0
	Base                  *matcher.Base
	Payloads              bool // whether grants have payloads
}

// Keyring verifies tokens.
type Keyring struct {
	legacy   keys            // of 0.x
	issuers  map[string]keys // of 1.0, by iss
	base     *matcher.Base
	payloads bool
}

// keys are those of one issuer, by what its tokens are for; nil: no token is accepted.
type keys [2]*identity.Tokens

// NewKeyring reads the keys.
func NewKeyring(s Settings, log *zap.Logger) (*Keyring, error) {
	r := &Keyring{issuers: map[string]keys{}, base: s.Base, payloads: s.Payloads}
	var err error
	// Tokens of 0.x may lack all claims but their own.
	if r.legacy, err = newKeys("", "_jwks_url", s.Publisher, s.Subscriber, identity.JWT{AllowNoExpiry: true}, log); err != nil {
		return nil, err
	}
	for _, i := range s.Issuers {
		rules := identity.JWT{Issuers: []string{i.Issuer}, Audiences: []string{s.Audience}}
		if r.issuers[i.Issuer], err = newKeys("issuer "+i.Issuer+" ", "", i.Publisher, i.Subscriber, rules, log); err != nil {
			return nil, fmt.Errorf("issuer %s: %w", i.Issuer, err)
		}
	}
	return r, nil
}

// newKeys returns the keys of two options, whose names have publisher and subscriber between before and after.
func newKeys(before, after string, publisher, subscriber *Key, rules identity.JWT, log *zap.Logger) (k keys, err error) {
	if k[ToPublish], err = publisher.tokens(before+"publisher"+after, rules, log); err != nil {
		return k, fmt.Errorf("the publisher's key: %w", err)
	}
	if k[ToSubscribe], err = subscriber.tokens(before+"subscriber"+after, rules, log); err != nil {
		return k, fmt.Errorf("the subscriber's key: %w", err)
	}
	return k, nil
}

// Speaks reports whether there are keys for a version.
func (r *Keyring) Speaks(v Version) bool {
	if v == V0 {
		return r.legacy != keys{}
	}
	return len(r.issuers) > 0
}

// Newest returns the version in which a request of none is answered.
func (r *Keyring) Newest() Version {
	if r.Speaks(V1) {
		return V1
	}
	return V0
}

// VersionOf returns the version that a token claims. A token of a version without keys, or one that cannot be read, is
// refused in the newest version.
func (r *Keyring) VersionOf(token string) Version {
	c, err := readClaimed(token)
	if err != nil || !r.Speaks(c.version) {
		return r.Newest()
	}
	return c.version
}

// Verify returns what a token of a version grants, if it is valid for a use. The error says the cause, for the log.
func (r *Keyring) Verify(ctx context.Context, v Version, u Use, token string) (*Grant, error) {
	c, err := readClaimed(token)
	switch {
	case err != nil:
		return nil, err
	case c.version != v:
		return nil, errors.New("of the other version of the protocol (typ)")
	}
	k := r.legacy
	if v == V1 {
		var known bool
		if k, known = r.issuers[c.issuer]; !known {
			return nil, errors.New("of an issuer that is not trusted (iss)")
		}
	}
	if k[u] == nil {
		return nil, errors.New("there is no key for its use")
	}
	claims, err := k[u].Verify(ctx, token)
	if err != nil {
		return nil, err
	}
	o, err := readObject(claims.JSON)
	if err != nil {
		return nil, err
	}
	g, err := r.readGrant(v, o)
	if err != nil {
		return nil, err
	}
	g.proof = claims.Grant
	return g, nil
}

// Vouches reports whether a subscriber's token, perhaps of an earlier config, would still be accepted.
func (r *Keyring) Vouches(g *identity.Grant) bool {
	if t := r.legacy[ToSubscribe]; t != nil && t.Vouches(g) {
		return true
	}
	for _, k := range r.issuers {
		if t := k[ToSubscribe]; t != nil && t.Vouches(g) {
			return true
		}
	}
	return false
}
