package ssepush_test

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
)

// admin is Caddy's admin API, at a Unix socket.
type admin struct {
	t      *testing.T
	sites  []*site
	socket string
	client *http.Client
}

// administer switches the admin API on.
func administer(t *testing.T, sites []*site, bodies ...string) *admin {
	t.Helper()
	a := &admin{t: t, sites: sites, socket: filepath.Join(t.TempDir(), "admin")}
	a.client = &http.Client{Timeout: limit, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", a.socket)
		},
	}}
	if err := loadConfig(sites, a.config(bodies...)); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *admin) config(bodies ...string) []byte {
	a.t.Helper()
	config, err := adapt(a.sites, bodies...)
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
		waitFor(a.t, "the old listener is closed", func() bool { return listeners(a.t, s.addr) == 1 })
	}
}

// Through ten reloads, and some that fail, while clients are stuck in the midst of catching up and others are
// published to: nobody misses anything or gets it twice.
func TestReloadInMidCatchUp(t *testing.T) {
	overAll(t, func(t *testing.T, protocol, tls string) {
		settings := []string{"heartbeat 20s", "history {\nevents 20000\n}", "topics more", "write_timeout 30s", "cors_origins https://app.example.com"}
		body := func(more string) string { return fair(tls, "pending 2KiB", more) }
		sites := serveAll(t, body(""))
		s := sites[0]
		s.via(protocol)
		before := s.settled()
		caddy := administer(t, sites, body(""))
		s.via(protocol)
		publisher := s.in(t)
		publisher.via(protocol)

		const target, missed = "/events?userId=u1&topic=room", 700
		live := &serial{client: s.open(target)}
		start := live.id
		data := numbered(missed, 1000)
		for i := 0; i < missed; i += 100 {
			s.publishEach(toU1, data[i:i+100]...)
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
				if err := publisher.publishSurely(strconv.FormatInt(count.Load(), 10)); err != nil {
					t.Error(err)
					return
				}
				count.Add(1)
			}
		}()
		var stuck []*serial // through two reloads each
		for i := range 10 {
			more := s.behindValves(2, target, "Last-Event-ID", start)
			for _, c := range more {
				c.valve.freeze()
			}
			if status, text := caddy.load(body(settings[i%len(settings)])); status != http.StatusOK {
				t.Fatalf("got %d %s", status, text)
			}
			if i%3 == 1 {
				if status, _ := caddy.load(body("history {\nevents 1\n}") + "\n@m expression `no(`\nrespond @m 200"); status == http.StatusOK {
					t.Fatal("what is broken was loaded")
				}
			}
			s.via(protocol)
			for _, c := range stuck {
				c.valve.thaw()
			}
			takeAll(t, int(count.Load())-1, append(stuck, live)...)
			for _, c := range append(stuck, live) {
				if c.gaps > 0 {
					t.Errorf("reload %d: a client has heard of %d gaps", i, c.gaps)
				}
			}
			leave(stuck)
			stuck = more
		}
		stop()
		<-stopped
		takeAll(t, int(count.Load())-1, live)
		leave(append(stuck, live))
		mustLoad(t, sites, body("")) // without the admin API
		s.via(protocol)
		publisher.client.CloseIdleConnections()
		s.wantNothingLeft(before)
	})
}
