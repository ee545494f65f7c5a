package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

const (
	posters = 4
	// stride visits the users in an order that no cache helps with.
	stride = 7_919
)

var oneUser = scenario{
	name: "user",
	title: func(b *bench) string {
		return fmt.Sprintf("One user at a time: one POST each, %s of them", number(b.posts))
	},
	note: fmt.Sprintf("%d publishers, each with one connection and one request at a time. CPU per publish, delivery and answer included. The floor is\n"+
		"told over a bare connection; `respond` is the same Caddy answering the same POST without delivering anything. Rate and delays are\n"+
		"those with most clients.", posters),
	protocols: browsers, servers: slices.Concat(servers, peers, []*server{respond}),
	columns: func(b *bench) (names []string) {
		for _, n := range b.users {
			names = append(names, "of "+number(n))
		}
		return append(names, "publishes/s", "p50", "p99", "lost", "gaps")
	},
	measure: measureOneUser,
	goal: func(g *goals) {
		last := len(g.row.cells) - 6
		if least, ok := find(g.all, respond.key, respond.variant, h1); ok && g.row.protocol == h1 {
			g.multiples(1.30, least, slices.Repeat(least.cells[:1], last+1), 0, last)
			g.add(g.row.cell(last).value <= 1.10*g.row.cell(0).value, "growth ≤ 1.10")
		}
		g.none("none lost, no gap", last+4, last+5)
	},
}

// respond is the same Caddy with a site that only answers: the least that a POST costs.
var respond = newCaddy("Caddy `respond`", caddy{}, h1)

func measureOneUser(ctx context.Context, r *session) (row, error) {
	t, err := r.start(ctx)
	if err != nil {
		return row{}, err
	}
	subscribes := t.path != nil
	var s *swarm
	if subscribes {
		if s, err = r.swarm(t); err != nil {
			return row{}, err
		}
	}
	var result row
	sent := make([]uint32, r.users[len(r.users)-1])
	total, answered := 0, time.Duration(0)
	each := r.posts / posters
	for _, n := range r.users {
		if n > r.fit(n) {
			result.cells = append(result.cells, cell{})
			continue
		}
		if subscribes {
			if err := s.mustConnect(ctx, n-len(s.clients)); err != nil {
				return row{}, err
			}
			if err := sleep(ctx, r.settle); err != nil {
				return row{}, err
			}
			s.restart()
		}
		m, err := r.meter(ctx, t)
		if err != nil {
			return row{}, err
		}
		if _, err = t.together(ctx, posters, func(ctx context.Context, p *publisher, i int) error {
			// A user is always the same publisher's, so that the numbers are in order.
			own := (n - i + posters - 1) / posters
			for k := range each {
				user := k*stride%own*posters + i
				if err := p.publish(ctx, event{user: user, seq: sent[user], publisher: i, size: payloadSize}); err != nil {
					return err
				}
				sent[user]++
			}
			return nil
		}); err != nil {
			return row{}, err
		}
		answered = time.Duration(now() - m.at)
		total += each * posters
		if subscribes {
			if err := s.settled(ctx, total); err != nil {
				return row{}, err
			}
		}
		cpu, err := m.spent()
		if err != nil {
			return row{}, err
		}
		if subscribes {
			if sum := s.snapshot(); sum.positions > 0 {
				progress("user: %s clients have been sent %s positions in all", number(n), number(sum.positions))
			}
		}
		result.cells = append(result.cells, micros(cpu, each*posters, inMicros))
		if !subscribes {
			result.cells = append(result.cells, make([]cell, len(r.users)-1)...)
			break
		}
	}
	result.cells = append(result.cells, rate(each*posters, answered))
	if !subscribes {
		return result, nil
	}
	sum := s.snapshot()
	result.cells = append(result.cells, millis(sum.delays.quantile(0.5)), millis(sum.delays.quantile(0.99)),
		count(total-sum.delivered), count(sum.gaps))
	return result, nil
}

var batches = scenario{
	name: "batch",
	title: func(b *bench) string {
		return fmt.Sprintf("Batches: %s events to single users of %s (%s over HTTP/3), %d in a request", number(b.batched),
			number(b.clients), number(b.h3Clients), batch)
	},
	note: fmt.Sprintf("%d publishers, each with one connection. nchan cannot take events for different users in one request: it gets one POST\n"+
		"each, %d pipelined.", posters, pipelined),
	protocols: browsers,
	columns: func(*bench) []string {
		return []string{"events/s", "CPU per event", "p50", "p99", "lost", "gaps", "refused"}
	},
	measure: measureBatches,
	goal: func(g *goals) {
		if g.row.protocol == h1 {
			g.least(0, 200_000)
			g.growth(0, 1.35, "before")
		}
		g.none("none lost, no gap", 4, 5)
	},
}

const batch = 500

func measureBatches(ctx context.Context, r *session) (row, error) {
	clients := r.fit(r.clients)
	t, s, err := r.ready(ctx, clients)
	if err != nil {
		return row{}, err
	}
	group := pipelined
	if t.batches {
		group = batch
	}
	each := r.batched / posters
	m, err := r.meter(ctx, t)
	if err != nil {
		return row{}, err
	}
	refused, err := t.together(ctx, posters, func(ctx context.Context, p *publisher, i int) error {
		own := (clients - i + posters - 1) / posters
		sent := make([]uint32, own)
		var events []event
		for k := range each {
			nth := k * stride % own
			events = append(events, event{user: nth*posters + i, publisher: i, seq: sent[nth], size: payloadSize})
			sent[nth]++
			if len(events) == group || k == each-1 {
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
	if err := s.settled(ctx, each*posters); err != nil {
		return row{}, err
	}
	cpu, err := m.spent()
	if err != nil {
		return row{}, err
	}
	sum := s.snapshot()
	return row{cells: []cell{rate(sum.delivered, time.Duration(sum.last-m.at)), micros(cpu, sum.delivered, inMicros),
		millis(sum.delays.quantile(0.5)), millis(sum.delays.quantile(0.99)), count(each*posters - sum.delivered), count(sum.gaps),
		count(refused)}}, nil
}
