package natsbroker

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

const defaultPrefix = "sse_push"

// names are the names of a hub's streams and subjects in NATS.
type names struct {
	stream string // of the events
	events string // their subject
	marks  string // the subject of markers, in the same stream

	nodes  string // the directory's stream
	leases string // its subjects of leases, without the node's name
	counts string // its subjects of counts, without the part's number and the node's name
}

func namesOf(prefix, hub string) names {
	hub = escape(hub)
	stream, subject := prefix+"-"+hub, prefix+"."+hub
	// No escaped name ends so that two of these are the same.
	return names{
		stream: stream, events: subject + ".events", marks: subject + ".marks",
		nodes: stream + "_nodes", leases: subject + ".nodes.lease.", counts: subject + ".nodes.counts.",
	}
}

// maxEscaped keeps stream names below 255 bytes: the server uses them as names of directories.
const maxEscaped = 120

// escape turns any name into one that both stream names and subjects can hold: other bytes become _ and two hexadecimal
// digits. A long name is cut, and ends with its hash.
func escape(name string) string {
	var s strings.Builder
	for _, c := range []byte(name) {
		if c == '-' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
			s.WriteByte(c)
		} else {
			fmt.Fprintf(&s, "_%02x", c)
		}
	}
	if s.Len() <= maxEscaped {
		return s.String()
	}
	sum := sha256.Sum256([]byte(name))
	return s.String()[:maxEscaped-40] + "_h" + hex.EncodeToString(sum[:16])
}

// unescape reverses escape, unless the name was cut.
func unescape(s string) string {
	var name []byte
	for i := 0; i < len(s); i++ {
		if s[i] == '_' && i+2 < len(s) {
			if b, err := hex.DecodeString(s[i+1 : i+3]); err == nil {
				name = append(name, b...)
				i += 2
				continue
			}
		}
		name = append(name, s[i])
	}
	return string(name)
}

// checkPrefix reports what is wrong with a prefix.
func checkPrefix(prefix string) error {
	plain := func(c rune) bool {
		return c == '-' || c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
	}
	if prefix == "" || len(prefix) > 64 || strings.ContainsFunc(prefix, func(c rune) bool { return !plain(c) }) {
		return fmt.Errorf("%q must be 1 to 64 letters, digits, - or _", prefix)
	}
	return nil
}
