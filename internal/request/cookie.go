package request

import (
	"iter"
	"net/http"
	"strings"
)

// CookiePairs yields the pairs of a request's Cookie headers, such as "session=s1", each with its name. Unlike net/http it keeps
// pairs that hold bytes they should not: these are invalid, not absent.
func CookiePairs(r *http.Request) iter.Seq2[string, string] {
	return func(yield func(name, pair string) bool) {
		for _, line := range r.Header["Cookie"] {
			for pair := range strings.SplitSeq(line, ";") {
				pair = strings.Trim(pair, " \t")
				if name, _, _ := strings.Cut(pair, "="); pair != "" && !yield(name, pair) {
					return
				}
			}
		}
	}
}

// Cookies returns the values of all cookies with a name.
func Cookies(r *http.Request, name string) (values []string) {
	for n, pair := range CookiePairs(r) {
		_, v, ok := strings.Cut(pair, "=")
		if !ok || n != name {
			continue
		}
		if len(v) > 1 && v[0] == '"' && v[len(v)-1] == '"' {
			v = v[1 : len(v)-1]
		}
		values = append(values, v)
	}
	return values
}
