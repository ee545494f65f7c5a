package main

import (
	"context"
	"fmt"
)

// proxied is the same Caddy as a plain proxy of the model: each tab has a request of its own there.
var proxied = newCaddy("Caddy `reverse_proxy`", caddy{proxy: true}, h1, h2)

var tokens = scenario{
	name: "tokens",
	title: func(b *bench) string {
		return fmt.Sprintf("Tokens: %d a second for %v, of %d bytes, in many answers of a model at once, with %d tabs each", tokenRate, b.tokenFor, payloadSize, b.tabs)
	},
	note: "With `relay` the proxy reads each answer once, for all its tabs; with `reverse_proxy` each tab asks the model. The delay is from just before\n" +
		"the model writes a token to when a tab has read it. The model, which writes each token by itself, is part of the load generator. CPU is\n" +
		"the server's, for each token that a tab gets. Twice: tokens that came twice or late.",
	protocols: []protocol{h1, h2},
	servers:   []*server{newCaddy("before", caddy{before: true, streams: true, relays: true}, h1, h2), newCaddy("sse_push", caddy{streams: true, relays: true}, h1, h2), proxied},
	columns: func(b *bench) (names []string) {
		for _, n := range b.tokenStreams {
			names = append(names, fmt.Sprintf("%s answers: CPU", number(n)), "p50", "p99", "lost", "twice")
		}
		return names
	},
	measure: measureTokens,
	goal: func(g *goals) {
		g.most(2, 50)
		for i := 0; i < len(g.row.cells); i += 5 {
			g.none("none lost or twice", i+3, i+4)
		}
	},
}

func measureTokens(ctx context.Context, r *session) (result row, err error) {
	for _, n := range r.tokenStreams {
		cells, err := r.measureAnswers(ctx, n)
		if err != nil {
			return row{}, fmt.Errorf("%d answers: %w", n, err)
		}
		result.cells = append(result.cells, cells...)
	}
	return result, nil
}

// measureAnswers measures n answers that stream at once.
func (r *session) measureAnswers(ctx context.Context, n int) ([]cell, error) {
	t, err := r.start(ctx)
	if err != nil {
		return nil, err
	}
	defer t.stop()
	each := int(r.tokenFor.Seconds() * tokenRate)
	r.model.ready(each)
	requests := n * r.tabs
	if r.server != proxied {
		requests = n
		if _, err := r.startRelays(ctx, t, n, 0, nil); err != nil {
			return nil, err
		}
	}
	s, err := r.swarm(t)
	if err != nil {
		return nil, err
	}
	if err := s.mustConnect(ctx, n*r.tabs); err != nil {
		return nil, err
	}
	if err := r.model.asked(ctx, requests); err != nil {
		return nil, err
	}
	if err := sleep(ctx, r.settle); err != nil {
		return nil, err
	}
	m, err := r.meter(ctx, t)
	if err != nil {
		return nil, err
	}
	r.model.start()
	if err := sleep(ctx, r.tokenFor); err != nil {
		return nil, err
	}
	if err := s.settled(ctx, n*r.tabs*each); err != nil {
		return nil, err
	}
	cpu, err := m.spent()
	if err != nil {
		return nil, err
	}
	sum := s.snapshot()
	return []cell{micros(cpu, sum.delivered, inMicros), millis(sum.delays.quantile(0.5)), millis(sum.delays.quantile(0.99)),
		count(lost(s.clients, each)), count(sum.disorder)}, nil
}
