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
	protocols: plain, also: []*server{respond},
	columns: func(b *bench) (names []string) {
		for _, n := range b.users {
			names = append(names, "of "+number(n))
		}
		return append(names, "publishes/s", "p50", "p99", "lost", "gaps")
	},
	measure: measureOneUser,
	goal: func(r row, all []row) (string, verdict) {
		first, last := r.values[0], r.values[len(r.values)-1]
		text := "≤ 55 µs, flat"
		if floor, ok := of(all, respond.name, h1); ok {
			text += fmt.Sprintf(" (`respond` %.0f µs)", floor.values[0])
		}
		worst := 0.0
		for _, v := range r.values {
			worst = max(worst, v)
		}
		return text, judge(worst <= 55 && last <= 1.15*first)
	},
}

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
	total, rate := 0, 0.0
	for _, n := range r.users {
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
		each := r.posts / posters
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
		answered := time.Duration(now() - m.at)
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
		rate = float64(each*posters) / answered.Seconds()
		result.values = append(result.values, micros(cpu, each*posters))
		result.cells = append(result.cells, inMicros(micros(cpu, each*posters)))
		if !subscribes {
			result.cells = append(result.cells, slices.Repeat([]string{"–"}, len(r.users)-1)...)
			break
		}
	}
	result.cells = append(result.cells, number(int(rate)))
	if !subscribes {
		result.cells = append(result.cells, "–", "–", "–", "–")
		return result, nil
	}
	sum := s.snapshot()
	result.cells = append(result.cells, inMillis(sum.delays.quantile(0.5)), inMillis(sum.delays.quantile(0.99)),
		number(total-sum.delivered), number(sum.gaps))
	return result, nil
}

var batches = scenario{
	name: "batch",
	title: func(b *bench) string {
		return fmt.Sprintf("Batches: %s events to single users of %s, %d in a request", number(b.batched), number(b.clients), batch)
	},
	note: fmt.Sprintf("%d publishers, each with one connection. nchan cannot take events for different users in one request: it gets one POST\n"+
		"each, %d pipelined.", posters, pipelined),
	protocols: plain,
	columns: func(*bench) []string {
		return []string{"events/s", "CPU per event", "p50", "p99", "lost", "gaps", "refused"}
	},
	measure: measureBatches,
	goal: func(r row, _ []row) (string, verdict) {
		return "≥ 200,000", judge(r.values[0] >= 200_000)
	},
}

const batch = 500

func measureBatches(ctx context.Context, r *session) (row, error) {
	t, s, err := r.ready(ctx, r.clients)
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
		own := (r.clients - i + posters - 1) / posters
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
	rate := float64(sum.delivered) / time.Duration(sum.last-m.at).Seconds()
	return row{
		cells: []string{number(int(rate)), inMicros(micros(cpu, sum.delivered)), inMillis(sum.delays.quantile(0.5)),
			inMillis(sum.delays.quantile(0.99)), number(each*posters - sum.delivered), number(sum.gaps), number(refused)},
		values: []float64{rate},
	}, nil
}
