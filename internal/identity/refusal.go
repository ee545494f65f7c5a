package identity

import (
	"errors"
	"net/http"
	"time"
)

// refusal says why a proof is not accepted.
type refusal struct {
	status int           // of the answer; 0: the client may come again
	public string        // what the client is told; if it may come again, the reason of sse:rejected
	cause  string        // for the log; one of few, as each is logged once a minute
	detail string        // for the log, different each time; no part of a secret
	again  time.Duration // the least time until the client may come again; 0: whenever it likes
}

func (e *refusal) Error() string { return e.cause }

// invalid returns the refusal of a proof that does not hold.
func invalid(cause string) *refusal {
	return &refusal{status: http.StatusUnauthorized, public: "invalid", cause: cause}
}

// expired returns the refusal of a proof that was valid until some time ago.
func expired(since time.Duration) *refusal {
	return &refusal{
		status: http.StatusUnauthorized, public: "expired", cause: "expired",
		detail: since.Truncate(time.Second).String() + " ago, by this machine's clock",
	}
}

// isTemporary reports whether a client that is refused may come again.
func isTemporary(err error) bool {
	var e *refusal
	return errors.As(err, &e) && e.status == 0
}
