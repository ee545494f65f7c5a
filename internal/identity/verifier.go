package identity

import (
	"net/http"
	"net/url"

	"github.com/sse-push/caddy-sse-push/internal/problem"
)

// verifier identifies clients by something that they cannot forge. It may be used by several goroutines at once.
type verifier interface {
	// verify returns what a request proves; nil if it holds no such proof. The error is a *refusal, or what
	// attempt.enter returned.
	verify(r *attempt) (*Grant, error)
	// vouches reports whether the verifier still accepts what vouched for a grant under an earlier config (Grant.by): the same key or
	// endpoint, under the same rules.
	vouches(by string) bool
}

// attempt is a request whose sender is to be identified.
type attempt struct {
	*http.Request
	params url.Values // of the URL and of the body together
	route  string     // the path of the subscribe route

	admit func() *problem.Problem // nil: not needed, or done
}

// enter admits the client, unless that has been done, or returns why it is not admitted. A verifier calls it before it looks
// up anything that costs others something.
func (r *attempt) enter() *problem.Problem {
	if r.admit == nil {
		return nil
	}
	admit := r.admit
	r.admit = nil
	return admit()
}
