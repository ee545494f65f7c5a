package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

var paced = scenario{
	name: "paced",
	title: func(b *bench) string {
		return fmt.Sprintf("Paced broadcast: %v a second, of %d bytes, to %s clients (%s over HTTP/3) for %v",
			float64(time.Second)/float64(b.paceEvery), payloadSize, number(b.clients), number(b.h3Clients), b.paceFor)
	},
	note: "CPU is the server's own, in user and kernel mode. The delay is from just before a publisher writes its request to when a client has\n" +
		"read the event.",
	protocols: paces, broadcasts: true, servers: slices.Concat(servers, peers),
	columns: func(*bench) []string { return []string{"CPU per delivery", "p50", "p99", "lost", "gaps"} },
	measure: measurePaced,
	goal: func(g *goals) {
		switch g.row.protocol {
		case h1:
			if floor, ok := find(g.all, "floor", "", h1); ok {
				g.multiples(1.25, floor, floor.cells, 0)
			}
			if nchan, ok := g.other("nchan"); ok {
				g.add(g.row.cell(2).value < nchan.cell(2).value, "p99 < nchan's")
			}
		case h1TLS:
			g.most(0, 23)
		case h2, h2Go:
			g.times(0.55, "before", 0)
			g.times(0.9, "nchan", 0)
		case h3:
			g.times(0.95, "before", 0)
		}
		g.none("none lost, no gap", 3, 4)
	},
}

func measurePaced(ctx context.Context, r *session) (row, error) {
	clients := r.fit(r.clients)
	t, s, err := r.ready(ctx, clients)
	if err != nil {
		return row{}, err
	}
	p, err := t.publisher(ctx)
	if err != nil {
		return row{}, err
	}
	defer p.close()
	m, err := r.meter(ctx, t)
	if err != nil {
		return row{}, err
	}
	events, err := r.pace(ctx, p, 0, r.paceFor, payloadSize)
	if err != nil {
		return row{}, err
	}
	if err := s.settled(ctx, events*clients); err != nil {
		return row{}, err
	}
	cpu, err := m.spent()
	if err != nil {
		return row{}, err
	}
	sum := s.snapshot()
	return row{cells: []cell{micros(cpu, sum.delivered, inMicros), millis(sum.delays.quantile(0.5)), millis(sum.delays.quantile(0.99)),
		count(lost(s.clients, events)), count(sum.gaps)}}, nil
}

// pace publishes a broadcast at a time, and returns how many it was.
func (r *session) pace(ctx context.Context, p *publisher, first int, d time.Duration, size int) (count int, err error) {
	tick := time.NewTicker(r.paceEvery)
	defer tick.Stop()
	for count = range int(d / r.paceEvery) {
		if err := p.publish(ctx, event{user: everybody, seq: uint32(first + count), size: size}); err != nil {
			return count, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return count, ctx.Err()
		}
	}
	return int(d / r.paceEvery), nil
}

var saturated = scenario{
	name: "saturated",
	title: func(b *bench) string {
		return fmt.Sprintf("Saturated broadcast: %s (%s of the floor's and nchan's) of %d bytes at full speed to %s clients, %s over HTTP/3", number(b.saturated),
			number(b.saturatedSlow), payloadSize, number(b.clients), number(b.h3Clients))
	},
	note: fmt.Sprintf("%d publishers, each with one connection. What takes many events in a request gets %d in each; nchan gets %d requests\n"+
		"pipelined. Refused: what the server asked to have sent again later.", saturators, saturatedBatch, pipelined),
	protocols: paces, broadcasts: true,
	columns: func(*bench) []string {
		return []string{"deliveries/s", "CPU per delivery", "p50", "p99", "lost", "gaps", "refused"}
	},
	measure: measureSaturated,
	goal: func(g *goals) {
		switch g.row.protocol {
		case h1:
			g.least(0, 1e6)
		case h2:
			g.growth(0, 1, "before")
		}
		g.none("none lost, no gap", 4, 5)
	},
}

const (
	saturators     = 4
	saturatedBatch = 50
	pipelined      = 16
)

func measureSaturated(ctx context.Context, r *session) (row, error) {
	clients := r.fit(r.clients)
	t, s, err := r.ready(ctx, clients)
	if err != nil {
		return row{}, err
	}
	each := r.saturated / saturators
	if r.server.key == "floor" || r.server.key == "nchan" {
		each = r.saturatedSlow / saturators
	}
	group := pipelined
	if t.batches {
		group = saturatedBatch
	}
	m, err := r.meter(ctx, t)
	if err != nil {
		return row{}, err
	}
	refused, err := t.together(ctx, saturators, func(ctx context.Context, p *publisher, i int) error {
		var events []event
		for seq := range each {
			events = append(events, event{user: everybody, publisher: i, seq: uint32(seq), size: payloadSize})
			if len(events) == group || seq == each-1 {
				if err := p.publish(ctx, events...); err != nil {
					return err
				}
				events = events[:0]
			}
		}
		return nil
	})
	if err != nil {
		return row{}, err
	}
	if err := s.settled(ctx, each*saturators*clients); err != nil {
		return row{}, err
	}
	cpu, err := m.spent()
	if err != nil {
		return row{}, err
	}
	sum := s.snapshot()
	return row{cells: []cell{rate(sum.delivered, time.Duration(sum.last-m.at)), micros(cpu, sum.delivered, inFineMicros),
		millis(sum.delays.quantile(0.5)), millis(sum.delays.quantile(0.99)), count(lost(s.clients, each*saturators)), count(sum.gaps),
		count(refused)}}, nil
}

// together runs publishers side by side, and returns how many events they had to send again.
func (t *target) together(ctx context.Context, n int, publish func(ctx context.Context, p *publisher, i int) error) (refused int, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	publishers := make([]*publisher, n)
	for i := range publishers {
		if publishers[i], err = t.publisher(ctx); err != nil {
			return 0, err
		}
		defer publishers[i].close()
	}
	var wg sync.WaitGroup
	for i, p := range publishers {
		wg.Go(func() {
			if err := publish(ctx, p, i); err != nil {
				cancel(err) // the first one counts: the others fail for it
			}
		})
	}
	wg.Wait()
	for _, p := range publishers {
		refused += p.refused
	}
	return refused, context.Cause(ctx)
}
