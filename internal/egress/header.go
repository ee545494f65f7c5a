package egress

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// notTaken are headers that belong to the connection or to the message's form, and so to the proxy.
var notTaken = []string{
	"Accept-Encoding", "Connection", "Content-Encoding", "Content-Length", "Expect", "Host", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
	"Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

const (
	maxHeaders     = 64
	maxHeaderBytes = 16 << 10
)

// CheckHeader returns why a request cannot be sent with a header, or nil. The error does not repeat the value.
func CheckHeader(name, value string) error {
	switch {
	case !httpguts.ValidHeaderFieldName(name):
		return fmt.Errorf("%.40q is not the name of a header", name)
	case slices.Contains(notTaken, http.CanonicalHeaderKey(name)):
		return fmt.Errorf("%s is set by the proxy", http.CanonicalHeaderKey(name))
	case !httpguts.ValidHeaderFieldValue(value):
		return fmt.Errorf("%s has a value with characters that a header cannot hold", http.CanonicalHeaderKey(name))
	}
	return nil
}

// CheckHeaders returns what is wrong with the headers that an app gives, or nil.
func CheckHeaders(headers map[string]string) error {
	size := 0
	seen := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		if err := CheckHeader(name, headers[name]); err != nil {
			return err
		}
		key := http.CanonicalHeaderKey(name)
		if seen[key] {
			return fmt.Errorf("%s is given twice", key)
		}
		seen[key] = true
		size += len(name) + len(headers[name])
	}
	if len(headers) > maxHeaders || size > maxHeaderBytes {
		return fmt.Errorf("must be at most %d headers of %d bytes in all", maxHeaders, maxHeaderBytes)
	}
	return nil
}

// Header is a header that the config gives to all requests to an origin.
type Header struct {
	// The header's name.
	Name string `json:"name" placeholders:"none"`

	// Its value. Placeholders such as `{env.API_KEY}` are filled in when the config is loaded.
	Value string `json:"value"`
}

// open are headers whose values are not secrets: any answer may repeat their words.
var open = []string{"Accept", "Accept-Language", "Cache-Control", "Content-Type", "User-Agent"}

// minSecret is how long a word of a header is at least if it is a secret, in bytes.
const minSecret = 8

// secretsOf returns the words of headers that may be secrets, the longest first.
func secretsOf(headers []Header) (secrets []string) {
	for _, h := range headers {
		if slices.Contains(open, http.CanonicalHeaderKey(h.Name)) {
			continue
		}
		for _, word := range strings.Fields(h.Value) {
			if len(word) >= minSecret {
				secrets = append(secrets, word)
			}
		}
	}
	slices.SortFunc(secrets, func(a, b string) int { return len(b) - len(a) })
	return secrets
}

// has reports whether one of the headers has a name.
func has(list []Header, name string) bool {
	return slices.ContainsFunc(list, func(h Header) bool { return strings.EqualFold(h.Name, name) })
}
