package main

import (
	"context"
	"fmt"
	"time"
)

var slowClients = scenario{
	name: "slow",
	title: func(b *bench) string {
		return fmt.Sprintf("Slow clients: 10 %% of %s (%s over HTTP/3) stop reading for %v", number(b.clients), number(b.slowH3), b.slowFor)
	},
	note: fmt.Sprintf("Paced broadcasts of 4 KiB, at first while all read, then while a tenth does not, which has a receive buffer of %d bytes. Delays\n"+
		"are those of the others. Memory: PSS that the server took on for each slow client. At the end the slow ones read again: complete are\n"+
		"those that then have had every event, told those that were given a gap, lost those that were given neither. The floor drops whoever is slow.",
		smallBuffer),
	protocols: browsers, broadcasts: true, slowClients: true,
	columns: func(*bench) []string {
		return []string{"p50 before", "p99 before", "p50", "p99", "lost by others", "memory per slow client", "complete", "told", "lost", "closed"}
	},
	measure: measureSlow,
	goal: func(g *goals) {
		calm, p99 := g.row.cell(1).value, g.row.cell(3).value
		g.add(p99 <= 2*calm+10, "the others notice nothing")
		g.none("nothing is lost unsaid", 4, 8)
	},
}

const smallBuffer = 4 << 10

func measureSlow(ctx context.Context, r *session) (row, error) {
	clients := r.clients
	if r.protocol == h3 {
		clients = min(clients, r.slowH3)
	}
	quick := clients / 10 * 9
	t, s, err := r.ready(ctx, quick)
	if err != nil {
		return row{}, err
	}
	s.nextSlow, s.smallBuffer = true, smallBuffer
	if err := s.mustConnect(ctx, clients-quick); err != nil {
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
	return row{cells: []cell{millis(calm.delays.quantile(0.5)), millis(calm.delays.quantile(0.99)),
		millis(sum.delays.quantile(0.5)), millis(sum.delays.quantile(0.99)), count(lost(s.clients[:quick], total)),
		kib(grown-memory, len(slow)), count(complete), count(told), count(missed), count(closed)}}, nil
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
