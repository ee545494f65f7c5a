package sitetest_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/doctor"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// diagnose examines a stream of the site, which must be found healthy.
func diagnose(s *sitetest.Site, o doctor.Options) *doctor.Report {
	s.T.Helper()
	o.Timeout = sitetest.Limit
	r, err := doctor.Examine(s.T.Context(), o)
	if err != nil {
		s.T.Fatal(err)
	}
	if !r.Healthy {
		s.T.Errorf("not healthy: %+v", r.Findings)
	}
	return r
}

// leftOut reports whether a report says that something was not checked.
func leftOut(r *doctor.Report, what string) bool {
	return slices.ContainsFunc(r.Unchecked, func(u string) bool { return strings.Contains(u, what) })
}

// Streams that the hub ends while the doctor leaves them idle are not said to be cut.
func TestDoctorOfEndedStreams(t *testing.T) {
	s := sitetest.Serve(t, sitetest.Route("heartbeat 1s"))
	var ending sync.WaitGroup
	defer ending.Wait()
	ending.Go(func() {
		if !brokertest.Until(func() bool { return s.CountConnections() > 2 }) { // the third is opened when two are left idle
			t.Error("no stream was left idle")
		}
		steer(s, "DELETE", "users/u1", "")
	})
	r := diagnose(s, doctor.Options{URL: s.URL + "/events?userId=u1", Publish: s.URL + "/_sse", Idle: 2 * sitetest.Limit})
	if !leftOut(r, "the hub ended it (disconnected)") {
		t.Errorf("not checked: %q", r.Unchecked)
	}
}

// The URL may be the one that clients/js has opened, with the page's own name and heartbeats that are events.
func TestDoctorLeavesPagesAlone(t *testing.T) {
	s := sitetest.Serve(t, sitetest.Route("heartbeat 1s"))
	target := "/events?userId=u1&heartbeat&client=" + clientName
	page := s.Open(target)
	o := doctor.Options{URL: s.URL + target + "&lastEventId=" + page.LastID}
	diagnose(s, o)
	o.Publish, o.Idle = s.URL+"/_sse", 5*time.Second
	r := diagnose(s, o)
	if leftOut(r, "never idle") || !leftOut(r, "in the URL: left out") || r.Streams[0].Heartbeats == 0 {
		t.Errorf("%+v", r)
	}
	s.Publish("user", "u1", "data", "still here")
	for m := page.Next(); m.Data != "still here"; m = page.Next() {
		if m.Type == "sse:superseded" {
			t.Fatal("a stream of the doctor has replaced the page's")
		}
	}
}
