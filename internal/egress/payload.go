package egress

import (
	"bytes"
	"errors"
	"io"
	"sync"
)

// payload is the body of a request. The transport keeps a request until the answer's body has ended, which may be long after the
// request's own body was sent. So the body is dropped once it was sent.
type payload struct {
	mu   sync.Mutex // guards data
	data []byte     // nil once there is an answer, or none will come
}

// open returns a reader of the body. The transport opens it anew for a second attempt.
func (p *payload) open() (io.ReadCloser, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.data == nil {
		return nil, errors.New("the request is over")
	}
	r := &payloadReader{}
	r.rest.Reset(p.data)
	return r, nil
}

// drop lets the body go. A reader that is still at work keeps it until it is closed.
func (p *payload) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.data = nil
}

// payloadReader reads a payload, and lets it go at its end.
type payloadReader struct {
	mu   sync.Mutex // guards rest
	rest bytes.Reader
}

// Read implements io.Reader.
func (r *payloadReader) Read(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, err := r.rest.Read(b)
	if r.rest.Len() == 0 {
		r.rest.Reset(nil)
	}
	return n, err
}

// Close implements io.Closer.
func (r *payloadReader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rest.Reset(nil)
	return nil
}
