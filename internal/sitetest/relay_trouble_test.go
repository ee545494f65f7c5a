package sitetest_test

import (
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// An answer over HTTP/2 is complete if its stream has ended, and failed if that was reset.
func TestRelayOverHTTP2(t *testing.T) {
	upstream := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = fmt.Fprintf(w, "data: %s\n\n", r.Proto)
		_ = http.NewResponseController(w).Flush()
		if r.URL.Path == "/reset" {
			panic(http.ErrAbortHandler)
		}
	}))
	upstream.EnableHTTP2 = true
	upstream.StartTLS()
	t.Cleanup(upstream.Close)
	trusted := filepath.Join(t.TempDir(), "trusted.pem")
	if err := os.WriteFile(trusted, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: upstream.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SSL_CERT_FILE", trusted)
	p := sitetest.StartProcess(t, sitetest.Route("relay {\nto "+upstream.URL+" private\n}"), "h1", 0, nil)
	for id, status := range map[string]string{"ended": "complete", "reset": "failed"} {
		a := p.Do("POST", "/_sse/relays", fmt.Sprintf(`{"id": %q, "user": "u1", "request": {"url": "%s/%s"}}`, id, upstream.URL, id))
		if a.Status != http.StatusAccepted {
			t.Fatalf("got %d %s", a.Status, a.Body)
		}
		c := p.Open("/events?userId=u1&relay=" + id)
		c.Want("HTTP/2.0")
		wantRelayEnd(c, status, 1)
	}
}

// An answer of one line that does not end costs no more than an event may have.
func TestRelayOfAnEndlessLine(t *testing.T) {
	m := sitetest.StartModel(t)
	s := sitetest.Serve(t, sitetest.Route(m.RelayTo("answer 64MiB")))
	for id, kind := range map[string]string{"events": "text/event-stream", "lines": "application/x-ndjson"} {
		startRelay(s, m, id, "")
		q := m.Next().Answer(200, kind)
		go func() {
			for range 10 << 20 / (64 << 10) {
				if !q.Write(strings.Repeat("x", 64<<10)) {
					return
				}
			}
			q.End()
		}()
		wantRelayEnd(s.Open("/events?userId=u1&relay="+id), "failed", 0)
		if i := relayOf(s, id); !strings.Contains(i.Error, "longer than limits { event }") {
			t.Errorf("%s: got %+v", id, i)
		}
	}
}

// An origin that leads inside is not asked, unless it is marked as private.
func TestRelayToAnInnerAddress(t *testing.T) {
	m := sitetest.StartModel(t)
	s := sitetest.Serve(t, sitetest.Route("relay {\nto "+m.URL+"\n}"))
	startRelay(s, m, "chat", `, "retry": 5`)
	wantRelayEnd(s.Open("/events?userId=u1&relay=chat"), "failed", 0)
	if i := relayOf(s, "chat"); !strings.Contains(i.Error, "private") || i.Attempts != 0 {
		t.Errorf("got %+v", i)
	}
	if len(m.Requests) > 0 {
		t.Error("it was asked")
	}
}

// An app that takes its time with one call keeps no other waiting, and one that is away is called until it is there.
func TestRelayDoneOfASlowApp(t *testing.T) {
	m := sitetest.StartModel(t)
	came := make(chan string, 100)
	held := make(chan struct{})
	app := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		came <- r.URL.Path
		if r.URL.Path == "/slow" {
			<-held
		}
	}))
	url := "http://" + app.Listener.Addr().String()
	app.Listener.Close() // it is away
	s := sitetest.Serve(t, sitetest.Route(m.RelayTo("done "+url+"\nsecret "+relaySecret)))
	for _, id := range []string{"slow", "quick"} {
		startRelay(s, m, id, fmt.Sprintf(`, "done": "%s/%s"`, url, id))
		m.Next().Answer(200, "text/event-stream").End()
	}
	brokertest.Eventually(t, "the app was called in vain", func() bool { return s.Logged("did not accept the call about a relay's end", "refused") })
	listener, err := net.Listen("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	app.Listener = listener
	app.Start()
	t.Cleanup(app.Close)
	t.Cleanup(func() { close(held) })
	brokertest.Eventually(t, "the other call is taken", func() bool { return relayOf(s, "quick").Done == "taken" })
	if i := relayOf(s, "slow"); i.Done != "pending" {
		t.Errorf("got %+v", i)
	}
}
