package identity

import (
	"net/http"
	"net/url"

	"github.com/sse-push/caddy-sse-push/internal/problem"
)

// Verifier identifies clients by something that they cannot forge. It may be used by several goroutines at once.
type Verifier interface {
	// Verify returns what a request proves; nil if it holds nothing of the kind. The error is a *refusal, or what
	// Request.enter returned.
	Verify(r *Request) (*Grant, error)
	// Vouches reports whether the verifier could still give a grant that one of an earlier config gave, by what vouched for it
	// (Grant.by).
	Vouches(by string) bool
}

// Request is a request whose sender is to be identified.
type Request struct {
	*http.Request
	Params url.Values // of the URL and of the body together
	Route  string     // the path of the subscribe route

	admit func() *problem.Problem // nil: not needed, or done
}

// enter admits the client, unless that has been done, or returns why it is not admitted. A verifier calls it before it looks
// up anything that costs others something.
func (r *Request) enter() *problem.Problem {
	if r.admit == nil {
		return nil
	}
	admit := r.admit
	r.admit = nil
	return admit()
}
