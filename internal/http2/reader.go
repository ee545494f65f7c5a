package http2

import (
	"io"
	"sync"

	"golang.org/x/net/http2"
)

// frames reads the client's frames. Of each it keeps the header and the part that the state looks at.
type frames struct {
	preface int    // how many bytes of the client's preface are still to come
	rest    uint32 // how many bytes of the frame's payload are still to come
	judged  bool   // the state has taken in the frame
	drop    bool   // the rest is for nobody
	pending bool   // the frame goes to the inner server, which has not got what is in buf
	need    int    // how many bytes buf is to have
	small   [headerLen + 8]byte
	buf     []byte // of the frame; in small if that is large enough
}

// begin makes the reader ready for the next frame.
func (f *frames) begin() {
	f.rest, f.judged, f.drop, f.pending, f.need = 0, false, false, false, headerLen
	f.buf = f.small[:0]
}

// next reads on until the next frame's header and prefix are in buf. read returns an error if there is nothing to read, and next can be
// called again then.
func (f *frames) next(read func([]byte) (int, error)) (h header, prefix []byte, err error) {
	if f.judged {
		if err := f.skip(read); err != nil {
			return h, nil, err
		}
		f.begin()
	}
	for {
		for len(f.buf) < f.need {
			n, err := read(f.buf[len(f.buf):f.need])
			f.buf = f.buf[:len(f.buf)+n]
			if err != nil && len(f.buf) < f.need {
				return h, nil, err
			}
		}
		h = parseHeader(f.buf)
		n := clientPrefix(h)
		if n == 0 || f.need > headerLen {
			prefix = f.buf[headerLen:]
			f.rest = h.length - uint32(len(prefix))
			return h, prefix, nil
		}
		if f.need += n; f.need > cap(f.buf) {
			f.buf = append(make([]byte, 0, f.need), f.buf...)
		}
	}
}

// skipped has buffers for what nobody gets.
var skipped = sync.Pool{New: func() any { return new([4096]byte) }}

// skip reads what is left of a frame.
func (f *frames) skip(read func([]byte) (int, error)) error {
	if f.rest == 0 {
		return nil
	}
	buf := skipped.Get().(*[4096]byte)
	defer skipped.Put(buf)
	for f.rest > 0 {
		n, err := read(buf[:min(f.rest, uint32(len(buf)))])
		if f.rest -= uint32(n); err != nil && f.rest > 0 {
			return err
		}
	}
	return nil
}

// judge asks the state what becomes of the frame that was read.
func (f *frames) judge(s *state, h header, prefix []byte) verdict {
	v := s.client(h, prefix)
	f.judged, f.drop, f.pending = true, v.drop, !v.drop
	if v.instead != nil {
		f.buf = v.instead
	}
	return v
}

// greet checks bytes of the client's preface.
func (f *frames) greet(b []byte) error {
	done := len(http2.ClientPreface) - f.preface
	if string(b) != http2.ClientPreface[done:done+len(b)] {
		return io.EOF
	}
	f.preface -= len(b)
	return nil
}
