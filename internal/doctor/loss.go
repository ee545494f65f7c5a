package doctor

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
)

// lose gives up the internal route because of an error.
func (e *examination) lose(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	e.route = nil
	var refused *refusal
	switch {
	case errors.As(err, &refused) && refused.status == http.StatusNotFound:
		e.find("publish-refused", "", "the internal route answers 404: the token is wrong, this host is not allowed, or the path is another one")
	case errors.As(err, &refused):
		e.find("publish-refused", "", "the internal route answers %v", err)
	default:
		e.find("publish-unreachable", "", "the internal route cannot be used: %v", err)
	}
	e.leaveOut("what needs probes: none could be published")
}

// forgive takes back what may come of it if the hub has told a stream that it stops.
func (e *examination) forgive() {
	stops := func(s *stream) bool {
		data, closing := s.look().said("sse:closing")
		return closing && strings.Contains(data, `"draining"`)
	}
	if !slices.ContainsFunc(e.open, stops) {
		return
	}
	e.findings = slices.DeleteFunc(e.findings, func(f Finding) bool {
		return strings.HasPrefix(f.Code, "resume-") || strings.HasPrefix(f.Code, "publish-")
	})
	e.leaveOut("probes and resuming: the hub stopped meanwhile")
}
