package hub

import (
	"strings"

	"github.com/sse-push/caddy-sse-push/broker"
)

const (
	bulletinName = "m:"
	briefName    = broker.Brief + bulletinName
)

// bulletin has the counts that a protocol reports to the other nodes, by their names in the directory. nodes.mu guards it.
type bulletin map[string]int

// bulletinOf returns the name in the directory of one of a protocol's counts.
func bulletinOf(name string) string {
	if rest, brief := strings.CutPrefix(name, broker.Brief); brief {
		return briefName + rest
	}
	return bulletinName + name
}

// posted returns the counts of protocols among a node's counts.
func posted(counts map[string]int) map[string]int {
	found := map[string]int{}
	for name, n := range counts {
		if rest, ok := strings.CutPrefix(name, bulletinName); ok {
			found[rest] = n
		} else if rest, ok := strings.CutPrefix(name, briefName); ok {
			found[broker.Brief+rest] = n
		}
	}
	return found
}
