package sitetest_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// admin is Caddy's admin API, at a Unix socket.
type admin struct {
	t      *testing.T
	sites  []*sitetest.Site
	socket string
	client *http.Client
}

// administer switches the admin API on.
func administer(t *testing.T, sites []*sitetest.Site, bodies ...string) *admin {
	t.Helper()
	a := &admin{t: t, sites: sites, socket: filepath.Join(t.TempDir(), "admin")}
	a.client = &http.Client{Timeout: sitetest.Limit, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", a.socket)
		},
	}}
	if err := sitetest.LoadConfig(sites, a.config(bodies...)); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *admin) config(bodies ...string) []byte {
	a.t.Helper()
	config, err := sitetest.Adapt(a.sites, bodies...)
	if err != nil {
		a.t.Fatal(err)
	}
	const off = `"admin":{"disabled":true`
	if !bytes.Contains(config, []byte(off)) {
		a.t.Fatalf("the config no longer holds %s: %s", off, config)
	}
	return bytes.Replace(config, []byte(off), fmt.Appendf(nil, `"admin":{"listen":"unix/%s"`, a.socket), 1)
}

// load asks for another config.
func (a *admin) load(bodies ...string) (status int, text string) {
	a.t.Helper()
	resp, err := a.client.Post("http://localhost/load", "application/json", bytes.NewReader(a.config(bodies...)))
	if err != nil {
		a.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	a.settle()
	return resp.StatusCode, string(b)
}

// settle waits until the old servers take no more connections.
func (a *admin) settle() {
	a.t.Helper()
	for _, s := range a.sites {
		brokertest.Eventually(a.t, "the old listener is closed", func() bool { return sitetest.Listeners(a.t, s.Addr) == 1 })
	}
}

// Through reloads, and some that fail, while clients are stuck in the midst of catching up and others are
// published to: no client misses anything or gets it twice.
func TestReloadInMidCatchUp(t *testing.T) {
	sitetest.OverAll(t, func(t *testing.T, protocol, tls string) {
		settings := []string{"heartbeat 20s", "history {\nevents 20000\n}", "topics more", "write_timeout 30s", "cors_origins https://app.example.com"}
		body := func(more string) string { return sitetest.Crowded(tls, "pending 2KiB", more) }
		sites := sitetest.ServeAll(t, body(""))
		s := sites[0]
		s.Via(protocol)
		before := s.Settled()
		caddy := administer(t, sites, body(""))
		s.Via(protocol)
		publisher := s.In(t)
		publisher.Via(protocol)

		const target, missed = "/events?userId=u1&topic=room", 500
		live := &sitetest.Counter{Client: s.Open(target)}
		start := live.LastID
		data := sitetest.Numbered(missed, 1000)
		for i := 0; i < missed; i += 100 {
			s.PublishEach(sitetest.ToU1, data[i:i+100]...)
		}
		var count atomic.Int64
		count.Store(missed)
		working, stop := context.WithCancel(context.Background())
		stopped := make(chan struct{})
		defer func() {
			stop()
			<-stopped
		}()
		go func() {
			defer close(stopped)
			for working.Err() == nil {
				if err := publisher.PublishSurely(strconv.FormatInt(count.Load(), 10)); err != nil {
					t.Error(err)
					return
				}
				count.Add(1)
				time.Sleep(2 * time.Millisecond) // as a load that leaves time for the reloads
			}
		}()
		var stuck []*sitetest.Counter // through two reloads each
		for i := range len(settings) + 1 {
			more := s.BehindValves(2, target, "Last-Event-ID", start)
			for _, c := range more {
				c.Valve.Freeze()
			}
			if status, text := caddy.load(body(settings[i%len(settings)])); status != http.StatusOK {
				t.Fatalf("got %d %s", status, text)
			}
			if i%3 == 1 {
				if status, _ := caddy.load(body("history {\nevents 1\n}") + "\n@m expression `no(`\nrespond @m 200"); status == http.StatusOK {
					t.Fatal("what is broken was loaded")
				}
			}
			s.Via(protocol)
			for _, c := range stuck {
				c.Valve.Thaw()
			}
			sitetest.TakeAll(t, int(count.Load())-1, append(stuck, live)...)
			for _, c := range append(stuck, live) {
				if c.Gaps > 0 {
					t.Errorf("reload %d: a client has heard of %d gaps", i, c.Gaps)
				}
			}
			sitetest.Leave(stuck)
			stuck = more
		}
		stop()
		<-stopped
		sitetest.TakeAll(t, int(count.Load())-1, live)
		sitetest.Leave(append(stuck, live))
		sitetest.MustLoad(t, sites, body("")) // without the admin API
		s.Via(protocol)
		publisher.HTTP.CloseIdleConnections()
		s.WantNothingLeft(before)
	})
}
