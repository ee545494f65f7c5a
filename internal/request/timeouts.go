package request

import (
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// LiftTimeouts takes off what a server's timeouts bound a whole request by.
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
