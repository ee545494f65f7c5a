package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"
)

// publisher publishes over one connection that it keeps.
type publisher struct {
	target  *target
	conn    net.Conn
	in      *responses
	out     []byte
	hasten  func() bool
	refused int // events that the server would not take at first
}

func (t *target) publisher(ctx context.Context) (*publisher, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", t.control)
	if err != nil {
		return nil, err
	}
	// A request that is under way ends with the context.
	hasten := context.AfterFunc(ctx, func() { conn.Close() })
	return &publisher{target: t, conn: conn, in: newResponses(conn), hasten: hasten}, nil
}

func (p *publisher) close() {
	p.hasten()
	p.conn.Close()
}

// publish sends events at once, reads all answers, and sends again what was refused for now.
func (p *publisher) publish(ctx context.Context, events ...event) error {
	for {
		var answers int
		p.out, answers = p.target.encode(p.out[:0], events)
		if _, err := p.conn.Write(p.out); err != nil {
			return fmt.Errorf("publishing: %w", err)
		}
		var again []event
		for i := range answers {
			group := events
			if answers > 1 {
				group = events[i : i+1]
			}
			refused, err := p.answer(group)
			if err != nil {
				return fmt.Errorf("publishing: %w", err)
			}
			again = append(again, refused...)
		}
		if len(again) == 0 {
			return nil
		}
		p.refused += len(again)
		events = again
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// answer reads one response, and returns the events that are to be sent again.
func (p *publisher) answer(events []event) (again []event, err error) {
	status, body, err := p.in.next()
	if err != nil {
		return nil, err
	}
	switch {
	case status == 429 || status == 503:
		return events, nil
	case status < 200 || status > 299:
		return nil, fmt.Errorf("status %d: %s", status, body)
	case len(events) < 2 || !bytes.Contains(body, []byte(`"error"`)):
		return nil, nil
	}
	var items []struct {
		Error *struct {
			Status int
			Detail string
		}
	}
	if err := json.Unmarshal(body, &items); err != nil || len(items) != len(events) {
		return nil, fmt.Errorf("%d answers to %d events: %w", len(items), len(events), err)
	}
	for i, item := range items {
		if item.Error == nil {
			continue
		}
		if item.Error.Status != 429 && item.Error.Status != 503 {
			return nil, errors.New(item.Error.Detail)
		}
		again = append(again, events[i])
	}
	return again, nil
}
