package http2

import "sync"

// output splits what an inner server writes into frames.
type output struct {
	head []byte // a header, and what the state looks at of the payload, that has not come whole
	need int    // how long head is to become
	rest uint32 // how many bytes of the frame's payload are still to come
	drop bool   // these are for nobody
}

// between reports whether the server has written its last frame to the end.
func (o *output) between() bool { return o.rest == 0 && len(o.head) == 0 }

// midway reports whether the client has got a frame in part.
func (o *output) midway() bool { return o.rest > 0 && !o.drop }

// parts are what goes on of an inner server's output. In nearly all cases it is one.
type parts struct {
	list  [4][]byte
	n     int
	extra [][]byte
}

func (p *parts) add(b []byte) {
	switch {
	case len(b) == 0:
	case p.n < len(p.list):
		p.list[p.n] = b
		p.n++
	default:
		p.extra = append(p.extra, b)
	}
}

// split takes in what the server writes, and adds what goes on of it to p.
func (o *output) split(s *state, b []byte, p *parts) {
	start := 0 // what follows goes on, up to i
	for i := 0; i < len(b); {
		if o.rest > 0 {
			n := min(o.rest, uint32(len(b)-i))
			if o.drop {
				p.add(b[start:i])
				start = i + int(n)
			}
			i, o.rest = i+int(n), o.rest-n
			continue
		}
		if len(o.head) == 0 && len(b)-i >= headerLen {
			h := parseHeader(b[i:])
			if n := headerLen + s.serverPrefix(h); len(b)-i >= n {
				v := o.judge(s, h, b[i+headerLen:i+n])
				if v.drop || v.instead != nil {
					p.add(b[start:i])
					p.add(v.instead)
					start = i + n
				}
				i += n
				continue
			}
		}
		// The frame's header, or what has to be looked at, is in two writes.
		p.add(b[start:i])
		i += o.gather(s, b[i:], p)
		start = i
	}
	p.add(b[start:])
}

// gather adds bytes to head until the frame can be judged. It returns how many it has taken.
func (o *output) gather(s *state, b []byte, p *parts) (taken int) {
	for o.need = max(o.need, headerLen); ; {
		n := min(o.need-len(o.head), len(b)-taken)
		o.head = append(o.head, b[taken:taken+n]...)
		if taken += n; len(o.head) < o.need {
			return taken
		}
		h := parseHeader(o.head)
		if n := s.serverPrefix(h); o.need == headerLen && n > 0 {
			o.need += n
			continue
		}
		switch v := o.judge(s, h, o.head[headerLen:]); {
		case v.instead != nil:
			p.add(v.instead)
		case !v.drop:
			p.add(o.head)
		}
		o.head, o.need = nil, 0
		return taken
	}
}

func (o *output) judge(s *state, h header, prefix []byte) verdict {
	v := s.server(h, prefix)
	o.rest, o.drop = h.length-uint32(len(prefix)), v.drop
	return v
}

// joined has buffers for output that is not in one piece.
var joined = sync.Pool{New: func() any { return new([]byte) }}

// send writes all parts at once.
func (p *parts) send(t Transport) error {
	switch {
	case p.n == 0:
		return nil
	case p.n == 1:
		_, err := t.Write(p.list[0])
		return err
	}
	buf := joined.Get().(*[]byte)
	defer joined.Put(buf)
	*buf = (*buf)[:0]
	for _, one := range p.list[:p.n] {
		*buf = append(*buf, one...)
	}
	for _, one := range p.extra {
		*buf = append(*buf, one...)
	}
	_, err := t.Write(*buf)
	return err
}
