package hub

import "github.com/sse-push/caddy-sse-push/broker"

// decision is what becomes of an id that a client comes back with: whether its stream goes on from there, or the client gets
// a gap.
type decision uint8

const (
	goOn       decision = iota + 1 // the stream goes on in the window, after the id
	readLog                        // it goes on in the log's archive, after the id
	await                          // this node lags: it waits until the window has come to the id, and decides again
	seek                           // the broker tells on which side of the window the id is; then as for older or newer
	gapUnknown                     // the client gets a gap of that reason, unless an older id of its own is better
	gapTrimmed
	gapLost
)

// decisions has the decision for each place of an id in the window, and each standing of it in the broker's log. An id within
// the window needs no standing. Nor does one older than the window if nothing that the connection hears was trimmed since: it
// counts as within.
//
// An id newer than the window is waited for even if the log has trimmed or lost what came after it: the log then has a hole in
// that place, which tells the client when the window comes to it.
var decisions = [...][broker.Ahead + 1]decision{
	//        broker.Unknown  Exact    Trimmed     Lost     Ahead
	within:  {goOn, goOn, goOn, goOn, goOn},
	older:   {gapUnknown, readLog, gapTrimmed, gapLost, gapUnknown},
	newer:   {gapUnknown, await, await, await, gapUnknown},
	between: {gapUnknown, goOn, gapTrimmed, gapLost, gapUnknown},
	foreign: {gapUnknown, seek, gapTrimmed, gapLost, gapUnknown},
}

// reason returns the reason of the gap that a decision ends in, "" for none.
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
