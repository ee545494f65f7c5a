package request

import (
	"net/http"
	"strings"
)

// Cookies returns the values of the cookies of a name. Unlike net/http it keeps those that hold bytes
// which should not be there: they are invalid, not absent.
func Cookies(r *http.Request, name string) (values []string) {
	for _, line := range r.Header["Cookie"] {
		for pair := range strings.SplitSeq(line, ";") {
			n, v, ok := strings.Cut(strings.Trim(pair, " \t"), "=")
			if !ok || n != name {
				continue
			}
			if len(v) > 1 && v[0] == '"' && v[len(v)-1] == '"' {
				v = v[1 : len(v)-1]
			}
			values = append(values, v)
		}
	}
	return values
}
