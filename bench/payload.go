package main

import "time"

const (
	// mark begins the data of every event that is measured.
	mark = '@'
	// payloadSize is how many bytes of data an event has, unless a scenario says otherwise.
	payloadSize = 120
	// maxPublishers bounds how many number their events at once.
	maxPublishers = 8

	seqDigits, timeDigits = 8, 16
	payloadHead           = 2 + seqDigits + timeDigits
)

var began = time.Now()

// now is a monotonic time in nanoseconds, short enough to travel in an event.
func now() int64 { return int64(time.Since(began)) }

// event is one event to publish.
type event struct {
	user      int // everybody if negative
	publisher int // who numbers it
	seq       uint32
	size      int
}

const everybody = -1

// appendPayload writes an event's data: the mark, who published it, its number in what its publisher sent to its
// target, the time, and padding. None of it needs quoting in JSON.
func appendPayload(dst []byte, e event, at int64) []byte {
	dst = append(dst, mark, 'a'+byte(e.publisher))
	dst = appendDigits(dst, uint64(e.seq), seqDigits)
	dst = appendDigits(dst, uint64(at), timeDigits)
	for n := e.size - payloadHead; n > 0; n-- {
		dst = append(dst, 'x')
	}
	return dst
}

func appendDigits(dst []byte, v uint64, digits int) []byte {
	for i := 0; i < digits; i++ {
		dst = append(dst, '0')
	}
	for i := len(dst) - 1; v > 0; i-- {
		dst[i] += byte(v % 10)
		v /= 10
	}
	return dst
}

// parsePayload reads what appendPayload wrote.
func parsePayload(data []byte) (publisher int, seq uint32, at int64, ok bool) {
	if len(data) < payloadHead || data[0] != mark {
		return 0, 0, 0, false
	}
	publisher = int(data[1] - 'a')
	n, ok1 := digits(data[2 : 2+seqDigits])
	t, ok2 := digits(data[2+seqDigits : payloadHead])
	return publisher, uint32(n), int64(t), ok1 && ok2 && publisher >= 0 && publisher < maxPublishers
}

func digits(text []byte) (v uint64, ok bool) {
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, false
		}
		v = v*10 + uint64(c-'0')
	}
	return v, true
}
