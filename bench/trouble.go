package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// trouble is a row of the scenario relays: what happens while answers stream.
type trouble struct {
	name    string
	engine  string // of the broker: file, redis or, if empty, memory
	nodes   int
	ending  string // the status that all relays end with
	busy    bool   // relays are started as fast as they should be startable
	happens func(h *hearing, ctx context.Context) error
}

var troubles = []trouble{
	{name: "many starts in a second", nodes: 1, ending: "complete", busy: true},
	{name: "reloads of the config", nodes: 1, ending: "complete", happens: (*hearing).reload},
	{name: "SIGKILL, file broker", engine: "file", nodes: 1, ending: "interrupted", happens: (*hearing).restart},
	{name: "SIGKILL of one of two nodes, redis broker", engine: "redis", nodes: 2, ending: "interrupted", happens: (*hearing).kill},
}

var relays = scenario{
	name: "relays",
	title: func(b *bench) string {
		return fmt.Sprintf("Relays: %s answers of a model with %d tabs each, while something happens", number(b.relays), b.tabs)
	},
	note: "Starts: one a millisecond, of short answers with a tab each. Reloads: one after the other, while the answers stream. SIGKILL: with the file\n" +
		"broker, Caddy is started again a second later; with redis, tabs of the node that is gone go to the other one. Start: from when a call was\n" +
		"due to its answer. Lost: of the tokens that the log has. Told: until all tabs have had the end, after what happened. Done: the app was\n" +
		"told of so many relays, by so many keys; of others it was told different things.",
	protocols: []protocol{h1}, servers: troubled(),
	columns: func(*bench) []string {
		return []string{"relays", "starts/s", "start p99", "token p99", "lost", "twice", "told", "tabs not told", "done", "keys", "differing"}
	},
	measure: measureTrouble,
	goal: func(g *goals) {
		g.none("none lost or twice", 4, 5)
		g.none("all told", 7)
		n := g.row.cell(0).value
		g.add(g.row.cell(8).value == n && g.row.cell(9).value == n && g.row.cell(10).value == 0, "done with one key each")
		if g.row.cell(6).unit != nil {
			g.add(g.row.cell(6).value <= 10, "told ≤ 10 s")
		}
	},
}

// troubled returns a server for each trouble.
func troubled() (servers []*server) {
	for _, t := range troubles {
		s := newCaddy("sse_push, "+t.name, caddy{streams: true, relays: true}, h1)
		s.variant = t.name
		servers = append(servers, s)
	}
	return servers
}

// hearing is a trouble that is under way.
type hearing struct {
	*session
	trouble
	nodes  []*target
	broker string // as the Caddyfile names it

	tally   tally
	pages   []*page
	up      sync.WaitGroup // until all pages are connected
	wg      sync.WaitGroup // of the pages
	browser *http.Client
}

