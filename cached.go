package ssepush

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"unicode"
)

// saysCache reports whether a header says if a cache had the answer: `Cache-Status` (RFC 9211), and what proxies and the page
// caches of PHP applications have of their own, such as `X-Cache`, `CF-Cache-Status` or `X-Drupal-Cache`.
func saysCache(name string) bool {
	name = strings.ToLower(name)
	return name == "cache-status" || strings.HasSuffix(name, "-cache") || strings.HasSuffix(name, "-cache-status")
}

// cacheWords are the words in such a header that stand for an answer out of a cache.
var cacheWords = []string{"hit", "stale", "updating", "revalidated"}

// whyCached returns why an answer was not made by the app for the request that it answers, or "" if it was, as far as its
// status and header tell. What such an answer says of a client, or asks to publish, was meant for an earlier request.
//
// `Age: 0` alone is no reason: Varnish adds it to everything. It adds Accept-Ranges as well, which otherwise only a file has.
func whyCached(status int, h http.Header) string {
	switch status {
	case http.StatusNotModified:
		return "304: the client's own copy is meant"
	case http.StatusPartialContent:
		return "206: it is a part of a file"
	}
	if age := h["Age"]; len(age) > 0 && !isOnly(age, "0") {
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
	if len(varnish) == 0 && len(ranges) > 0 && !isOnly(ranges, "none") {
		return "Accept-Ranges: it is a file"
	}
	return ""
}

func isHit(line string) bool {
	words := strings.FieldsFunc(strings.ToLower(line), func(r rune) bool { return !unicode.IsLetter(r) })
	return slices.ContainsFunc(words, func(word string) bool { return slices.Contains(cacheWords, word) })
}
