package e2e_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/sse"
	"github.com/sse-push/caddy-sse-push/test/harness"
)

// loop runs the example with the PHP loop, which shares the stream for a second after the last client has left.
func loop(t *testing.T, workers int) (url string, fpm *harness.FPM) {
	t.Helper()
	fpm = harness.StartFPM(t, workers, "TZ=UTC")
	url = "http://localhost:" + harness.Port(t)
	harness.StartCaddy(t, harness.File(t, "examples/php/loop/Caddyfile", "share everyone", "share everyone\n\t\t\tlinger 1s"),
		"SITE_ADDRESS="+url, "PHP_FPM="+fpm.Address, "PHP_FPM_STATUS="+fpm.StatusAddress())
	return url, fpm
}

// until reads a stream up to the event with the data last, and returns what came with it.
func until(s *harness.Stream, last string) (came []string) {
	for {
		e := s.Next()
		came = append(came, e.Data)
		if e.Data == last {
			return came
		}
	}
}

// A script of which every tab holds a worker, unchanged: a thousand clients hold one.
func TestLoopShared(t *testing.T) {
	t.Parallel()
	const clients = 1000
	url, fpm := loop(t, 2)
	one := harness.Open(t, url+"/shared/clock.php")
	first := one.Next()
	if !strings.HasPrefix(first.Data, "The server time is ") || first.Type != "" && first.Type != "message" || first.ID == "" {
		t.Fatalf("got %q", first)
	}
	streams := make([]*harness.Stream, clients-1)
	for i := range streams {
		streams[i] = harness.Open(t, url+"/shared/clock.php")
	}
	gone := harness.Open(t, url+"/shared/clock.php")
	heard := []sse.Message{gone.Next()}
	heard = append(heard, gone.Next())
	gone.Leave()

	// All of them get the same events, each once, whenever they came.
	all := []string{first.Data}
	for len(all) < 5 || !slices.Contains(all[:len(all)-1], heard[1].Data) {
		all = append(all, one.Next().Data)
	}
	last := all[len(all)-1]
	for i, s := range streams {
		came := until(s, last)
		if len(came) < 2 || len(came) > len(all) || !slices.Equal(came, all[len(all)-len(came):]) {
			t.Fatalf("client %d got %q, while the first got %q", i, came, all)
		}
	}
	harness.EventuallyEqual(t, "php-fpm's load with all clients", harness.Load{Active: 1, Total: 2}, func() harness.Load { return fpm.Load(t) })

	// The one that was cut off goes on where it was.
	back := harness.Open(t, url+"/shared/clock.php", "Last-Event-ID", heard[1].ID)
	last = one.Next().Data
	all = append(all, last)
	missed := until(back, last)
	if i := slices.Index(all, heard[1].Data); i < 0 || !slices.Equal(missed, all[i+1:]) {
		t.Errorf("after %q came %q, while the first got %q", heard[1].Data, missed, all)
	}

	// PHP notices at its second output that nobody is left.
	left := time.Now()
	for _, s := range append(streams, one, back) {
		s.Leave()
	}
	harness.EventuallyEqual(t, "busy workers when all have left", 0, func() int { return fpm.Load(t).Active })
	t.Logf("the worker was free %v after the last client had left (linger 1s, interval 1s)", time.Since(left).Round(10*time.Millisecond))
}

// The example's page: a stream as it stands holds a worker, shared ones hold one together.
func TestLoopPage(t *testing.T) {
	t.Parallel()
	url, fpm := loop(t, 4)
	tab := harness.OpenTab(t, url+"/")
	tab.Wait(`document.getElementById('workers').dataset.active === '0'`)
	for _, pane := range []string{"plain", "shared"} {
		tab.Click("#" + pane + " .open")
		tab.Click("#" + pane + " .open")
		const lines = `[...document.querySelectorAll('#PANE li')].map((line) => line.textContent)`
		shown := strings.Replace(lines, "PANE", pane, 1)
		tab.Wait(shown + `.filter((text) => text.startsWith('The server time is')).length === 2`)
	}
	tab.Wait(`document.getElementById('workers').dataset.active === '3'`)
	looks(t, tab, "loop")
	harness.EventuallyEqual(t, "busy workers", 3, func() int { return fpm.Load(t).Active })
	for _, pane := range []string{"plain", "shared"} {
		tab.Click("#" + pane + " .close")
		tab.Click("#" + pane + " .close")
	}
	tab.Wait(`document.getElementById('workers').dataset.active === '0'`)
	harness.EventuallyEqual(t, "busy workers", 0, func() int { return fpm.Load(t).Active })
}

// The loop of the docs, as it stands, shared, and published.
func TestHowToPHPLoop(t *testing.T) {
	t.Parallel()
	w := walk(t, "docs/howto/php-loop.md")
	w.serve()
	site := w.url("http://localhost:8080/")
	var tabs []*harness.Tab
	openTabs := func(n int) {
		t.Helper()
		for range n {
			tabs = append(tabs, harness.OpenTab(t, site))
			tabs[len(tabs)-1].Wait(`document.querySelector('p').textContent !== '–'`)
		}
	}
	shown := func(score string) {
		t.Helper()
		for _, tab := range tabs {
			tab.Wait(`document.querySelector('p').textContent === '` + score + `'`)
		}
	}

	openTabs(3)
	shown("0")
	impatient := &http.Client{Timeout: time.Second}
	if res, err := impatient.Get(site); err == nil {
		res.Body.Close()
		t.Errorf("with three tabs of loops, PHP still serves the page: %s", res.Status)
	}
	for _, tab := range tabs {
		tab.Close()
	}
	tabs = nil

	w.run()
	openTabs(4)
	tabs[0].Click("button")
	shown("1")

	w.run()
	openTabs(1)
	tabs[0].Click("button")
	shown("2") // in the tabs that were open as well
	var all struct{ Total int }
	route := harness.Route{URL: site + "_sse"}
	harness.EventuallyEqual(t, "streams that the proxy holds", 5, func() int {
		route.Get(t, "/connections?topic=score", &all)
		return all.Total
	})
}

func TestFPMConfigOfLoop(t *testing.T) {
	t.Parallel()
	if out, err := harness.CheckFPM(t, "examples/php/loop/php-fpm.conf"); err != nil {
		t.Errorf("php-fpm --test: %v\n%s", err, out)
	}
}
