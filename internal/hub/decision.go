package hub

import "github.com/sse-push/caddy-sse-push/broker"

// place is where a position stands in relation to the window.
type place uint8

const (
	within  place = iota // the window's start, or one of its entries
	older                // before the window's start
	newer                // after the window's end
	between              // by its order inside the window, but none of its entries: the broker knows whether the position ever existed
	foreign              // of a life of the log that the window has not seen
)

// decision is what becomes of an id that a client resumes from: whether its stream goes on from there, or the client gets a gap.
type decision uint8

const (
	goOn       decision = iota + 1 // the stream goes on in the window, after the id
	readLog                        // the stream goes on in the archive, after the id
	await                          // this node lags: wait until the window has come to the id, and decide again
	seek                           // ask the broker on which side of the window the id is, and decide again
	gapUnknown                     // the client gets a gap with this reason, unless another of its ids is better
	gapTrimmed
	gapLost
)

// decisions has the decision for each place of an id in the window and each standing of it in the broker's log. The broker is
// not asked about an id within the window, nor about an older one if nothing that the connection hears was trimmed since: that
// counts as within.
//
// An id newer than the window is waited for even if the log has trimmed or lost what came after it. The log then has a hole in
// that place, and the client gets a gap when the window comes to it.
var decisions = [...][broker.Ahead + 1]decision{
	//        broker.Unknown  Exact    Trimmed     Lost     Ahead
	within:  {goOn, goOn, goOn, goOn, goOn},
	older:   {gapUnknown, readLog, gapTrimmed, gapLost, gapUnknown},
	newer:   {gapUnknown, await, await, await, gapUnknown},
	between: {gapUnknown, goOn, gapTrimmed, gapLost, gapUnknown},
	foreign: {gapUnknown, seek, gapTrimmed, gapLost, gapUnknown},
}

// reason returns the reason of the gap that a decision ends in, or "" if it does not.
func (d decision) reason() string {
	switch d {
	case gapUnknown:
		return "unknown"
	case gapTrimmed:
		return "trimmed"
	case gapLost:
		return "lost"
	}
	return ""
}
