package request

import (
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// LiftTimeouts removes the deadlines that the server's timeouts set for a whole request.
func LiftTimeouts(w http.ResponseWriter, r *http.Request) {
	ir, iw := caddyhttp.IdleTimeoutsFromContext(r.Context())
	if iw != nil {
		iw.Deadline.HardDeadline, iw.Deadline.MinRate = time.Time{}, 0
	}
	if ir != nil {
		ir.Deadline.HardDeadline = time.Time{}
	}
	rc := http.NewResponseController(w)
	_ = rc.SetWriteDeadline(time.Time{})
	_ = rc.SetReadDeadline(time.Time{})
}
