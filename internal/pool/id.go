package pool

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/sse-push/caddy-sse-push/internal/rules"
)

// If a client gives itself a name (`?client=`), its connection has the same id each time that it reconnects: 12 bytes that
// stand for user and client, and 16 that prove which user the connection belongs to, so that any node with the key can tell
// without having seen the connection. Both are cut from an HMAC-SHA256 that covers hub, route and user as well.
const (
	clientBytes = 12
	ownerBytes  = 16

	minClient = 16
	maxClient = 64
)

// CheckClient reports what is wrong with the name that a client gives itself. It must not be short, so that it cannot be
// guessed.
func CheckClient(values []string) error {
	if len(values) != 1 {
		return errors.New("is given more than once")
	}
	if n := len(values[0]); n < minClient || n > maxClient {
		return fmt.Errorf("must be %d to %d characters of a random name, got %d", minClient, maxClient, n)
	}
	if rules.CheckConnection(values[0]) != nil {
		return errors.New("may hold letters, digits, _ and - only")
	}
	return nil
}

// connectionID returns the id of the connection of a client that has given itself a name.
func (p *Hub) connectionID(route, user, client string) string {
	part := p.mac("client", route, user, client)[:clientBytes]
	return base64.RawURLEncoding.EncodeToString(append(part, p.owner(route, user, part)...))
}

// Owns reports whether a connection belongs to a user and came by the route with a path. A connection that is not open on this
// node may be open on another one, if the nodes share the log: then its id decides.
func (p *Hub) Owns(id, route, user string) bool {
	c := p.Open(id)
	if c == nil {
		return p.Shared() && p.owns(id, route, user)
	}
	a, ok := c.Attached.(*Arrival)
	return ok && a.Path == route && c.User == user
}

// owns reports whether an id was made for a client of a user on a route.
func (p *Hub) owns(id, route, user string) bool {
	b, err := base64.RawURLEncoding.Strict().DecodeString(id)
	return err == nil && len(b) == clientBytes+ownerBytes && hmac.Equal(b[clientBytes:], p.owner(route, user, b[:clientBytes]))
}

// owner returns the part of an id that proves which user it belongs to.
func (p *Hub) owner(route, user string, part []byte) []byte {
	return p.mac("owner", route, user, string(part))[:ownerBytes]
}

// mac returns an HMAC of the texts and the hub's name. It covers the length of each, so that no text can pass for two.
func (p *Hub) mac(texts ...string) []byte {
	h := hmac.New(sha256.New, p.idKey())
	for _, text := range append(texts, p.Name) {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(text))))
		h.Write([]byte(text))
	}
	return h.Sum(nil)
}

// idKey returns the key of the config in force, or the process's own if the config has none. Open connections keep their ids
// when the key changes.
func (p *Hub) idKey() []byte {
	if key := p.config.Load().settings.ClientKey; key != "" {
		return []byte(strings.TrimSpace(key))
	}
	return p.ownKey
}

// randomKey returns a key for ids that lasts as long as the process.
func randomKey() []byte {
	key := make([]byte, sha256.Size)
	rand.Read(key)
	return key
}
