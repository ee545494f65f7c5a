package instruction

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"unicode"
)

// saysCache reports whether a header says if a cache had the answer: `Cache-Status` (RFC 9211), or one that a proxy or a page
// cache of a PHP application uses instead, such as `X-Cache`, `CF-Cache-Status` or `X-Drupal-Cache`.
func saysCache(name string) bool {
	name = strings.ToLower(name)
	return name == "cache-status" || strings.HasSuffix(name, "-cache") || strings.HasSuffix(name, "-cache-status")
}

// cacheWords are the words in such a header that say that the answer came from a cache.
var cacheWords = []string{"hit", "stale", "updating", "revalidated"}

// WhyCached returns why an answer cannot have been made by the app for this request, or "" if its status and header give no
// reason. The instructions of a cached answer were meant for an earlier request, and perhaps for another client.
//
// `Age: 0` alone is no reason: Varnish adds it to every answer. It also adds Accept-Ranges, which otherwise means a file.
func WhyCached(status int, h http.Header) string {
	switch status {
	case http.StatusNotModified:
		return "304: it stands for the client's own copy"
	case http.StatusPartialContent:
		return "206: it is part of a file"
	}
	if age := h["Age"]; len(age) > 0 && !slices.Equal(age, []string{"0"}) {
		return "Age: it comes from a cache"
	}
	varnish := h["X-Varnish"]
	if slices.ContainsFunc(varnish, func(ids string) bool { return len(strings.Fields(ids)) > 1 }) {
		return "X-Varnish with two ids: it comes from a cache"
	}
	for _, name := range slices.Sorted(maps.Keys(h)) {
		if saysCache(name) && slices.ContainsFunc(h[name], isHit) {
			return name + ": it comes from a cache"
		}
	}
	ranges := h["Accept-Ranges"]
	if len(varnish) == 0 && len(ranges) > 0 && !slices.Equal(ranges, []string{"none"}) {
		return "Accept-Ranges: it is a file"
	}
	return ""
}

func isHit(line string) bool {
	words := strings.FieldsFunc(strings.ToLower(line), func(r rune) bool { return !unicode.IsLetter(r) })
	return slices.ContainsFunc(words, func(word string) bool { return slices.Contains(cacheWords, word) })
}
