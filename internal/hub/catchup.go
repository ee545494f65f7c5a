package hub

import (
	"slices"

	"github.com/sse-push/caddy-sse-push/broker"
)

// catchUp is how far a connection that is not live has come in the log. It reads the window, or, if the window no longer has
// what comes next, the log's archive page by page, until the window goes on. The state says what its writer does next:
//
//	inWindow     reads the window after Conn.cursor       then live, or needsPage if that was trimmed
//	needsPage    asks the archive for the next page       then awaitsPage
//	awaitsPage   sleeps                                   then hasPage, or what follows a page without anything for it
//	*hasPage     sends what the page has for it           then needsPage, meetsWindow or breaksOff
//	meetsWindow  goes to the place after the page         then inWindow
//	breaksOff    tells the client of a gap                then inWindow
//
// A live connection has no catchUp. Neither has one on a broker that cannot be read again (broker.Forgetful): it always reads
// the window. The shard's lock guards it.
type catchUp struct {
	at      broker.Position // the connection has read everything up to here
	state   catchUpState
	scanned int // entries read from the archive so far, as scans counts them
}

// catchUpState is one of the types below.
type catchUpState interface {
	// next appends the frames that the connection's writer gets in this state, and sets the state that follows. The caller
	// holds shard.mu.
	next(c *Conn, frames [][]byte, max int64) [][]byte
}

// inWindow: the window has everything after at, which is the position of Conn.cursor. Conn.readWindow does the work.
type inWindow struct{}

// needsPage: the archive is to be asked for the page after at.
type needsPage struct{}

// awaitsPage: the archive has been asked, and will call receive.
type awaitsPage struct{}

// hasPage: part of a page is to be sent.
type hasPage struct {
	entries []*entry        // what the connection hears of the page; never empty
	bytes   int64           // of entries
	sent    broker.Position // the stream has been given everything up to here; zero if that is not known
	fresh   bool            // nothing of the page has been sent yet, so the stream is waiting for it
	then    catchUpState    // the state when entries is empty
	before  int             // catchUp.scanned before the page
}

// meetsWindow: the window goes on after a place.
type meetsWindow struct{ seq uint64 }

// breaksOff: the archive cannot be read any further.
type breaksOff struct{ reason string }

func (inWindow) next(_ *Conn, frames [][]byte, _ int64) [][]byte { return frames }

func (needsPage) next(c *Conn, frames [][]byte, _ int64) [][]byte {
	if len(frames) == 0 { // nothing is read for a client that takes nothing
		c.catchUp.state = awaitsPage{}
		c.shard.hub.archive.want(c)
	}
	return frames
}

func (awaitsPage) next(_ *Conn, frames [][]byte, _ int64) [][]byte { return frames }

func (pg *hasPage) next(c *Conn, frames [][]byte, max int64) [][]byte {
	n, size := fitting(pg.entries, len(frames), max)
	if n == 0 {
		return frames
	}
	frames = c.render(frames, pg.entries[:n])
	pg.sent, pg.fresh = pg.entries[n-1].pos, false
	clear(pg.entries[:n]) // else the rest of the page would keep them in memory
	pg.entries = pg.entries[n:]
	c.chargePage(pg, -size)
	if len(pg.entries) == 0 {
		c.catchUp.state = pg.then
	}
	return frames
}

func (s meetsWindow) next(c *Conn, frames [][]byte, _ int64) [][]byte {
	c.cursor, c.catchUp.state = s.seq, inWindow{}
	return frames
}

func (s breaksOff) next(c *Conn, frames [][]byte, _ int64) [][]byte {
	seq, to := c.shard.hub.window.oldest()
	frames = append(frames, c.gap(s.reason, c.catchUp.at, to))
	c.goOn(seq, to)
	c.sent = seq
	return frames
}

// goOn starts catching up in the window. The client has everything up to the place seq, whose position is p. The caller holds
// shard.mu, or is alone with the connection.
func (c *Conn) goOn(seq uint64, p broker.Position) {
	c.cursor = seq
	if !c.shard.hub.archive.empty {
		c.catchUp = &catchUp{at: p, state: inWindow{}}
	}
}

// goOnInLog starts catching up in the archive, after p. Nobody else may know the connection yet.
func (c *Conn) goOnInLog(p broker.Position) { c.catchUp = &catchUp{at: p, state: needsPage{}} }

