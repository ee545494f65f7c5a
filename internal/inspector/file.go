package inspector

import (
	"embed"
	"net/http"

	"github.com/sse-push/caddy-sse-push/internal/problem"
)

//go:embed page
var folder embed.FS

// files are what the page consists of: the name in its URL, the name in the folder, and the type.
var files = map[string][2]string{
	"":              {"index.html", "text/html; charset=utf-8"},
	"inspector.css": {"inspector.css", "text/css; charset=utf-8"},
	"inspector.js":  {"inspector.js", "text/javascript; charset=utf-8"},
	"view.js":       {"view.js", "text/javascript; charset=utf-8"},
	"icon.svg":      {"icon.svg", "image/svg+xml"},
}

// serveFile answers with a file of the page.
func serveFile(w http.ResponseWriter, r *http.Request, file [2]string) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		problem.MethodNotAllowed(http.MethodGet, http.MethodHead).Write(w)
		return
	}
	content, err := folder.ReadFile("page/" + file[0])
	if err != nil { // a test opens them all
		panic(err)
	}
	w.Header().Set("Content-Type", file[1])
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodGet {
		_, _ = w.Write(content)
	}
}
