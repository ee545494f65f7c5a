package access

import (
	"encoding/base64"
	"strings"
)

// claimed is what a token says of itself. None of it is to be trusted before the token is verified: it only says by which keys.
type claimed struct {
	version Version
	issuer  string // of 1.0
}

// readClaimed reads a token without verifying it.
func readClaimed(token string) (c claimed, err error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return c, errUnreadable
	}
	header, err := readPart(parts[0])
	if err != nil {
		return c, err
	}
	if kind, _ := header["typ"].text(); isAccessToken(kind) {
		c.version = V1
	}
	claims, err := readPart(parts[1])
	if err != nil {
		return c, err
	}
	c.issuer, _ = claims["iss"].text()
	return c, nil
}

func readPart(part string) (object, error) {
	text, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return nil, errUnreadable
	}
	return readObject(text)
}

// isAccessToken reports whether a token's typ is that of version 1.0 (RFC 9068). The prefix of media types may be left out.
func isAccessToken(kind string) bool {
	const prefix = "application/"
	if len(kind) > len(prefix) && strings.EqualFold(kind[:len(prefix)], prefix) {
		kind = kind[len(prefix):]
	}
	return strings.EqualFold(kind, "at+jwt")
}
