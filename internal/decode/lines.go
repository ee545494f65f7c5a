package decode

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"sync"
)

// lineReader reads lines, and holds no more than one in memory.
type lineReader struct {
	r    *bufio.Reader
	most int64
	long []byte
}

// readers has readers that were closed.
var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 32<<10) }}

func newLineReader(body io.Reader, most int64) *lineReader {
	l := &lineReader{r: readers.Get().(*bufio.Reader), most: most}
	l.r.Reset(body)
	return l
}

// close ends the use of the reader.
func (l *lineReader) close() {
	l.r.Reset(nil)
	readers.Put(l.r)
}

var errLongLine = errors.New("line too long")

// next returns a line without its newline, valid until the next call. The last line needs no newline.
func (l *lineReader) next() ([]byte, error) {
	l.long = l.long[:0]
	for {
		part, err := l.r.ReadSlice('\n')
		if int64(len(l.long)+len(part)) > l.most+1 {
			return nil, errLongLine
		}
		switch {
		case err == nil && len(l.long) == 0:
			return part[:len(part)-1], nil
		case err == nil:
			l.long = append(l.long, part[:len(part)-1]...)
			return l.long, nil
		}
		l.long = append(l.long, part...)
		if err == io.EOF && len(l.long) > 0 {
			return l.long, nil
		}
		if err != bufio.ErrBufferFull {
			return nil, err
		}
	}
}

// ready reports whether a whole line is buffered.
func (l *lineReader) ready() bool {
	b, _ := l.r.Peek(l.r.Buffered())
	return bytes.IndexByte(b, '\n') >= 0
}
