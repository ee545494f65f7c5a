package identity

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"

	"github.com/sse-push/caddy-sse-push/internal/jsontext"
)

// read checks a token.
func (v *jwtVerifier) read(ctx context.Context, text string) (*Grant, error) {
	if len(text) > maxToken {
		return nil, invalid("too long")
	}
	g, claims, tried, err := v.parse(ctx, text)
	// A token that names no key may be signed with one that the set is yet to bring: by a fetch that is under way, or the next.
	for range 2 {
		if tried == nil || !errors.Is(err, jwt.ErrTokenSignatureInvalid) && !errors.Is(err, errOtherAlgorithm) {
			break
		}
		if missed := v.set.missed(ctx, text, tried); missed != nil {
			if isTemporary(missed) {
				return nil, missed
			}
			break
		}
		g, claims, tried, err = v.parse(ctx, text)
	}
	if err != nil {
		return nil, v.refusal(err, claims)
	}
	if err := checkTokenText(text); err != nil {
		return nil, err
	}
	if issuer, err := claims.GetIssuer(); len(v.issuers) > 0 && (err != nil || !slices.Contains(v.issuers, issuer)) {
		return nil, invalid("issued by someone else (iss)")
	}
	return g, v.fill(g, claims)
}

// checkTokenText refuses a token whose text the library has changed in reading it. The library has taken it apart before.
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

// parse checks a token's signature and times. tried is the key set whose keys were tried, or nil where the token names its key.
func (v *jwtVerifier) parse(ctx context.Context, text string) (g *Grant, claims jwt.MapClaims, tried *fetchedKeys, err error) {
	claims, g = jwt.MapClaims{}, &Grant{}
	_, err = v.parser.ParseWithClaims(text, claims, func(token *jwt.Token) (key any, err error) {
		if _, ok := token.Header["crit"]; ok { // RFC 7515: what is critical and not known makes a token invalid
			return nil, invalid("needs an extension (crit)")
		}
		if v.set != nil {
			g.by = v.setName()
			key, keys, err := v.set.key(ctx, token)
			if _, named := token.Header["kid"].(string); !named {
				tried = keys
			}
			return key, err
		}
		key, g.by = v.choose(token, text[:strings.LastIndexByte(text, '.')])
		return key, nil
	})
	return g, claims, tried, err
}

// choose finds the key that a token was signed with, or else any: it comes to be known as the wrong one.
func (v *jwtVerifier) choose(token *jwt.Token, signed string) (key any, name string) {
	for _, k := range v.keys {
		if kindOf(k.key) != algorithms[token.Method.Alg()] {
			continue
		}
		if key, name = k.key, k.name; token.Method.Verify(signed, token.Signature, key) == nil {
			break
		}
	}
	return key, name
}
