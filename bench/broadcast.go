package main

import (
	"context"
	"fmt"
	"sync"
	"time"
)

var paced = scenario{
	name: "paced",
	title: func(b *bench) string {
		return fmt.Sprintf("Paced broadcast: %v a second, of %d bytes, to %s clients for %v", float64(time.Second)/float64(b.paceEvery),
			payloadSize, number(b.clients), b.paceFor)
	},
	note: "CPU is the server's own, in user and kernel mode. The delay is from just before a publisher writes its request to when a client has\n" +
		"read the event.",
	protocols: every, broadcasts: true,
	columns: func(*bench) []string { return []string{"CPU per delivery", "p50", "p99", "lost", "gaps"} },
	measure: measurePaced,
	goal: func(r row, all []row) (string, verdict) {
		cpu, p99 := r.values[0], r.values[1]
		switch r.protocol {
		case h1TLS:
			return "< 23 µs", judge(cpu < 23)
		case h2:
			return "< 37 µs", judge(cpu < 37)
		}
		floor, ok := of(all, "floor", h1)
		if !ok {
			return "≤ 1.25 × floor", unknown
		}
		good := cpu <= 1.25*floor.values[0]
		text := fmt.Sprintf("≤ 1.25 × floor (%.2f ×)", cpu/floor.values[0])
		if nchan, ok := of(all, "nchan", h1); ok {
			text += ", p99 < nchan's"
			good = good && p99 < nchan.values[1]
		}
		return text, judge(good)
	},
}

func measurePaced(ctx context.Context, r *session) (row, error) {
	t, s, err := r.ready(ctx, r.clients)
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
	count, err := r.pace(ctx, p, 0, r.paceFor, payloadSize)
	if err != nil {
		return row{}, err
	}
	if err := s.settled(ctx, count*r.clients); err != nil {
		return row{}, err
	}
	cpu, err := m.spent()
	if err != nil {
		return row{}, err
	}
	sum := s.snapshot()
	perDelivery, p99 := micros(cpu, sum.delivered), sum.delays.quantile(0.99)
	return row{
		cells: []string{inMicros(perDelivery), inMillis(sum.delays.quantile(0.5)), inMillis(p99),
			number(lost(s.clients, count)), number(sum.gaps)},
		values: []float64{perDelivery, float64(p99)},
	}, nil
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
		return fmt.Sprintf("Saturated broadcast: %s of %d bytes at full speed to %s clients", number(b.saturated), payloadSize, number(b.clients))
	},
	note: fmt.Sprintf("%d publishers, each with one connection. What takes many events in a request gets %d in each; nchan gets %d requests\n"+
		"pipelined. Refused: what the server asked to have sent again later.", saturators, saturatedBatch, pipelined),
	protocols: every, broadcasts: true,
	columns: func(*bench) []string {
		return []string{"deliveries/s", "CPU per delivery", "p50", "p99", "lost", "gaps", "refused"}
	},
	measure: measureSaturated,
	goal: func(r row, _ []row) (string, verdict) {
		rate, spoiled := r.values[0], r.values[1]
		if r.protocol != h1 {
			return "none lost, no gap", judge(spoiled == 0)
		}
		return "≥ 1,000,000, none lost, no gap", judge(rate >= 1e6 && spoiled == 0)
	},
}

const (
	saturators     = 4
	saturatedBatch = 50
	pipelined      = 16
)

func measureSaturated(ctx context.Context, r *session) (row, error) {
	t, s, err := r.ready(ctx, r.clients)
	if err != nil {
		return row{}, err
	}
	each := r.saturated / saturators
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
	if err := s.settled(ctx, each*saturators*r.clients); err != nil {
		return row{}, err
	}
	cpu, err := m.spent()
	if err != nil {
		return row{}, err
	}
	sum := s.snapshot()
	rate := float64(sum.delivered) / time.Duration(sum.last-m.at).Seconds()
	missed := lost(s.clients, each*saturators)
	return row{
		cells: []string{number(int(rate)), fmt.Sprintf("%.2f µs", micros(cpu, sum.delivered)), inMillis(sum.delays.quantile(0.5)),
			inMillis(sum.delays.quantile(0.99)), number(missed), number(sum.gaps), number(refused)},
		values: []float64{rate, float64(missed + sum.gaps)},
	}, nil
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