// fallBack drops what waits for a live connection, which then catches up from before the oldest dropped entry. Its writer was
// woken for that one already. The caller holds shard.mu.
func (c *Conn) fallBack(cause string) {
	oldest := c.waiting.entries[0]
	c.live = false
	c.goOn(oldest.seq-1, c.shard.hub.window.positionOf(oldest.seq-1))
	if c.catchUp != nil && c.catchUp.at.IsZero() {
		// The window no longer knows the position before the oldest. So that one is sent first, and then the archive is asked
		// for the next.
		c.catchUp.at = oldest.pos
		pg := &hasPage{fresh: true, then: needsPage{}}
		c.catchUp.state = pg
		c.fill(pg, []*entry{oldest})
	}
	c.drop()
	c.shard.hub.stats.catchups.add(cause)
}

// inLog reports whether the connection reads the archive.
func (u *catchUp) inLog() bool { return u != nil && u.state != inWindow{} }

// page returns the page that the connection is being sent, or nil.
func (u *catchUp) page() *hasPage {
	if u == nil {
		return nil
	}
	pg, _ := u.state.(*hasPage)
	return pg
}

// pending returns how many bytes of a page wait for the connection.
func (u *catchUp) pending() int64 {
	if pg := u.page(); pg != nil {
		return pg.bytes
	}
	return 0
}

// given returns the position up to which the stream has been given everything; zero if that is not known. A client that is cut
// off can resume from it.
func (u *catchUp) given() broker.Position {
	if pg := u.page(); pg != nil {
		return pg.sent
	}
	return u.at
}

// scans returns how many entries of the archive a page counts as. It counts as several of its size if the connection's matchers take long.
func (c *Conn) scans(page archived) int {
	n := len(page.entries)
	if m := c.topics.matched(); m != nil {
		n *= max(1, m.effort/fastMatch)
	}
	return n
}

// receive takes a page from the archive, of which the connection may hear some entries. then is the state that follows it. The caller
// holds shard.mu.
func (c *Conn) receive(page archived, some []*entry, then catchUpState) {
	u, in := c.catchUp, c.interest()
	pg := &hasPage{sent: u.at, fresh: true, then: then, before: u.scanned}
	u.at, u.state = page.last, then
	u.scanned += c.scans(page)
	var heard []*entry
	for _, e := range some {
		if c.matches || in.hears(e) && !c.early(e) {
			heard = append(heard, e)
		}
	}
	if len(heard) > 0 {
		u.state = pg
		c.fill(pg, heard)
	}
}

// fill puts entries into an empty page. The caller holds shard.mu.
func (c *Conn) fill(pg *hasPage, entries []*entry) {
	pg.entries = entries
	var size int64
	for _, e := range entries {
		size += e.size()
	}
	c.chargePage(pg, size)
}

// chargePage counts bytes of a page that begin to wait, or cease to. The caller holds shard.mu.
func (c *Conn) chargePage(pg *hasPage, bytes int64) {
	pg.bytes += bytes
	c.shard.traffic.Pending += bytes
	c.shard.grown += max(bytes, 0)
}

// sift drops the entries of the page that the connection no longer hears. The caller holds shard.mu.
func (c *Conn) sift() {
	pg, in := c.catchUp.page(), c.interest()
	if pg == nil {
		return
	}
	pg.entries = slices.DeleteFunc(pg.entries, func(e *entry) bool {
		if in.hears(e) {
			return false
		}
		c.chargePage(pg, -e.size())
		return true
	})
	if len(pg.entries) == 0 {
		c.catchUp.state = pg.then
	}
}

// putBack drops the page, to read it again later, and returns the dropped entries. The first entry stays if the stream is
// waiting for it, so that every read gets the client further. The caller holds shard.mu.
func (c *Conn) putBack() []*entry {
	u, pg := c.catchUp, c.catchUp.page()
	keep := 0
	if pg.fresh || pg.sent.IsZero() {
		keep = 1
	}
	if len(pg.entries) <= keep {
		return nil
	}
	dropped := slices.Clone(pg.entries[keep:])
	for _, e := range dropped {
		c.chargePage(pg, -e.size())
	}
	u.scanned = pg.before
	if keep == 0 {
		u.at, u.state = pg.sent, needsPage{}
		return dropped
	}
	u.at = pg.entries[0].pos
	pg.entries, pg.then = slices.Clone(pg.entries[:1]), needsPage{}
	return dropped
}

// dropPage forgets the page of a connection that has ended. The caller holds shard.mu.
func (c *Conn) dropPage() {
	if pg := c.catchUp.page(); pg != nil {
		c.chargePage(pg, -pg.bytes)
		c.catchUp.state = pg.then
	}
}
