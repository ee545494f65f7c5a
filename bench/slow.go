package main

import (
	"context"
	"fmt"
	"time"
)

var slowClients = scenario{
	name: "slow",
	title: func(b *bench) string {
		return fmt.Sprintf("Slow clients: 10 %% of %s stop reading for %v", number(b.clients), b.slowFor)
	},
	note: fmt.Sprintf("Paced broadcasts of 4 KiB, at first while all read, then while a tenth does not, which has a receive buffer of %d bytes. Delays\n"+
		"are those of the others. Memory: PSS that the server took on for each slow client. At the end the slow ones read again: complete are\n"+
		"those that then have had every event, told those that were given a gap, lost those that were given neither. The floor drops whoever is slow.",
		smallBuffer),
	protocols: plain, broadcasts: true, slowClients: true,
	columns: func(*bench) []string {
		return []string{"p50 before", "p99 before", "p50", "p99", "lost by others", "memory per slow client", "complete", "told", "lost", "closed"}
	},
	measure: measureSlow,
	goal: func(r row, _ []row) (string, verdict) {
		return "the others notice nothing; nobody loses anything unsaid",
			judge(r.values[1] <= 2*r.values[0]+float64(10*time.Millisecond) && r.values[2] == 0)
	},
}

const smallBuffer = 4 << 10

func measureSlow(ctx context.Context, r *session) (row, error) {
	quick := r.clients / 10 * 9
	t, s, err := r.ready(ctx, quick)
	if err != nil {
		return row{}, err
	}
	s.nextSlow, s.smallBuffer = true, smallBuffer
	if err := s.mustConnect(ctx, r.clients-quick); err != nil {
		return row{}, err
	}
	if err := sleep(ctx, r.settle); err != nil {
		return row{}, err
	}
	slow := s.slowOnes()
	p, err := t.publisher(ctx)
	if err != nil {
		return row{}, err
	}
	defer p.close()

	before, err := r.pace(ctx, p, 0, r.slowBefore, r.slowEventSize)
	if err != nil {
		return row{}, err
	}
	if err := s.settled(ctx, before*quick); err != nil {
		return row{}, err
	}
	calm := s.snapshot()
	s.restart()
	memory, err := t.memory()
	if err != nil {
		return row{}, err
	}
	if err := s.driver.freeze(slow); err != nil {
		return row{}, err
	}
	during, err := r.pace(ctx, p, before, r.slowFor, r.slowEventSize)
	if err != nil {
		return row{}, err
	}
	if err := s.settled(ctx, (before+during)*quick); err != nil {
		return row{}, err
	}
	sum := s.snapshot()
	grown, err := t.memory()
	if err != nil {
		return row{}, err
	}
	if err := s.driver.thaw(slow); err != nil {
		return row{}, err
	}
	total := before + during
	if err := s.quiet(ctx, &s.slow, total*len(slow), 3*time.Second); err != nil {
		return row{}, err
	}
	complete, told, missed, closed := fates(slow, total)
	calm99, p99 := calm.delays.quantile(0.99), sum.delays.quantile(0.99)
	othersLost := lost(s.clients[:quick], total)
	return row{
		cells: []string{inMillis(calm.delays.quantile(0.5)), inMillis(calm99), inMillis(sum.delays.quantile(0.5)), inMillis(p99),
			number(othersLost), kib(float64(grown-memory) / float64(len(slow))),
			number(complete), number(told), number(missed), number(closed)},
		values: []float64{float64(calm99), float64(p99), float64(othersLost + missed)},
	}, nil
}

// fates sorts slow clients by what has become of them.
func fates(slow []*client, total int) (complete, told, missed, closed int) {
	for _, c := range slow {
		c.tally.mu.Lock()
		switch {
		case c.received == total:
			complete++
		case c.gone:
			closed++
		case c.gaps > 0:
			told++
		default:
			missed++
		}
		c.tally.mu.Unlock()
	}
	return complete, told, missed, closed
}
