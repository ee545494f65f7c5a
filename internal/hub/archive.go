package hub

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

// archive reads what is older than the window from the broker, page by page, for connections that catch up. A page is read once
// for all that need it at about the same time: when another node has gone, its clients resume here together.
type archive struct {
	hub   *Hub
	empty bool // the broker cannot be read again, so there is nothing before the window

	mu      sync.Mutex // guards all below
	closed  bool
	asked   map[broker.Position]*question
	queue   []*Conn // connections that want a page
	readers int
	pages   []*archived // newest last
	bytes   int64       // the size of all their entries
	size    int64       // a running mean of the size of an entry; 0: no page was read yet
}

const (
	// archiveReaders is how many pages are read at the same time.
	archiveReaders = 4
	// archivePage is the most entries that a page has, and pageBytes about how large it is. firstSize is the least that an
	// entry is assumed to take before the first page was read.
	archivePage = 64
	pageBytes   = 1 << 20
	firstSize   = 64 << 10
	// archiveBytes and archivePages bound the pages that are kept for others.
	archiveBytes = 16 << 20
	archivePages = 256
	// maxScan is how many entries are read for one connection before it gets a gap, so that a resume does not cost the length
	// of the history. Fewer are read for one whose matchers take longer than fastMatch for a topic, in tenths of a microsecond.
	maxScan   = 100_000
	fastMatch = 100
	// readTimeout bounds the reading of a page. readAgain is the time after a failure until it is tried again.
	readTimeout = 10 * time.Second
	readAgain   = time.Second
)

// archived is a page: the entries of the log after a position, up to last.
type archived struct {
	after, last broker.Position
	entries     []*entry
	bytes       int64
}

// question asks the broker how a position stands. All that ask about the same position share it.
type question struct {
	answered chan struct{}
	standing broker.Standing
	err      error
}

// stands returns how a position stands to the log. Clients that resume from the same position together share one question.
func (a *archive) stands(ctx context.Context, p broker.Position) (broker.Standing, error) {
	a.mu.Lock()
	q := a.asked[p]
	if q == nil && !a.closed {
		q = &question{answered: make(chan struct{})}
		if a.asked == nil {
			a.asked = map[broker.Position]*question{}
		}
		a.asked[p] = q
		a.hub.done.Go(func() { a.ask(q, p) })
	}
	a.mu.Unlock()
	if q == nil {
		return 0, broker.ErrClosed
	}
	select {
	case <-q.answered:
		return q.standing, q.err
	case <-ctx.Done():
		return 0, ErrNotReady
	}
}

func (a *archive) ask(q *question, p broker.Position) {
	ctx, cancel := context.WithTimeout(a.hub.ctx, readTimeout)
	defer cancel()
	q.standing, q.err = a.hub.broker.Resolve(ctx, p)
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.asked, p)
	close(q.answered)
}

// want queues a connection for its next page. The caller holds c.shard.mu.
func (a *archive) want(c *Conn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return
	}
	a.queue = append(a.queue, c)
	if a.readers < archiveReaders {
		a.readers++
		a.hub.done.Go(a.read)
	}
}

// close stops all reading.
func (a *archive) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed, a.queue = true, nil
}

// read gets pages until no connection wants one.
func (a *archive) read() {
	for {
		a.mu.Lock()
		if len(a.queue) == 0 {
			a.readers--
			a.mu.Unlock()
			return
		}
		c := a.queue[0]
		a.queue[0] = nil
		a.queue = a.queue[1:]
		a.mu.Unlock()
		a.serve(c)
	}
}

