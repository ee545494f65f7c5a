package doctor

import (
	"context"
	"net/http"
)

// survey asks the internal route what no stream shows: which log the streams belong to, and whether the app's shared streams fail.
func (e *examination) survey(ctx context.Context) {
	if e.route == nil {
		return
	}
	for _, s := range e.all() {
		if h := s.look().hello(); h != nil {
			if c, ok, err := e.route.connection(ctx, h.Connection); err == nil && ok {
				e.log = c.Log
			}
			break
		}
	}
	if failing, err := e.route.failing(ctx); err == nil && failing > 0 {
		e.find("sources-failing", "", "%d of the app's streams that the hub shares have failed, and wait for another try", failing)
	}
}

// failing returns how many of the hub's shared streams fail.
func (r *route) failing(ctx context.Context) (int, error) {
	var health struct {
		Failing int `json:"sources_failing"`
	}
	err := r.call(ctx, http.MethodGet, "/health", nil, &health)
	return health.Failing, err
}
