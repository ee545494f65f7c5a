package filebroker

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
)

// A frame is a record in a segment, in little endian:
//
//	checksum  uint32  CRC-32C of all that follows except the end, begun with the log's salt
//	size      uint32  of the record's bytes
//	seq       uint64
//	time      int64   nanoseconds since 1970
//	flags     uint8
//	record    as broker.Record.Encode writes it, without its time
//	end       0xA5
//
// The salt keeps an event's data from being taken for a frame if the frame around it is damaged. The end is never zero, so
// that a frame which was not written in full differs from one that was damaged later.
const (
	frameHeader   = 4 + 4 + 8 + 8 + 1
	frameEnd      = 0xA5
	frameOverhead = frameHeader + 1
	maxRecord     = 64 << 20

	flagKeyed = 1 // the record has an idempotency key
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	le         = binary.LittleEndian
)

type frame struct {
	seq    uint64
	time   int64
	flags  byte
	record []byte
	at     int64 // where in its segment it begins
}

func (f *frame) end() int64 { return f.at + frameOverhead + int64(len(f.record)) }

// appendTo appends the frame's bytes to b.
func (f *frame) appendTo(b []byte, salt uint32) []byte {
	start := len(b)
	b = append(b, 0, 0, 0, 0)
	b = le.AppendUint32(b, uint32(len(f.record)))
	b = le.AppendUint64(b, f.seq)
	b = le.AppendUint64(b, uint64(f.time))
	b = append(append(b, f.flags), f.record...)
	le.PutUint32(b[start:], crc32.Update(salt, castagnoli, b[start+4:]))
	return append(b, frameEnd)
}

// walker reads the frames of a segment in order. It skips damaged ones; a jump in seq shows how many.
type walker struct {
	file    io.ReaderAt
	salt    uint32
	at, end int64  // where the next frame should be, and where the frames end
	next    uint64 // its seq
	chunk   int    // how many bytes are read at once

	buf   []byte // the file's bytes from bufAt on
	bufAt int64
}

// step returns the next frame, or io.EOF if there is none: then all bytes after at are unreadable. The frame is valid until the
// next step.
func (w *walker) step() (frame, error) {
	f, ok, err := w.frame(w.at)
	if err == nil && !ok {
		f, err = w.resync()
	}
	if err != nil {
		return frame{}, err
	}
	w.at, w.next = f.end(), f.seq+1
	return f, nil
}

// frame reads the frame at a place, if one begins there that can follow those before it.
func (w *walker) frame(at int64) (f frame, ok bool, err error) {
	b, err := w.peek(at, frameHeader)
	if b == nil {
		return f, false, err
	}
	size := int64(le.Uint32(b[4:]))
	seq := le.Uint64(b[8:])
	if size > maxRecord || seq < w.next || seq-w.next > uint64(at-w.at)/frameOverhead {
		return f, false, nil
	}
	b, err = w.peek(at, frameOverhead+size)
	if b == nil || b[len(b)-1] != frameEnd || le.Uint32(b) != crc32.Update(w.salt, castagnoli, b[4:len(b)-1]) {
		return f, false, err
	}
	return frame{seq: seq, time: int64(le.Uint64(b[16:])), flags: b[24], record: b[frameHeader : len(b)-1], at: at}, true, nil
}

// resync finds the first frame after a damaged one.
func (w *walker) resync() (frame, error) {
	if b, err := w.peek(w.at, frameHeader); err != nil {
		return frame{}, err
	} else if b != nil { // most likely its length is right
		if f, ok, err := w.frame(w.at + frameOverhead + int64(le.Uint32(b[4:]))); err != nil || ok && f.seq == w.next+1 {
			return f, err
		}
	}
	for at := w.at + 1; ; at++ {
		b, err := w.peek(at, frameHeader)
		if b == nil {
			if err == nil {
				err = io.EOF
			}
			return frame{}, err
		}
		// A header is never all zero, unlike the room that was allocated for more frames.
		rest := w.buf[at-w.bufAt:]
		if zeros := len(rest) - len(bytes.TrimLeft(rest, "\x00")); zeros >= frameHeader {
			at += int64(zeros - frameHeader)
			continue
		}
		if f, ok, err := w.frame(at); err != nil || ok {
			return f, err
		}
	}
}

// peek returns n bytes, or nil if there are fewer.
func (w *walker) peek(at, n int64) ([]byte, error) {
	if n > w.end-at {
		return nil, nil
	}
	if at < w.bufAt || at+n > w.bufAt+int64(len(w.buf)) {
		size := min(max(n, int64(w.chunk)), w.end-at)
		if int64(cap(w.buf)) < size {
			w.buf = make([]byte, size)
		}
		w.buf, w.bufAt = w.buf[:size], at
		if got, err := w.file.ReadAt(w.buf, at); int64(got) < size {
			w.buf = w.buf[:0]
			return nil, err
		}
	}
	return w.buf[at-w.bufAt:][:n], nil
}
