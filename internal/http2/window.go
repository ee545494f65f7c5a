package http2

const (
	// reserve is how much of the client's connection window is kept for held streams.
	reserve = 256 << 10
	// minWindow is how large a client's connection window has to be for anything to be kept from the inner server. Of a smaller one the
	// reserve would be a large part, and a client that updates its window when half of it is used could then wait forever.
	minWindow = 1 << 20
	// minRefund is how much data for streams that are gone is taken in before the client gets that window back.
	minRefund = 16 << 10
)

// windows are the flow-control windows of a connection. Those of its streams are in stream.window.
type windows struct {
	toClient   int64 // T: what the client lets us send
	inner      int64 // I: what the inner server takes for that; what a fresh one will, while there is none
	fromClient int64 // U: what the client may send to us
	owed       int64 // what fromClient is to be raised by
	ample      bool  // the client grants enough for a reserve
}

func newWindows() windows {
	return windows{toClient: initialWindow, inner: initialWindow, fromClient: initialWindow}
}

// grant takes in an update of the client's window. It returns how much the inner server gets of it, and whether the window is valid.
func (w *windows) grant(n uint32) (forInner uint32, ok bool) {
	w.toClient += int64(n)
	if w.toClient > maxWindow {
		return 0, false
	}
	return w.share(), true
}

// share raises the inner server's window, and returns by how much. What the inner server has got cannot be taken back, even if all that it
// has to do is to wait. So it gets a quarter of the client's window at a time: either side can then use up more than half of that window,
// which makes the client update it. The reserve stays for held streams.
func (w *windows) share() uint32 {
	w.ample = w.ample || w.toClient >= minWindow
	most := w.toClient
	if w.ample {
		most = min(w.toClient/4, w.toClient-reserve)
	}
	more := max(most-w.inner, 0)
	w.inner += more
	return uint32(more)
}

// isLow reports whether the inner server has used up so much of its share that it is time for more.
func (w *windows) isLow() bool { return w.ample && w.inner < w.toClient/8 }

// sent notes data of the inner server that goes to the client.
func (w *windows) sent(n uint32) {
	w.toClient -= int64(n)
	w.inner -= int64(n)
}

// swallowed notes data of the inner server that does not go to the client.
func (w *windows) swallowed(n uint32) { w.inner -= int64(n) }

// room returns how much held streams may send.
func (w *windows) room() int64 { return max(w.toClient-w.inner, 0) }

// sparesInner reports whether the window allows what a fresh inner server begins with, and the reserve.
func (w *windows) sparesInner() bool { return w.ample && w.toClient >= initialWindow+reserve }

// refund notes that n bytes of the client's went nowhere. It returns by how much the client's window is to be raised now.
func (w *windows) refund(n uint32) uint32 {
	w.owed += int64(n)
	if w.owed < minRefund {
		return 0
	}
	n = uint32(w.owed)
	w.owed = 0
	w.fromClient += int64(n)
	return n
}

// greet takes in the first WINDOW_UPDATE of a fresh inner server, which lets the client send 65,535 bytes and n more. It returns by how
// much to raise the client's window, so that it is as large as that.
func (w *windows) greet(n uint32) uint32 {
	more := min(initialWindow+int64(n)-w.fromClient, maxWindow)
	w.owed = 0
	if more <= 0 {
		return 0
	}
	w.fromClient += more
	return uint32(more)
}
