package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// publisher publishes over one connection that it keeps.
type publisher struct {
	target  *target
	conn    net.Conn
	in      *bufio.Reader
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
	return &publisher{target: t, conn: conn, in: bufio.NewReaderSize(conn, 64<<10), hasten: hasten}, nil
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
	status, body, err := p.response()
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

// response reads one HTTP/1.1 response. The body is good until the next.
func (p *publisher) response() (status int, body []byte, err error) {
	line, err := p.in.ReadSlice('\n')
	if err != nil {
		return 0, nil, err
	}
	code, found := bytes.CutPrefix(line, []byte("HTTP/1.1 "))
	n, ok := digits(code[:min(len(code), 3)])
	if !found || !ok {
		return 0, nil, fmt.Errorf("status line %q", line)
	}
	status = int(n)
	length, chunked := 0, false
	for {
		if line, err = p.in.ReadSlice('\n'); err != nil {
			return 0, nil, err
		}
		if line = bytes.TrimSpace(line); len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			n, ok := digits(value)
			if !ok {
				return 0, nil, fmt.Errorf("Content-Length %q", value)
			}
			length = int(n)
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			chunked = true
		}
	}
	if status == 204 {
		return status, nil, nil
	}
	if !chunked {
		body = make([]byte, length)
		_, err = io.ReadFull(p.in, body)
		return status, body, err
	}
	for {
		if line, err = p.in.ReadSlice('\n'); err != nil {
			return 0, nil, err
		}
		n, ok := hex(bytes.TrimSpace(line))
		if !ok {
			return 0, nil, fmt.Errorf("chunk size %q", line)
		}
		piece := make([]byte, n+2) // with the line's end
		if _, err := io.ReadFull(p.in, piece); err != nil {
			return 0, nil, err
		}
		if n == 0 {
			return status, body, nil
		}
		body = append(body, piece[:n]...)
	}
}
