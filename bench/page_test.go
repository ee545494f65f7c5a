package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// A page comes back after a break with the last id that has come whole, and counts what came once, twice and never.
func TestPage(t *testing.T) {
	token := func(seq int) string {
		return fmt.Sprintf("id: %d\ndata: %s\n", seq, appendPayload(nil, event{seq: uint32(seq), size: payloadSize}, now()))
	}
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path+" "+r.Header.Get("Last-Event-ID"))
		switch len(asked) {
		case 1:
			fmt.Fprint(w, "retry: 1\n\n"+token(0)+"\n"+token(1)) // and breaks off
		case 2:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 3:
			fmt.Fprint(w, token(1)+"\n"+token(1)+"\n"+token(3)+"\nevent: sse:end\ndata: {\"relay\":\"r1\",\"status\":\"complete\",\"events\":4}\n\n")
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	}))
	defer server.Close()
	hear := func() (*page, *tally) {
		ups, all := 0, new(tally)
		p := &page{nodes: []string{server.Listener.Addr().String()}, path: "/r1", retry: time.Millisecond, up: func() { ups++ }}
		p.tally, p.keepID = all, true
		p.listen(t.Context(), server.Client())
		if ups == 0 {
			t.Error("nobody waits for the page any more")
		}
		return p, all
	}
	p, all := hear()
	if want := "[/r1  /r1 0 /r1 0]"; fmt.Sprint(asked) != want {
		t.Errorf("asked %q, want %s", asked, want)
	}
	if p.err != nil || p.outcome != (relayEnd{"complete", 4}) || p.received != 3 || all.delivered != 3 || all.disorder != 1 || all.missing != 1 || p.ended == 0 {
		t.Errorf("got %+v, %d tokens, %d twice, %d missing: %v", p.outcome, p.received, all.disorder, all.missing, p.err)
	}
	if p, _ := hear(); p.err != errNoRelay || p.received != 0 {
		t.Errorf("without a relay: %v", p.err)
	}
}
