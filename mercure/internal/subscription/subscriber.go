package subscription

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/sse-push/caddy-sse-push/internal/matcher"
	"github.com/sse-push/caddy-sse-push/mercure/internal/access"
)

// Subscriber is a connection with its subscriptions, and with what it would be told of others.
type Subscriber struct {
	id        string
	version   access.Version
	topics    *matcher.Set
	grant     *access.Grant
	interests []interest
	open      bool // guarded by Registry.mu
	taken     bool // the teller knows that it has come; set under Registry.mu, by the teller
}

// Size returns about how many bytes a connection is charged for its Subscriber, beyond its grant.
func (s *Subscriber) Size() int64 {
	const each = 64 // for its part in the subject's standing
	return int64(256 + s.topics.Size() + each*s.topics.Len() + 128*len(s.interests))
}

// idPrefix begins the ids of subscribers.
const idPrefix = "urn:uuid:"

// node is what the ids of a node's subscribers begin with, after idPrefix. So every node knows whose they are.
type node string

// nodeOf returns the node of a subscriber's id; "" if a hub has not made that.
func nodeOf(id string) node {
	rest, ok := strings.CutPrefix(id, idPrefix)
	if !ok || len(rest) != 36 {
		return ""
	}
	return node(rest[:13])
}

// nodeNamed returns the node that has a name in the broker's directory.
func nodeNamed(name string) node {
	sum := sha256.Sum256([]byte(name))
	return nodeFrom(sum[:])
}

func nodeFrom(b []byte) node {
	text := hex.EncodeToString(b[:6])
	return node(text[:8] + "-" + text[8:])
}

// newID returns an id for a subscriber of the node: a UUID of version 8 (RFC 9562) with 74 random bits.
func (n node) newID() string {
	var b [10]byte
	rand.Read(b[:])
	b[0], b[2] = 0x80|b[0]&0x0f, 0x80|b[2]&0x3f
	text := hex.EncodeToString(b[:])
	return idPrefix + string(n) + "-" + text[:4] + "-" + text[4:8] + "-" + text[8:]
}
