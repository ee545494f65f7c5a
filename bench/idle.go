package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

const idleNote = "The proportional set size (PSS) of all processes of the server, before and after, divided by the connections. Memory of the kernel\n" +
	"is not in it. sse_push gives memory back 5 s after the last of many connections."

var idle = scenario{
	name:      "idle",
	title:     func(*bench) string { return "Idle: memory per connection" },
	note:      idleNote + " With limits, each client has an address and a user of its own.",
	protocols: []protocol{h1, h1TLS, h2},
	servers: slices.Concat(servers, peers, []*server{
		newCaddy("before, `per_user` and `per_ip`", caddy{before: true, streams: true, limits: true}, h1),
		newCaddy("sse_push, `per_user` and `per_ip`", caddy{streams: true, limits: true}, h1)}),
	columns: func(b *bench) []string { return idleColumns(b.idle, b.idleWaits) },
	measure: func(ctx context.Context, r *session) (row, error) { return measureIdle(ctx, r, r.idle) },
	goal: func(g *goals) {
		const first, late, last = 0, 2, 3
		switch {
		case g.row.server.variant == "limits":
			g.most(last, 0.9)
		case g.row.protocol == h1:
			g.most(first, 2)
			g.most(last, 1)
		case g.row.protocol == h1TLS:
			g.most(last, 8)
		case g.row.protocol == h2:
			g.most(late, 24)
			g.most(last, 14)
		}
	},
}

var idleH3 = scenario{
	name:      "idle-h3",
	title:     func(*bench) string { return "Idle: memory per connection over HTTP/3" },
	note:      "Clients keep their connections alive by a packet every 15 s, as browsers do. nginx has HTTP/3 from 1.25 on.",
	protocols: []protocol{h3},
	columns:   func(b *bench) []string { return idleColumns(b.idleH3, b.idleWaits) },
	measure:   func(ctx context.Context, r *session) (row, error) { return measureIdle(ctx, r, r.idleH3) },
	goal:      func(g *goals) { g.times(0.85, "before", 3) },
}

func idleColumns(numbers []int, waits []time.Duration) (names []string) {
	last := len(numbers) - 1
	for _, n := range numbers[:last] {
		names = append(names, fmt.Sprintf("of %s, after %v", number(n), waits[1]))
	}
	for _, wait := range waits {
		names = append(names, fmt.Sprintf("of %s, after %v", number(numbers[last]), wait))
	}
	return names
}

// measureIdle connects more and more clients, and looks at each number once and at the last one several times.
func measureIdle(ctx context.Context, r *session, numbers []int) (row, error) {
	t, s, err := r.ready(ctx, 0)
	if err != nil {
		return row{}, err
	}
	before, err := t.memory()
	if err != nil {
		return row{}, err
	}
	var result row
	for i, n := range numbers {
		if err := s.mustConnect(ctx, n-len(s.clients)); err != nil {
			return row{}, err
		}
		waits := r.idleWaits
		if i < len(numbers)-1 {
			waits = waits[1:2]
		}
		after, err := r.memoryAfter(ctx, t, s, waits)
		if err != nil {
			return row{}, err
		}
		for _, memory := range after {
			result.cells = append(result.cells, kib(memory-before, n))
		}
	}
	return result, nil
}

// memoryAfter returns the server's memory at several times after clients have connected.
func (r *session) memoryAfter(ctx context.Context, t *target, s *swarm, waits []time.Duration) (after []int64, err error) {
	connected := time.Now()
	for _, wait := range waits {
		if err := sleep(ctx, time.Until(connected.Add(wait))); err != nil {
			return nil, err
		}
		if n := s.snapshot().closed; n > 0 {
			return nil, fmt.Errorf("%d clients were closed", n)
		}
		memory, err := t.memory()
		if err != nil {
			return nil, err
		}
		after = append(after, memory)
	}
	r.heap(ctx, t)
	return after, nil
}
