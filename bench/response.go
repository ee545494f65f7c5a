package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"slices"
)

// responses reads the responses of HTTP/1.1 from a connection.
type responses struct {
	in   *bufio.Reader
	body []byte
}

func newResponses(conn net.Conn) *responses {
	return &responses{in: bufio.NewReaderSize(conn, 64<<10)}
}

// next reads one response. The body is good until the next.
func (r *responses) next() (status int, body []byte, err error) {
	line, err := r.in.ReadSlice('\n')
	if err != nil {
		return 0, nil, err
	}
	code, found := bytes.CutPrefix(line, []byte("HTTP/1.1 "))
	n, ok := digits(code[:min(len(code), 3)])
	if !found || !ok {
		return 0, nil, fmt.Errorf("status line %q", line)
	}
	status = int(n)
	length, chunked := 0, false
	for {
		if line, err = r.in.ReadSlice('\n'); err != nil {
			return 0, nil, err
		}
		if line = bytes.TrimSpace(line); len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			n, ok := digits(value)
			if !ok {
				return 0, nil, fmt.Errorf("Content-Length %q", value)
			}
			length = int(n)
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			chunked = true
		}
	}
	r.body = r.body[:0]
	if status == 204 {
		return status, nil, nil
	}
	if !chunked {
		err = r.read(length)
		return status, r.body, err
	}
	for {
		if line, err = r.in.ReadSlice('\n'); err != nil {
			return 0, nil, err
		}
		n, ok := hex(bytes.TrimSpace(line))
		if !ok {
			return 0, nil, fmt.Errorf("chunk size %q", line)
		}
		if err := r.read(n + 2); err != nil { // with the line's end
			return 0, nil, err
		}
		r.body = r.body[:len(r.body)-2]
		if n == 0 {
			return status, r.body, nil
		}
	}
}

// read appends bytes to the body.
func (r *responses) read(n int) error {
	had := len(r.body)
	r.body = slices.Grow(r.body, n)[:had+n]
	_, err := io.ReadFull(r.in, r.body[had:])
	return err
}