func measureTrouble(ctx context.Context, r *session) (row, error) {
	h := &hearing{session: r, browser: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	for _, t := range troubles {
		if t.name == r.server.variant {
			h.trouble = t
		}
	}
	if err := h.startNodes(ctx); err != nil {
		return row{}, err
	}
	n, tabs, every, length := h.relays, h.tabs, time.Duration(0), 1<<20
	switch {
	case h.busy:
		n, tabs, every, length = h.starts, 1, time.Millisecond, tokenRate
	case h.ending == "complete":
		length = int(h.tokenFor.Seconds()) * tokenRate
	}
	h.app.reset()
	h.model.ready(length)
	h.open(n, tabs)
	began := time.Now()
	listening, leave := context.WithCancel(ctx)
	defer h.wg.Wait()
	defer leave()
	if h.busy {
		h.model.start()
	}
	took, err := h.startRelays(ctx, h.nodes[0], n, every, func(relay int) {
		for _, p := range h.pages[relay*tabs : (relay+1)*tabs] {
			h.wg.Go(func() { p.listen(listening, h.browser) })
		}
	})
	if err != nil {
		return row{}, err
	}
	starting := time.Since(began)
	result := row{cells: []cell{count(n), rate(n, starting), millis(took.quantile(0.99))}}
	var happened int64
	if !h.busy {
		h.up.Wait()
		h.model.start()
	}
	if h.happens != nil {
		if err := sleep(ctx, h.troubleAfter); err != nil {
			return row{}, err
		}
		happened = now()
		if err := h.happens(h, ctx); err != nil {
			return row{}, err
		}
	}
	h.settle(ctx, n)
	leave()
	h.wg.Wait()
	return h.result(result, happened, length), nil
}

// startNodes starts what the trouble needs.
func (h *hearing) startNodes(ctx context.Context) error {
	switch h.engine {
	case "file":
		h.broker = "file " + filepath.Join(h.dir, "log-"+fmt.Sprint(time.Now().UnixNano()))
	case "redis":
		url, err := h.startRedis(ctx)
		if err != nil {
			return err
		}
		h.broker = "redis " + url
	}
	for range h.trouble.nodes {
		t, err := relayed.startOn(ctx, h.bench, h.scenario, h.protocol, h.broker)
		if t != nil && t.process != nil {
			h.targets = append(h.targets, t)
		}
		if err != nil {
			return err
		}
		h.nodes = append(h.nodes, t)
	}
	return nil
}

// relayed is the Caddy of this scenario.
var relayed = &caddy{streams: true, relays: true}

// startRedis runs a redis-server that stops with the session, and returns its URL.
func (h *hearing) startRedis(ctx context.Context) (string, error) {
	program, err := exec.LookPath("redis-server")
	if err != nil {
		return "", fmt.Errorf("%w: apt-get install redis-server", errMissing)
	}
	address, err := freeAddress()
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(h.dir, "redis-")
	if err != nil {
		return "", err
	}
	_, port, _ := strings.Cut(address, ":")
	p, err := startProcess(filepath.Join(dir, "log"), nil, program, "--port", port, "--bind", "127.0.0.1", "--dir", dir, "--save", "", "--appendonly", "no")
	if err != nil {
		return "", err
	}
	h.targets = append(h.targets, &target{process: p})
	return "redis://" + address, p.listening(ctx, address)
}

// open prepares the pages. They listen once their relay has been started.
func (h *hearing) open(n, tabs int) {
	for i := range n * tabs {
		p := &page{path: relayPath(i / tabs), retry: time.Second}
		p.tally, p.keepID = &h.tally, true
		for k := range h.nodes {
			p.nodes = append(p.nodes, h.nodes[(i+k)%len(h.nodes)].address)
		}
		h.up.Add(1)
		p.up = sync.OnceFunc(h.up.Done)
		h.pages = append(h.pages, p)
	}
}

// settle waits until all pages have had the end, and the app was told of all relays, or neither is to be expected any more.
func (h *hearing) settle(ctx context.Context, n int) {
	const patience = time.Minute
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	over := make(chan struct{})
	go func() {
		h.wg.Wait()
		close(over)
	}()
	select {
	case <-over:
	case <-ctx.Done():
		return
	}
	for relays, _, _ := h.app.count(); relays < n; relays, _, _ = h.app.count() {
		if sleep(ctx, 10*time.Millisecond) != nil {
			return
		}
	}
	_ = sleep(ctx, time.Second) // for calls that come twice
}

// result adds the figures of the tokens and the ends.
func (h *hearing) result(r row, happened int64, length int) row {
	missed, untold, last := 0, 0, int64(0)
	for _, p := range h.pages {
		missed += max(p.outcome.Events-p.received, 0)
		if p.err != nil || p.outcome.Status != h.ending || h.ending == "complete" && p.outcome.Events != length {
			untold++
		}
		last = max(last, p.ended)
	}
	told := cell{}
	if h.ending == "interrupted" {
		told = seconds(time.Duration(last - happened))
	}
	relays, keys, differing := h.app.count()
	r.cells = append(r.cells, millis(h.tally.delays.quantile(0.99)), count(missed), count(h.tally.disorder), told, count(untold),
		count(relays), count(keys), count(differing))
	return r
}

// reload loads the config of the node again, many times.
func (h *hearing) reload(ctx context.Context) error {
	config, err := os.ReadFile(h.nodes[0].config)
	if err != nil {
		return err
	}
	for range h.reloads {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, h.nodes[0].admin+"/load", strings.NewReader(string(config)))
		if err != nil {
			return err
		}
		request.Header.Set("Content-Type", "text/caddyfile")
		request.Header.Set("Cache-Control", "must-revalidate") // though it is the same
		response, err := h.browser.Do(request)
		if err != nil {
			return err
		}
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return errors.New("reloading: " + response.Status)
		}
	}
	return nil
}

// kill kills the node that runs the relays.
func (h *hearing) kill(context.Context) error {
	h.nodes[0].stop()
	return nil
}

// restart kills the node, and starts it again.
func (h *hearing) restart(ctx context.Context) error {
	h.nodes[0].stop()
	if err := sleep(ctx, time.Second); err != nil {
		return err
	}
	return relayed.run(ctx, h.bench, h.nodes[0])
}
