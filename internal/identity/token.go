package identity

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/sse-push/caddy-sse-push/internal/jsontext"
)

// read checks a token and returns its grant.
func (v *jwtVerifier) read(ctx context.Context, text string) (*Grant, error) {
	g, claims, err := v.verified(ctx, text)
	if err != nil {
		return nil, err
	}
	return g, v.fill(g, claims)
}

// verified checks a token, and returns a grant that says only what vouches for it.
func (v *jwtVerifier) verified(ctx context.Context, text string) (*Grant, jwt.MapClaims, error) {
	if len(text) > maxToken {
		return nil, nil, invalid("too long")
	}
	g, claims, tried, err := v.parse(ctx, text)
	// A token that names no key may be signed with one that only a newer set has: that of a fetch under way, or of the next one.
	for range 2 {
		if tried == nil || !errors.Is(err, jwt.ErrTokenSignatureInvalid) && !errors.Is(err, errOtherAlgorithm) {
			break
		}
		if missed := v.set.missed(ctx, text, tried); missed != nil {
			if isTemporary(missed) {
				return nil, nil, missed
			}
			break
		}
		g, claims, tried, err = v.parse(ctx, text)
	}
	if err != nil {
		return nil, nil, v.refusal(err, claims)
	}
	if err := checkTokenText(text); err != nil {
		return nil, nil, err
	}
	if issuer, err := claims.GetIssuer(); len(v.issuers) > 0 && (err != nil || !slices.Contains(v.issuers, issuer)) {
		return nil, nil, invalid("issued by someone else (iss)")
	}
	return g, claims, nil
}

// checkTokenText refuses a token whose text the library changes as it decodes it. The token must have passed the library.
func checkTokenText(text string) error {
	for part := range strings.SplitSeq(text[:strings.LastIndexByte(text, '.')], ".") {
		plain, err := base64.RawURLEncoding.DecodeString(part)
		if err == nil {
			err = jsontext.CheckText(plain)
		}
		if err != nil {
			return invalid("its text is not valid UTF-8, or holds half of a surrogate pair")
		}
	}
	return nil
}

// parse checks a token's signature and times. tried is the key set whose keys were tried, or nil if the token names its key.
func (v *jwtVerifier) parse(ctx context.Context, text string) (g *Grant, claims jwt.MapClaims, tried *fetchedKeys, err error) {
	claims, g = jwt.MapClaims{}, &Grant{}
	_, err = v.parser.ParseWithClaims(text, claims, func(token *jwt.Token) (key any, err error) {
		if _, ok := token.Header["crit"]; ok { // RFC 7515: an extension that is critical and unknown makes a token invalid
			return nil, invalid("needs an extension (crit)")
		}
		if v.set != nil {
			g.by = v.setName()
			key, keys, err := v.set.choose(ctx, token)
			if _, named := token.Header["kid"].(string); !named {
				tried = keys
			}
			return key, err
		}
		key, g.by = v.keys.choose(token, text[:strings.LastIndexByte(text, '.')])
		return key, nil
	})
	return g, claims, tried, err
}

// expiry returns when a token expires; the zero time if it does not.
func expiry(claims jwt.MapClaims) (time.Time, error) {
	exp, err := claims.GetExpirationTime()
	switch {
	case err != nil || exp != nil && (exp.Unix() <= 0 || exp.Unix() > maxTime):
		return time.Time{}, invalid("exp is not a time in seconds since 1970")
	case exp == nil:
		return time.Time{}, nil
	}
	return exp.Time, nil
}

// fill reads the claims of a valid token into its grant.
func (v *jwtVerifier) fill(g *Grant, claims jwt.MapClaims) error {
	exp, err := expiry(claims)
	if err != nil {
		return err
	}
	if !exp.IsZero() {
		g.Expires = exp.Add(v.leeway)
	}
	raw, err := json.Marshal(claims[v.user])
	if err != nil {
		return invalid("cannot be read")
	}
	if g.User, err = userName(raw); err != nil {
		return invalid("the claim " + v.user + " " + err.Error())
	}
	if v.topics == "" {
		return nil
	}
	switch list := claims[v.topics].(type) {
	case nil:
	case string:
		g.Topics = []string{list}
	case []any:
		for _, t := range list {
			topic, ok := t.(string)
			if !ok {
				return invalid("the claim " + v.topics + " is not a list of strings")
			}
			g.Topics = append(g.Topics, topic)
		}
	default:
		return invalid("the claim " + v.topics + " is not a list of strings")
	}
	if err := CheckTopics(g.Topics); err != nil {
		return invalid("in the claim " + v.topics + ", " + err.Error())
	}
	return nil
}

// refusal describes in its own words what the library found: the library's messages repeat parts of the token.
func (v *jwtVerifier) refusal(err error, claims jwt.MapClaims) error {
	var own *refusal
	switch {
	case errors.As(err, &own):
		return own
	case errors.Is(err, jwt.ErrTokenExpired):
		exp, _ := claims.GetExpirationTime()
		return expired(time.Since(exp.Time))
	case errors.Is(err, jwt.ErrTokenNotValidYet):
		return invalid("not valid yet (nbf)")
	case errors.Is(err, jwt.ErrTokenInvalidAudience):
		return invalid("for someone else (aud)")
	case errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
		return invalid("without exp or aud")
	case errors.Is(err, jwt.ErrTokenSignatureInvalid), errors.Is(err, jwt.ErrInvalidKeyType):
		return invalid("signed with none of the keys, or by an algorithm that is not allowed")
	case errors.Is(err, jwt.ErrTokenInvalidClaims):
		return invalid("a claim has the wrong type or value")
	}
	return invalid("malformed")
}
