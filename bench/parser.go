package main

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// maxKept is how many bytes of a line are kept when it comes in pieces: more than any line needs to be understood.
const maxKept = 120

// parser reads an HTTP/1.x response whose body is an event stream, as it comes. It looks at each byte as little as it can.
type parser struct {
	state   parseState
	chunked bool
	left    int // of the chunk

	head []byte // as long as it is incomplete
	line []byte // the beginning of a line whose end has not come
}

type parseState byte

const (
	inHead parseState = iota
	inChunkSize
	inChunk
	inBody
	ended
)

// lineFunc is given each line of the body, without its end; of a long one perhaps only the beginning.
type lineFunc func(line []byte)

// feed takes the next bytes of the connection.
func (p *parser) feed(b []byte, line lineFunc) error {
	for len(b) > 0 {
		switch p.state {
		case inHead:
			p.head = append(p.head, b...)
			end := bytes.Index(p.head, []byte("\r\n\r\n"))
			if end < 0 {
				return nil
			}
			b = p.head[end+4:]
			if err := p.readHead(string(p.head[:end+2])); err != nil {
				return err
			}
			p.head = nil
		case inChunkSize:
			end := bytes.IndexByte(b, '\n')
			if end < 0 {
				p.head = append(p.head, b...)
				return nil
			}
			text := b[:end]
			if len(p.head) > 0 {
				text = append(p.head, text...)
				p.head = p.head[:0]
			}
			b = b[end+1:]
			text = bytes.TrimSuffix(text, []byte("\r"))
			if len(text) == 0 { // the end of the chunk before
				continue
			}
			n, ok := hex(text)
			if !ok {
				return fmt.Errorf("chunk size %q", text)
			}
			p.left, p.state = n, inChunk
			if n == 0 {
				p.state = ended
			}
		case inChunk:
			n := min(p.left, len(b))
			p.body(b[:n], line)
			b = b[n:]
			if p.left -= n; p.left == 0 {
				p.state = inChunkSize
			}
		case inBody:
			p.body(b, line)
			return nil
		case ended:
			return nil
		}
	}
	return nil
}

func (p *parser) readHead(head string) error {
	status, headers, _ := strings.Cut(head, "\r\n")
	if !strings.HasPrefix(status, "HTTP/1.1 200") {
		return fmt.Errorf("status %q", status)
	}
	p.state = inBody
	for field := range strings.SplitSeq(headers, "\r\n") {
		name, value, _ := strings.Cut(field, ":")
		if strings.EqualFold(name, "Transfer-Encoding") && strings.Contains(value, "chunked") {
			p.state, p.chunked = inChunkSize, true
		}
	}
	return nil
}

// body splits what came into lines.
func (p *parser) body(b []byte, line lineFunc) {
	if len(p.line) > 0 {
		end := bytes.IndexByte(b, '\n')
		piece := b
		if end >= 0 {
			piece = b[:end]
		}
		p.line = append(p.line, piece[:min(len(piece), max(maxKept-len(p.line), 0))]...)
		if end < 0 {
			return
		}
		line(p.line)
		p.line, b = p.line[:0], b[end+1:]
	}
	for {
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			p.line = append(p.line, b[:min(len(b), maxKept)]...)
			return
		}
		line(b[:end])
		b = b[end+1:]
	}
}

func hex(text []byte) (int, bool) {
	if size, _, found := bytes.Cut(text, []byte(";")); found {
		text = size
	}
	n, err := strconv.ParseUint(string(text), 16, 31)
	return int(n), err == nil
}
