package ssepush

import "net/http"

// Browsers say where a request comes from in headers that no page can set (W3C Fetch Metadata). They leave them out over
// plain HTTP, except to localhost.
const (
	headerSite = "Sec-Fetch-Site"
)

// isSameOrigin reports whether a browser says that a page sends a request to its own origin. It holds behind a proxy that
// rewrites Host, where Origin and Host differ.
func isSameOrigin(r *http.Request) bool { return isOnly(r.Header[headerSite], "same-origin") }

func isOnly(values []string, want string) bool { return len(values) == 1 && values[0] == want }
