package mercure

import (
	"cmp"
	"net/http"

	"github.com/sse-push/caddy-sse-push/internal/problem"
	"github.com/sse-push/caddy-sse-push/mercure/internal/access"
)

// missingToken returns the answer to a request that needs a token and has none.
func (e *endpoint) missingToken() *problem.Problem {
	return e.challenged(http.StatusUnauthorized, "", "an access token is needed")
}

// invalidToken returns the answer to a token that is not valid. It does not say why: the log does.
func (e *endpoint) invalidToken() *problem.Problem {
	return e.challenged(http.StatusUnauthorized, "invalid_token", "the access token is not valid")
}

// invalidRequest returns the answer to a request that presents a token in a way that is not allowed.
func (e *endpoint) invalidRequest(detail string) *problem.Problem {
	return e.challenged(http.StatusBadRequest, "invalid_request", detail)
}

// outOfScope returns the answer to a publisher whose token does not grant a topic.
func (e *endpoint) outOfScope() *problem.Problem {
	return e.challenged(http.StatusForbidden, "insufficient_scope", "the access token does not grant all topics of the update")
}

// challenged returns a problem with a challenge (RFC 6750), which names where to read what a token must be like (RFC 9728).
func (e *endpoint) challenged(status int, code, detail string) *problem.Problem {
	p := problem.New(status, "%s", detail)
	p.Challenge = `Bearer resource_metadata="` + e.metadataURL + `"`
	if code != "" {
		p.Challenge += `, error="` + code + `"`
	}
	return p
}

// refuse answers a request with a problem, in the form of a version. Those of version 0.x are plain text, with 401 for whatever a token
// does not allow.
func (e *endpoint) refuse(w http.ResponseWriter, v access.Version, p *problem.Problem) {
	if v == access.V1 {
		p.Write(w)
		return
	}
	status := p.Status
	if p.Challenge != "" && status == http.StatusForbidden {
		status = http.StatusUnauthorized
	}
	p.Challenge = ""
	p.SetHeaders(w.Header())
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(cmp.Or(p.Detail, http.StatusText(status)) + "\n"))
}
