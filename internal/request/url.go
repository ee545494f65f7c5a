package request

import (
	"net/http"
	"net/url"
)

// WithURL returns r with another URL, whose query may differ as well. The two share their headers and body.
func WithURL(r *http.Request, u *url.URL) *http.Request {
	if u == r.URL {
		return r
	}
	r = r.WithContext(r.Context())
	r.URL = u
	return r
}
