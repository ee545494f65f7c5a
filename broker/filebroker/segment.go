package filebroker

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync"
)

// A segment is a file named after the seq of its first frame. It has a header, frames, and, once it is full, a footer of
// marks and a trailer. In an unfinished segment, zeros follow the frames.
//
//	header   magic [8], version uint32, CRC-32C of both; salt uint32, first uint64, CRC-32C of both
//	marks    each seq uint64, offset uint64: where frames begin, about every 64 KiB
//	trailer  where the frames end uint64, last seq uint64, newest time int64, number of marks uint32, CRC-32C of
//	         the marks, CRC-32C of the trailer so far, magic [4]
const (
	segmentMagic   = "SSEPUSH\n"
	segmentVersion = 1
	headerSize     = 8 + 4 + 4 + 4 + 8 + 4
	trailerMagic   = "FULL"
	trailerSize    = 8 + 8 + 8 + 4 + 4 + 4 + 4
	markSize       = 16
	markEvery      = 64 << 10
	segmentSuffix  = ".log"
	maxSeq         = 1 << 62
)

// segment describes a segment's file. The log's mu guards all fields except those that never change.
type segment struct {
	first uint64 // never changes, as path and salt
	path  string
	salt  uint32

	end            int64  // where the readable frames end
	last           uint64 // seq of the last of them; first-1 if there is none
	oldest, newest int64  // their times; of a finished segment, only newest
	disk           int64  // bytes of the file
	full           bool   // it is finished; only the last one is not

	loading sync.Mutex // held while the marks of a finished segment are read; locked before the log's mu
	marks   []mark
	marked  bool // they are complete
}

// mark is where a frame begins.
type mark struct {
	seq uint64
	at  int64
}

func segmentPath(dir string, first uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%019d", first)+segmentSuffix)
}

// listSegments returns the segments of a directory, oldest first. Nothing but their names is read yet.
func listSegments(dir string, salt uint32) (list []*segment, err error) {
	files, err := os.ReadDir(dir) // sorted by name
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		number, ok := strings.CutSuffix(f.Name(), segmentSuffix)
		first, err := strconv.ParseUint(number, 10, 64)
		if path := filepath.Join(dir, f.Name()); ok && err == nil && first > 0 && first < maxSeq && path == segmentPath(dir, first) {
			list = append(list, &segment{first: first, path: path, salt: salt, end: headerSize, last: first - 1})
		}
	}
	return list, nil
}

func (s *segment) header() []byte { return s.headerOf(segmentVersion) }

func (s *segment) headerOf(version uint32) []byte {
	b := append(make([]byte, 0, headerSize), segmentMagic...)
	b = le.AppendUint32(b, version)
	b = le.AppendUint32(b, crc32.Checksum(b, castagnoli))
	b = le.AppendUint64(le.AppendUint32(b, s.salt), s.first)
	return le.AppendUint32(b, crc32.Checksum(b[16:], castagnoli))
}

// readHeader reads the salt from the header, and reports whether the header is in order.
func (s *segment) readHeader(f io.ReaderAt) (ok bool, err error) {
	var b [headerSize]byte
	if _, err := f.ReadAt(b[:], 0); err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	if string(b[:8]) != segmentMagic || le.Uint32(b[12:]) != crc32.Checksum(b[:12], castagnoli) {
		return false, nil
	}
	if v := le.Uint32(b[8:]); v != segmentVersion {
		return false, fmt.Errorf("%s is of format version %d, and this program knows only version %d: it was written by a newer one", s.path, v, segmentVersion)
	}
	if le.Uint32(b[28:]) != crc32.Checksum(b[16:28], castagnoli) || le.Uint64(b[20:]) != s.first {
		return false, nil
	}
	s.salt = le.Uint32(b[16:])
	return true, nil
}

// load reads a segment's header and trailer. sound is false if the header is damaged. A segment that is not full has to be
// scanned.
func (s *segment) load(f *os.File) (sound bool, err error) {
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	s.disk = info.Size()
	if sound, err = s.readHeader(f); err == nil {
		s.full = s.readTrailer(f)
	}
	return sound, err
}

