package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// fileSize is that of a file that is downloaded, and of an upload.
const fileSize = 100_000

// callers is how many browsers make requests at once.
const callers = 4

// stock is the same Caddy without sse_push.
var stock = newCaddy("Caddy without sse_push", caddy{}, h1TLS, h2)

var ordinary = scenario{
	name:  "ordinary",
	title: func(*bench) string { return "Ordinary requests: what they cost beside streams" },
	note: fmt.Sprintf("With a browser's headers and 1 KB of cookies, CPU per request; %d connections with one request at a time. File: %d bytes from disk.\n"+
		"Upload: as much, which the site reads. Beside a stream: the connection holds an idle stream. Woken: so do many connections, each of which\n"+
		"has a request once a second; delay of these. The Caddy without sse_push holds no streams.", callers, fileSize),
	protocols: []protocol{h1TLS, h2}, files: true,
	servers: []*server{servers[1], servers[2], stock},
	columns: func(*bench) []string {
		return []string{"small", "file", "upload", "beside a stream", "woken", "p50 of woken"}
	},
	measure: measureOrdinary,
	goal: func(g *goals) {
		if alone, ok := find(g.all, stock.key, stock.variant, g.row.protocol); ok {
			g.multiples(1.10, alone, alone.cells, 0, 1, 2, 3, 4)
		}
	},
}

func measureOrdinary(ctx context.Context, r *session) (row, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // closes the connections
	t, err := r.start(ctx)
	if err != nil {
		return row{}, err
	}
	small := &exchange{method: "GET", path: "/small", size: len("ok")}
	var result row
	browsers, err := t.callers(ctx, callers)
	if err != nil {
		return row{}, err
	}
	for _, work := range []struct {
		exchange *exchange
		n        int
	}{
		{small, r.requests},
		{&exchange{method: "GET", path: "/file", size: fileSize}, r.files},
		{&exchange{method: "POST", path: "/upload", body: bytes.Repeat([]byte("0123456789"), fileSize/10), size: len("ok")}, r.files},
	} {
		c, err := r.requestsCost(ctx, t, browsers, work.exchange, work.n)
		if err != nil {
			return row{}, err
		}
		result.cells = append(result.cells, c)
	}
	if t.protocol == h1TLS { // a stream has a connection of its own
		return result, nil
	}
	if err := t.hold(browsers, 0); err != nil {
		return row{}, err
	}
	beside, err := r.requestsCost(ctx, t, browsers, small, r.requests)
	if err != nil {
		return row{}, err
	}
	woken, p50, err := r.wakingCost(ctx, t, small)
	result.cells = append(result.cells, beside, woken, p50)
	return result, err
}

// callers connects n callers.
func (t *target) callers(ctx context.Context, n int) (callers []caller, err error) {
	for i := range n {
		c, err := t.caller(ctx, i)
		if err != nil {
			return nil, err
		}
		callers = append(callers, c)
	}
	return callers, nil
}

// hold opens a stream on each connection, if the server has streams.
func (t *target) hold(callers []caller, user int) error {
	if t.path == nil {
		return nil
	}
	for i, c := range callers {
		if err := c.hold(user + i); err != nil {
			return err
		}
	}
	return nil
}

// requestsCost makes n requests as fast as they are answered, after a tenth as many to warm up. It returns the CPU per request.
func (r *session) requestsCost(ctx context.Context, t *target, browsers []caller, e *exchange, n int) (cell, error) {
	each := n / len(browsers)
	all := func(each int) error {
		errs := make([]error, len(browsers))
		var wg sync.WaitGroup
		for i, c := range browsers {
			wg.Go(func() {
				for k := 0; k < each && errs[i] == nil; k++ {
					errs[i] = c.do(e)
				}
			})
		}
		wg.Wait()
		for _, err := range errs {
			if err != nil {
				return err
			}
		}
		return ctx.Err()
	}
	if err := all(each / 10); err != nil {
		return cell{}, err
	}
	m, err := r.meter(ctx, t)
	if err != nil {
		return cell{}, err
	}
	if err := all(each); err != nil {
		return cell{}, err
	}
	cpu, err := m.spent()
	return micros(cpu, each*len(browsers), inMicros), err
}

// wakingCost makes requests on many connections that hold a stream and have been idle for a while. It returns the CPU and the
// median delay of a request.
func (r *session) wakingCost(ctx context.Context, t *target, e *exchange) (cpu, p50 cell, err error) {
	quiet, err := t.callers(ctx, r.parked)
	if err == nil {
		err = t.hold(quiet, callers)
	}
	if err == nil {
		err = sleep(ctx, 2*r.settle)
	}
	if err != nil {
		return cell{}, cell{}, err
	}
	m, err := r.meter(ctx, t)
	if err != nil {
		return cell{}, cell{}, err
	}
	var delays histogram
	tick := time.NewTicker(r.round / time.Duration(len(quiet)))
	defer tick.Stop()
	for range r.rounds {
		// Neighbours do not stand next to each other in the server's memory.
		for _, i := range rand.Perm(len(quiet)) {
			at := now()
			if err := quiet[i].do(e); err != nil {
				return cell{}, cell{}, err
			}
			delays.add(now() - at)
			select {
			case <-tick.C:
			case <-ctx.Done():
				return cell{}, cell{}, ctx.Err()
			}
		}
	}
	spent, err := m.spent()
	return micros(spent, r.rounds*len(quiet), inMicros), millis(delays.quantile(0.5)), err
}

// writeFiles writes the file that the site serves.
func writeFiles(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	body := make([]byte, fileSize)
	random := rand.NewChaCha8([32]byte{})
	_, _ = random.Read(body) // it returns no errors
	return os.WriteFile(filepath.Join(dir, "file"), body, 0o644)
}
