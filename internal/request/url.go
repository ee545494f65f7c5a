package request

import (
	"net/http"
	"net/url"
	"path"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// URLs returns the URL of a request, and the one that the client sent: a site-wide try_files or rewrite runs earlier.
func URLs(r *http.Request) [2]*url.URL {
	if original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		return [2]*url.URL{r.URL, original.URL}
	}
	return [2]*url.URL{r.URL, r.URL}
}

// URLIsBelow reports whether a URL's path is at or below a prefix, as it stands or cleaned: the next handlers may use either.
func URLIsBelow(u *url.URL, prefix string) bool {
	return IsBelow(u.Path, prefix) || IsBelow(path.Clean("/"+u.Path), prefix)
}

// WithURL returns r with another URL, whose query may differ as well. The two share their headers and body.
func WithURL(r *http.Request, u *url.URL) *http.Request {
	if u == r.URL {
		return r
	}
	r = r.WithContext(r.Context())
	r.URL = u
	return r
}
