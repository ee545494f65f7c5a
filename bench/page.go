package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// page is a tab of a browser that hears a relay as EventSource does: if its stream ends too early, it comes back with the last id.
type page struct {
	client
	nodes []string // addresses; if one cannot be reached, the next one is asked
	path  string
	retry time.Duration
	up    func() // called once: it is connected, or has given up

	outcome relayEnd
	ended   int64 // when it had the outcome
	err     error // why it gave up without one
}

// relayEnd is the data of sse:end.
type relayEnd struct {
	Status string
	Events int
}

// errNoRelay is the answer that there is no such relay.
var errNoRelay = errors.New("there is no such relay")

// listen hears the relay to its end.
func (p *page) listen(ctx context.Context, browser *http.Client) {
	defer func() { p.up() }()
	for node := 0; ; node++ {
		err := p.hear(ctx, browser, p.nodes[node%len(p.nodes)])
		switch {
		case p.end != "":
			p.ended = now()
			p.err = json.Unmarshal([]byte(p.end), &p.outcome)
			return
		case errors.Is(err, errNoRelay):
			p.err = err
			return
		}
		if sleep(ctx, p.retry) != nil {
			p.err = err
			return
		}
	}
}

// hear opens one stream, and reads it to its end.
func (p *page) hear(ctx context.Context, browser *http.Client, node string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+node+p.path, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Accept", "text/event-stream")
	if p.lastID != "" {
		request.Header.Set("Last-Event-ID", p.lastID)
	}
	response, err := browser.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK:
	case http.StatusNoContent:
		return errNoRelay
	default:
		return fmt.Errorf("status %d", response.StatusCode)
	}
	p.up()
	lines := bufio.NewScanner(response.Body)
	var event []string
	for p.end == "" && lines.Scan() {
		if lines.Text() != "" {
			event = append(event, lines.Text())
			continue
		}
		p.dispatch(event)
		event = event[:0]
	}
	return lines.Err()
}

// dispatch takes an event that has come whole: one that breaks off does not count, and neither does its id.
func (p *page) dispatch(event []string) {
	p.tally.mu.Lock()
	defer p.tally.mu.Unlock()
	p.at = now()
	for _, line := range event {
		if value, ok := strings.CutPrefix(line, "retry: "); ok {
			if ms, err := strconv.Atoi(value); err == nil {
				p.retry = time.Duration(ms) * time.Millisecond
			}
			continue
		}
		p.readLine([]byte(line))
	}
}
