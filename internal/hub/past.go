package hub

import (
	"slices"

	"github.com/sse-push/caddy-sse-push/broker"
)

// past is where a connection stands that catches up from before the window.
type past struct {
	at      broker.Position // all up to here has been read
	sent    broker.Position // while page is not empty: all up to here has been given to the stream; zero: not known
	seq     uint64          // the place of at, where the window goes on behind it
	joined  bool            // the window does go on, and nothing of the page is left
	page    []*entry        // what matches of the last page, not yet sent
	bytes   int64           // of page
	fresh   bool            // nothing of the page has been sent yet: the stream is waiting for it
	met     bool            // the window goes on behind the page
	gap     string          // why there is no further page
	reading bool            // it is on its way
	scanned int             // entries read so far
	before  int             // scanned, before the last page
}

// given returns the position up to which the stream has been given everything; zero if that is not known. A client
// that is cut off can come back to it.
func (p *past) given() broker.Position {
	if len(p.page) > 0 {
		return p.sent
	}
	return p.at
}

// hold takes the entries of a page that the connection hears. The caller holds shard.mu.
func (c *Conn) hold(entries []*entry) {
	p, in := c.past, c.interest()
	var size int64
	for _, e := range entries {
		if in.hears(e) && !c.early(e) {
			p.page = append(p.page, e)
			size += e.size()
		}
	}
	p.fresh = true
	c.chargePage(size)
}

// chargePage counts bytes of the page that have begun to wait, or do no more. The caller holds shard.mu.
func (c *Conn) chargePage(bytes int64) {
	c.past.bytes += bytes
	c.shard.traffic.Pending += bytes
	c.shard.grown += max(bytes, 0)
}

// sift drops the entries of the page that the connection no longer hears. The caller holds shard.mu.
func (c *Conn) sift() {
	in := c.interest()
	c.past.page = slices.DeleteFunc(c.past.page, func(e *entry) bool {
		if in.hears(e) {
			return false
		}
		c.chargePage(-e.size())
		return true
	})
}

// putBack drops the page, which the connection will read again, and returns the entries that it has dropped. The first
// entry stays if the stream is waiting for it, so that each read gets the client further. The caller holds shard.mu.
func (c *Conn) putBack() []*entry {
	p := c.past
	keep := 0
	if p.fresh || p.sent.IsZero() {
		keep = 1
	}
	if len(p.page) <= keep {
		return nil
	}
	dropped := slices.Clone(p.page[keep:])
	for _, e := range dropped {
		c.chargePage(-e.size())
	}
	if p.at = p.sent; keep == 1 {
		p.at = p.page[0].pos
	}
	p.page = slices.Clone(p.page[:keep])
	p.met, p.gap, p.scanned = false, "", p.before
	return dropped
}

// leavePast forgets the page of a connection that has ended. The caller holds shard.mu.
func (c *Conn) leavePast() {
	if c.past != nil {
		c.chargePage(-c.past.bytes)
		c.past.page = nil
	}
}

// recall renders what was read from the archive, and asks for more. The caller holds shard.mu.
func (c *Conn) recall(frames [][]byte, max int64) [][]byte {
	p := c.past
	switch {
	case len(p.page) > 0:
		n := 0
		var size int64
		for ; n < len(p.page) && (n+len(frames) == 0 || size+p.page[n].size() <= max); n++ {
			size += p.page[n].size()
		}
		if n > 0 {
			frames = c.render(frames, p.page[:n])
			p.sent, p.fresh = p.page[n-1].pos, false
			clear(p.page[:n]) // else what is left of the page would keep them in memory
			p.page = p.page[n:]
			c.chargePage(-size)
		}
	case p.gap != "":
		seq, to := c.shard.hub.window.oldest()
		frames = append(frames, c.gap(p.gap, p.at, to))
		c.goOn(seq, to)
		c.sent = seq
	case p.met:
		c.cursor, p.joined = p.seq, true
	case !p.reading && len(frames) == 0: // one that takes nothing is not read for
		c.shard.hub.archive.want(c)
	}
	return frames
}
