package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

var connectStorm = scenario{
	name:  "connect",
	title: func(b *bench) string { return fmt.Sprintf("Connect storm: %s clients at once", number(b.storm)) },
	note: fmt.Sprintf("%d connect at a time, over TCP to the head of the response. CPU is the server's, until half a second after the last.",
		connecting),
	protocols: plain,
	columns:   func(*bench) []string { return []string{"took", "connects/s", "CPU per connect", "failed", "rejected"} },
	measure:   measureConnects,
	goal:      noGoal,
}

func measureConnects(ctx context.Context, r *session) (row, error) {
	t, err := r.start(ctx)
	if err != nil {
		return row{}, err
	}
	s, err := r.swarm(t)
	if err != nil {
		return row{}, err
	}
	if err := sleep(ctx, r.settle); err != nil {
		return row{}, err
	}
	m, err := r.meter(ctx, t)
	if err != nil {
		return row{}, err
	}
	if err := s.connect(ctx, r.storm); err != nil {
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
	return row{cells: []string{fmt.Sprintf("%.2f s", took.Seconds()), number(int(float64(r.storm) / took.Seconds())),
		inMicros(micros(cpu, r.storm)), number(s.failures), number(s.snapshot().rejected)}}, nil
}

var resumeStorm = scenario{
	name: "resume",
	title: func(b *bench) string {
		return fmt.Sprintf("Resume storm: %s clients come back at once, each missed %d events", number(b.clients), b.missed)
	},
	note: "All have had one broadcast, leave, and come back with its id after the others. CPU per client from connecting to the last\n" +
		"missed event; of the floor, which has no history, only connecting.",
	protocols: plain, broadcasts: true,
	columns: func(*bench) []string { return []string{"CPU per client", "took", "lost", "gaps"} },
	measure: measureResume,
	goal: func(r row, _ []row) (string, verdict) {
		return "≤ 150 µs, none lost, no gap", judge(r.values[0] <= 150 && r.values[1] == 0)
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
	if err := before.mustConnect(ctx, r.clients); err != nil {
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
	if err := before.settled(ctx, r.clients); err != nil {
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
	if err := after.mustConnect(ctx, r.clients); err != nil {
		return row{}, err
	}
	took := time.Duration(now() - m.at)
	if keeps {
		if err := after.settled(ctx, r.clients*r.missed); err != nil {
			return row{}, err
		}
		took = time.Duration(after.snapshot().last - m.at)
	}
	cpu, err := m.spent()
	if err != nil {
		return row{}, err
	}
	perClient := micros(cpu, r.clients)
	result := row{cells: []string{fmt.Sprintf("%.0f µs", perClient), fmt.Sprintf("%.2f s", took.Seconds()), "–", "–"}}
	if keeps {
		missed, gaps := lost(after.clients, r.missed), after.snapshot().gaps
		result.cells = append(result.cells[:2], number(missed), number(gaps))
		result.values = []float64{perClient, float64(missed + gaps)}
	}
	return result, nil
}
