package identity

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/sse-push/caddy-sse-push/internal/problem"
)

// Tokens verifies JSON Web Tokens whose claims say more than who a user is. It may be used by several goroutines at once.
type Tokens struct{ v *jwtVerifier }

// NewTokens returns a verifier for tokens that meet the settings of an option, which must have passed their check.
func NewTokens(option string, j *JWT, log *zap.Logger) (*Tokens, error) {
	v, err := newJWTVerifier(option, j, log)
	return &Tokens{v}, err
}

// Claims is what a valid token says.
type Claims struct {
	JSON  []byte // the claims as they stand in the token
	Grant *Grant // of no user. It expires at exp, without leeway.
}

// Verify returns the claims of a token. The error tells a log the cause, and repeats nothing of the token.
func (t *Tokens) Verify(ctx context.Context, text string) (*Claims, error) {
	g, claims, err := t.v.verified(ctx, text)
	if err != nil {
		return nil, err
	}
	if g.Expires, err = expiry(claims); err != nil {
		return nil, err
	}
	// The leeway is for a clock that is ahead of this one: a token is often used in the second of its nbf.
	if !g.Expires.IsZero() && !time.Now().Before(g.Expires) {
		return nil, expired(time.Since(g.Expires))
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(text, ".")[1])
	if err != nil { // the library has decoded it
		return nil, invalid("malformed")
	}
	return &Claims{JSON: payload, Grant: g}, nil
}

// Vouches reports whether the token behind a grant, perhaps of an earlier config, would still be accepted: with the same key, under the
// same rules.
func (t *Tokens) Vouches(g *Grant) bool { return t.v.vouches(g.by) }

// Temporary returns the answer to an error of Verify that is not the token's fault: the keys cannot be had just now. For all others it
// returns nil.
func Temporary(err error) *problem.Problem {
	var e *refusal
	if !errors.As(err, &e) || e.status != 0 {
		return nil
	}
	return tryAgain(e)
}

// tryAgain returns the answer to a client that may come again.
func tryAgain(e *refusal) *problem.Problem {
	p := problem.RetryLater(http.StatusServiceUnavailable, e.again, "no stream just now (%s)", e.public)
	p.Again = e.public
	return p
}