// scan reads a segment frame by frame. If each is not nil, it is called with every frame.
func (s *segment) scan(f io.ReaderAt, end int64, each func(*frame)) error {
	w := s.walk(f, mark{s.first, headerSize}, end, scanChunk)
	s.marks, s.end, s.last, s.oldest, s.newest = nil, headerSize, s.first-1, 0, 0
	for {
		fr, err := w.step()
		if errors.Is(err, io.EOF) {
			s.marked = true
			return nil
		} else if err != nil {
			return fmt.Errorf("reading %s: %w", s.path, err)
		}
		s.add(&fr)
		if each != nil {
			each(&fr)
		}
	}
}

// scanChunk is how many bytes are read at once when a whole segment is read.
const scanChunk = 1 << 20

func (s *segment) walk(f io.ReaderAt, from mark, end int64, chunk int) *walker {
	return &walker{file: f, salt: s.salt, at: from.at, end: end, next: from.seq, chunk: chunk}
}

// add notes a frame after all others.
func (s *segment) add(f *frame) {
	if len(s.marks) == 0 || f.at-s.marks[len(s.marks)-1].at >= markEvery {
		s.marks = append(s.marks, mark{f.seq, f.at})
	}
	if s.oldest == 0 {
		s.oldest = f.time
	}
	s.last, s.newest, s.end = f.seq, max(s.newest, f.time), f.end()
}

// footer returns the bytes that follow the frames of a full segment.
func (s *segment) footer() []byte {
	b := make([]byte, 0, len(s.marks)*markSize+trailerSize)
	for _, m := range s.marks {
		b = le.AppendUint64(le.AppendUint64(b, m.seq), uint64(m.at))
	}
	sum, trailer := crc32.Checksum(b, castagnoli), len(b)
	b = le.AppendUint64(le.AppendUint64(le.AppendUint64(b, uint64(s.end)), s.last), uint64(s.newest))
	b = le.AppendUint32(le.AppendUint32(b, uint32(len(s.marks))), sum)
	b = le.AppendUint32(b, crc32.Checksum(b[trailer:], castagnoli))
	return append(b, trailerMagic...)
}

// readTrailer reads the trailer of a full segment, and reports whether there is one.
func (s *segment) readTrailer(f io.ReaderAt) bool {
	b, count := s.trailer(f)
	if b == nil {
		return false
	}
	end, last := int64(le.Uint64(b)), le.Uint64(b[8:])
	if end < headerSize || end != s.disk-trailerSize-count*markSize || last+1 < s.first || last >= maxSeq {
		return false
	}
	s.end, s.last, s.newest = end, last, int64(le.Uint64(b[16:]))
	return true
}

// trailer returns the trailer's bytes, nil if they are not in order, and how many marks precede it.
func (s *segment) trailer(f io.ReaderAt) (b []byte, marks int64) {
	b = make([]byte, trailerSize)
	if s.disk < headerSize+trailerSize {
		return nil, 0
	}
	if _, err := f.ReadAt(b, s.disk-trailerSize); err != nil {
		return nil, 0
	}
	if string(b[36:]) != trailerMagic || le.Uint32(b[32:]) != crc32.Checksum(b[:32], castagnoli) {
		return nil, 0
	}
	return b, int64(le.Uint32(b[24:]))
}

// readMarks returns the marks of a full segment, if they are in order.
func (s *segment) readMarks(f io.ReaderAt) (marks []mark, ok bool) {
	trailer, n := s.trailer(f)
	if trailer == nil || n*markSize > s.disk {
		return nil, false
	}
	b := make([]byte, n*markSize)
	if _, err := f.ReadAt(b, s.disk-trailerSize-int64(len(b))); err != nil || le.Uint32(trailer[28:]) != crc32.Checksum(b, castagnoli) {
		return nil, false
	}
	for ; len(b) > 0; b = b[markSize:] {
		marks = append(marks, mark{le.Uint64(b), int64(le.Uint64(b[8:]))})
	}
	return marks, true
}

// nearest returns the last mark that is not after seq.
func (s *segment) nearest(seq uint64) mark {
	i := sort.Search(len(s.marks), func(i int) bool { return s.marks[i].seq > seq })
	if i == 0 {
		return mark{s.first, headerSize}
	}
	return s.marks[i-1]
}
