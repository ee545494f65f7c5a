package main

import (
	"context"
	"fmt"
)

var idle = scenario{
	name: "idle",
	title: func(b *bench) string {
		return fmt.Sprintf("Idle: memory per connection, %v after connecting", b.idleWait)
	},
	note: "The proportional set size (PSS) of all processes of the server, before and after, divided by the connections. Memory of the kernel\n" +
		"is not in it. Growth: what each further connection costs once the first are there.",
	protocols: every,
	columns: func(b *bench) (names []string) {
		for _, n := range b.idle {
			names = append(names, "of "+number(n))
		}
		return append(names, fmt.Sprintf("growth from %s to %s", number(b.growFrom), number(b.idle[len(b.idle)-1])))
	},
	measure: measureIdle,
	goal: func(r row, _ []row) (string, verdict) {
		first, last := r.values[0]/1024, r.values[len(r.values)-2]/1024
		switch r.protocol {
		case h1TLS:
			return "≤ 12 KiB", judge(last <= 12)
		case h2:
			return "≤ 80 KiB", judge(last <= 80)
		}
		return "≤ 2 KiB, ≤ 1 KiB", judge(first <= 2 && last <= 1)
	},
}

func measureIdle(ctx context.Context, r *session) (row, error) {
	var result row
	for i, n := range r.idle {
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
		before, err := t.memory()
		if err != nil {
			return row{}, err
		}
		after := func(clients int) (int64, error) {
			if err := s.mustConnect(ctx, clients); err != nil {
				return 0, err
			}
			if err := sleep(ctx, r.idleWait); err != nil {
				return 0, err
			}
			if n := s.snapshot().closed; n > 0 {
				return 0, fmt.Errorf("%d clients were closed", n)
			}
			return t.memory()
		}
		grown, first := int64(0), 0
		if i == len(r.idle)-1 {
			first = min(r.growFrom, n-1)
			if grown, err = after(first); err != nil {
				return row{}, err
			}
		}
		end, err := after(n - first)
		if err != nil {
			return row{}, err
		}
		result.values = append(result.values, float64(end-before)/float64(n))
		if first > 0 {
			result.values = append(result.values, float64(end-grown)/float64(n-first))
		}
		s.close()
		t.stop()
	}
	for _, v := range result.values {
		result.cells = append(result.cells, kib(v))
	}
	return result, nil
}
