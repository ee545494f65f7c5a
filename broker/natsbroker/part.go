package natsbroker

import (
	"encoding/binary"
	"hash/fnv"
	"strings"

	"github.com/sse-push/caddy-sse-push/broker"
)

const (
	// parts is how many parts hold a node's counts. One more part has the names that begin with broker.Brief.
	parts = 64
	brief = parts
)

func partOf(name string) int {
	if strings.HasPrefix(name, broker.Brief) {
		return brief
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	return int(h.Sum32() % parts)
}

// A part is a generation, followed by pairs of a name and its count. Each is preceded by its length.

func encodePart(generation string, counts map[string]int) []byte {
	b := append(binary.AppendUvarint(nil, uint64(len(generation))), generation...)
	for name, count := range counts {
		b = append(binary.AppendUvarint(b, uint64(len(name))), name...)
		b = binary.AppendVarint(b, int64(count))
	}
	return b
}

// decodePart calls a function for each count of a part that it can read, and reports whether the part has that generation.
func decodePart(b []byte, generation string, visit func(name string, count int)) bool {
	text := func() (string, bool) {
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) {
			return "", false
		}
		s := string(b[n : n+int(size)])
		b = b[n+int(size):]
		return s, true
	}
	if g, ok := text(); !ok || g != generation {
		return false
	}
	for len(b) > 0 {
		name, ok := text()
		count, n := binary.Varint(b)
		if !ok || n <= 0 {
			break
		}
		b = b[n:]
		visit(name, int(count))
	}
	return true
}