// serve gets a connection's next page.
func (a *archive) serve(c *Conn) {
	c.shard.mu.Lock()
	over := c.ended || c.place == gone
	at := c.catchUp.at
	c.shard.mu.Unlock()
	if over {
		return
	}
	page, err := a.page(at)
	var reason string
	switch {
	case err == nil:
	case errors.Is(err, broker.ErrTrimmed):
		reason = "trimmed"
	case errors.Is(err, broker.ErrLost):
		reason = "lost"
	case errors.Is(err, broker.ErrUnknown):
		reason = "unknown"
	default: // the engine cannot be reached
		time.AfterFunc(readAgain, func() {
			c.shard.mu.Lock()
			defer c.shard.mu.Unlock()
			a.want(c)
		})
		return
	}

	heard := page.entries
	if c.matches { // here, as it may take long, and its matchers do not change
		heard = slices.DeleteFunc(slices.Clone(heard), func(e *entry) bool { return !c.interest().hears(e) })
	}
	seq, where := a.hub.window.locate(page.last)
	oldest, _ := a.hub.window.oldest()
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	if c.place == gone { // meanwhile
		return
	}
	u := c.catchUp
	switch {
	case c.shard.cursor < oldest: // the shard may have yet to obey something in the page: see "Order" in control.go
		u.state = needsPage{}
		c.shard.stall(c)
		return
	case reason != "":
		u.state = breaksOff{reason}
	case where == within, where == between:
		c.receive(page, heard, meetsWindow{seq})
	case u.scanned+c.scans(page) >= maxScan:
		c.receive(page, heard, breaksOff{"trimmed"})
	default:
		c.receive(page, heard, needsPage{})
	}
	c.signal()
	c.shard.tell()
}

// page returns the entries after a position. If it holds all that comes before the window, its last position is the window's
// start.
func (a *archive) page(after broker.Position) (archived, error) {
	a.mu.Lock()
	for _, p := range a.pages {
		if rest, ok := p.rest(after); ok {
			a.mu.Unlock()
			return rest, nil
		}
	}
	a.mu.Unlock()

	_, upTo := a.hub.window.oldest()
	ctx, cancel := context.WithTimeout(a.hub.ctx, readTimeout)
	defer cancel()
	entries, err := a.hub.broker.Read(ctx, after, upTo, a.limit())
	p := &archived{after: after, last: upTo}
	if err != nil || len(entries) == 0 {
		return *p, err
	}
	a.hub.intake.take(entries)
	previous := after
	for i := range entries {
		e := newEntry(0, &entries[i])
		if e.share == presenceShare && a.hub.who.passedOver(e.pos) {
			e.targets = nil
		}
		e.follows(previous)
		previous = e.pos
		e.receipt = a.hub.window.receipts.of(entries[i].Record.Receipt)
		p.entries = append(p.entries, e)
		p.bytes += e.held()
	}
	p.last = entries[len(entries)-1].Position
	if a.keep(p) {
		a.hub.main.relieve()
	}
	return *p, nil
}

// limit returns how many entries the next page should have.
func (a *archive) limit() int {
	a.mu.Lock()
	size := a.size
	a.mu.Unlock()
	if size == 0 {
		size = max(firstSize, a.hub.window.meanSize())
	}
	return int(min(max(pageBytes/size, 1), archivePage))
}

// keep stores a page for other connections, and reports whether relieve is due.
func (a *archive) keep(p *archived) bool {
	mean := p.bytes / int64(len(p.entries))
	most := int64(archiveBytes)
	if budget := a.hub.memory.budget.Load(); budget > 0 {
		most = min(most, budget/4)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	before := a.bytes
	a.size = max(mean, (a.size+mean)/2) // larger events count at once
	a.pages = append(a.pages, p)
	a.bytes += p.bytes
	for len(a.pages) > archivePages || a.bytes > most && len(a.pages) > 1 {
		a.bytes -= a.pages[0].bytes
		a.pages[0] = nil
		a.pages = a.pages[1:]
	}
	return a.hub.memory.over(a.bytes-before, p.bytes)
}

// kept returns the entries of all stored pages. With drop, it also forgets the pages.
func (a *archive) kept(drop bool) (entries []*entry) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, p := range a.pages {
		entries = append(entries, p.entries...)
	}
	if drop {
		a.hub.memory.sum.Add(-a.bytes)
		a.pages, a.bytes = nil, 0
	}
	return entries
}

// rest returns the part of the page after a position, and whether the page has that position.
func (p *archived) rest(after broker.Position) (archived, bool) {
	if p.after == after {
		return *p, true
	}
	for i, e := range p.entries[:len(p.entries)-1] {
		if e.pos == after {
			return archived{after: after, last: p.last, entries: p.entries[i+1:]}, true
		}
	}
	return archived{}, false
}
