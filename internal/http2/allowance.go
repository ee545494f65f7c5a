package http2

import "time"

const (
	// maxAllowance is how many frames that serve nothing a client may send at once.
	maxAllowance = 1000
	// allowanceEvery is how long it takes until it may send one more.
	allowanceEvery = 50 * time.Millisecond
)

// allowance bounds what a client can make us do for nothing, by frames such as PING or SETTINGS that the inner server does not see. Data
// that it takes earns a client more, as it has to answer that with WINDOW_UPDATEs.
type allowance struct {
	left int32
	last int64 // when left was last raised, in units of allowanceEvery
}

func newAllowance() allowance { return allowance{left: maxAllowance} }

// earn adds what a client has to send for n bytes of data.
func (a *allowance) earn(n int) {
	if n > 0 {
		a.left = min(a.left+2+int32(n>>10), maxAllowance)
	}
}

// spend takes off a frame, and reports whether the client may send it. A long one counts as several.
func (a *allowance) spend(length uint32) bool {
	if a.left <= 0 {
		now := time.Now().UnixNano() / int64(allowanceEvery)
		a.left += int32(min(max(now-a.last, 0), maxAllowance/4))
		if a.last = now; a.left <= 0 {
			return false
		}
	}
	a.left -= 1 + int32(length>>14)
	return true
}
