package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

var connectStorm = scenario{
	name: "connect",
	title: func(b *bench) string {
		return fmt.Sprintf("Connect storm: %s clients at once, %s over HTTP/3", number(b.storm), number(b.h3Clients))
	},
	note: fmt.Sprintf("%d connect at a time without TLS, %d with it, from the first packet to the head of the response. CPU is the server's, until\n"+
		"half a second after the last. Peak: by how much the resident memory of its processes grew at most, for each client.", connecting, connsConnecting),
	protocols: every,
	columns: func(*bench) []string {
		return []string{"took", "connects/s", "CPU per connect", "peak memory per client", "failed", "rejected"}
	},
	measure: measureConnects,
	goal: func(g *goals) {
		switch g.row.protocol {
		case h1:
			g.times(1.5, "nchan", 2)
		case h2:
			g.times(1, "before", 2, 3)
		}
	},
}

func measureConnects(ctx context.Context, r *session) (row, error) {
	t, s, err := r.ready(ctx, 0)
	if err != nil {
		return row{}, err
	}
	m, err := r.meter(ctx, t)
	if err != nil {
		return row{}, err
	}
	peak, err := t.watchPeak()
	if err != nil {
		return row{}, err
	}
	n := r.fit(r.storm)
	if err := s.connect(ctx, n); err != nil {
		return row{}, err
	}
	took := time.Duration(now() - m.at)
	if err := sleep(ctx, 500*time.Millisecond); err != nil {
		return row{}, err
	}
	cpu, err := m.spent()
	if err != nil {
		return row{}, err
	}
	grown, err := peak()
	if err != nil {
		return row{}, err
	}
	return row{cells: []cell{seconds(took), rate(n, took), micros(cpu, n, inMicros), kib(grown, n), count(s.failures),
		count(s.snapshot().rejected)}}, nil
}

var resumeStorm = scenario{
	name: "resume",
	title: func(b *bench) string {
		return fmt.Sprintf("Resume storm: %s clients (%s over HTTP/3) come back at once, each missed %d events", number(b.clients),
			number(b.h3Clients), b.missed)
	},
	note: "All have had one broadcast, leave, and come back with its id after the others. CPU per client from connecting to the last\n" +
		"missed event; of the floor, which has no history, only connecting.",
	protocols: browsers, broadcasts: true,
	columns: func(*bench) []string { return []string{"CPU per client", "took", "lost", "gaps"} },
	measure: measureResume,
	goal: func(g *goals) {
		if g.row.protocol == h1 {
			g.most(0, 150)
			g.times(0.85, "before", 0)
		}
		g.none("none lost, no gap", 2, 3)
	},
}

func measureResume(ctx context.Context, r *session) (row, error) {
	t, err := r.start(ctx)
	if err != nil {
		return row{}, err
	}
	before, err := r.swarm(t)
	if err != nil {
		return row{}, err
	}
	before.keepID = true
	clients := r.fit(r.clients)
	if err := before.mustConnect(ctx, clients); err != nil {
		return row{}, err
	}
	if err := sleep(ctx, r.settle); err != nil {
		return row{}, err
	}
	p, err := t.publisher(ctx)
	if err != nil {
		return row{}, err
	}
	defer p.close()
	if err := p.publish(ctx, event{user: everybody, size: payloadSize}); err != nil {
		return row{}, err
	}
	if err := before.settled(ctx, clients); err != nil {
		return row{}, err
	}
	before.close()

	after, err := r.swarm(t)
	if err != nil {
		return row{}, err
	}
	after.lastEventID = before.clients[0].lastID
	after.first[0] = 1
	keeps := r.server.key != "floor"
	if keeps && after.lastEventID == "" {
		return row{}, errors.New("events have no id")
	}
	if err := sleep(ctx, r.settle); err != nil { // the server sees them leave
		return row{}, err
	}
	for seq := range r.missed {
		if err := p.publish(ctx, event{user: everybody, seq: uint32(1 + seq), size: payloadSize}); err != nil {
			return row{}, err
		}
	}
	if err := sleep(ctx, r.settle); err != nil {
		return row{}, err
	}
	m, err := r.meter(ctx, t)
	if err != nil {
		return row{}, err
	}
	if err := after.mustConnect(ctx, clients); err != nil {
		return row{}, err
	}
	took := time.Duration(now() - m.at)
	if keeps {
		if err := after.settled(ctx, clients*r.missed); err != nil {
			return row{}, err
		}
		took = time.Duration(after.snapshot().last - m.at)
	}
	cpu, err := m.spent()
	if err != nil {
		return row{}, err
	}
	result := row{cells: []cell{micros(cpu, clients, inMicros), seconds(took)}}
	if keeps {
		result.cells = append(result.cells, count(lost(after.clients, r.missed)), count(after.snapshot().gaps))
	}
	return result, nil
}
