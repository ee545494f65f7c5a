package request

import (
	"net/http"
	"slices"

	"github.com/sse-push/caddy-sse-push/internal/problem"
)

// Browsers say where a request comes from in headers that no page can set (W3C Fetch Metadata). They leave them out over
// plain HTTP, except to localhost.
const (
	HeaderSite = "Sec-Fetch-Site"
	headerMode = "Sec-Fetch-Mode"
)

// IsSameOrigin reports whether a browser says that a page sends a request to its own origin. It holds behind a proxy that
// rewrites Host, where Origin and Host differ.
func IsSameOrigin(r *http.Request) bool { return isOnly(r.Header[HeaderSite], "same-origin") }

func isOnly(values []string, want string) bool { return len(values) == 1 && values[0] == want }

// CheckEmbedded refuses what a page of another origin loads in any way but by CORS: as an image, a frame, a form or a link.
// The browser would send the user's cookies along and hold a stream that nobody can read.
func CheckEmbedded(r *http.Request) *problem.Problem {
	foreign := slices.ContainsFunc(r.Header[HeaderSite], func(site string) bool { return site == "cross-site" || site == "same-site" })
	if !foreign || isOnly(r.Header[headerMode], "cors") {
		return nil
	}
	return problem.New(http.StatusForbidden, "a page of another origin may subscribe by EventSource or fetch only (Sec-Fetch-Mode: cors)")
}
