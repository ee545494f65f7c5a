package main

import (
	"context"
	"fmt"
)

// firstStreams is how many streams each connection has before further ones are opened: enough for the collection that follows a
// storm to come before as well as after.
const firstStreams = 10

var furtherStreams = scenario{
	name: "streams",
	title: func(b *bench) string {
		return fmt.Sprintf("Further streams: memory of each of %d more on each of %d connections", b.streams, b.streamConns)
	},
	note:      fmt.Sprintf("As several tabs of a browser share a connection. It has %d streams before, and is idle. PSS as above.", firstStreams),
	protocols: []protocol{h2},
	columns: func(b *bench) (names []string) {
		for _, wait := range b.idleWaits {
			names = append(names, fmt.Sprintf("after %v", wait))
		}
		return names
	},
	measure: measureStreams,
	goal:    func(g *goals) { g.most(2, 1) },
}

func measureStreams(ctx context.Context, r *session) (row, error) {
	t, s, err := r.ready(ctx, r.streamConns)
	if err != nil {
		return row{}, err
	}
	s.further = true
	if err := s.mustConnect(ctx, r.streamConns*(firstStreams-1)); err != nil {
		return row{}, err
	}
	before, err := r.memoryAfter(ctx, t, s, r.idleWaits[1:2])
	if err != nil {
		return row{}, err
	}
	n := r.streamConns * r.streams
	if err := s.mustConnect(ctx, n); err != nil {
		return row{}, err
	}
	after, err := r.memoryAfter(ctx, t, s, r.idleWaits)
	if err != nil {
		return row{}, err
	}
	var result row
	for _, memory := range after {
		result.cells = append(result.cells, kib(memory-before[0], n))
	}
	return result, nil
}
