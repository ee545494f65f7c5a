// Package decode turns the body of a publish request into records: JSON, lines of JSON, a form or text.
package decode

import (
	"bytes"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/jsontext"
	"github.com/sse-push/caddy-sse-push/internal/problem"
)

const (
	maxBatchBody  = 16 << 20 // bytes of a JSON array, unless a single event may be larger
	maxBatchItems = 100_000

	accepted = "send application/json, application/x-ndjson, application/x-www-form-urlencoded, multipart/form-data or text/plain"
)

// Decoder reads the events of a publish request.
type Decoder struct {
	Batch    bool // the body may hold many events; otherwise it holds exactly one
	Answered bool // set by the caller: the publisher gets an answer, and may wait for delivery
	Wait     Wait // of the item that Next returned last

	maxEvent int64
	key      string // of the header Idempotency-Key
	index    int    // of the next item
	done     bool
	waits    Wait // from the query
	waited   int  // how many items have a Wait

	// One of these holds the events.
	form  *form
	items []jsontext.Value
	lines *lineReader

	pub  publication // of the item that Next is at
	body []byte
}

// decoders has decoders that were closed, for their buffers.
var decoders = sync.Pool{New: func() any { return new(Decoder) }}

// maxKept is the largest buffer that is kept for the next body.
const maxKept = 64 << 10

// Close ends the use of a decoder. What it has returned stays valid.
func (d *Decoder) Close() {
	var kept Decoder
	if cap(d.body) <= maxKept {
		kept.body = d.body[:0]
	}
	if d.lines != nil {
		d.lines.close()
	}
	*d = kept
	decoders.Put(d)
}

// New returns a Decoder of a request. It reads the whole body, except for NDJSON, which Next reads as it goes. If there is no problem,
// the caller may Close the decoder when it is done.
func New(r *http.Request, maxEvent int64) (*Decoder, *problem.Problem) {
	d := decoders.Get().(*Decoder)
	d.maxEvent = maxEvent
	kind, params, p := contentType(r.Header)
	if p != nil {
		return nil, p
	}
	if p := d.takeKey(r.Header); p != nil {
		return nil, p
	}
	if kind != "text/plain" {
		rest, p := d.waits.take(r.URL.RawQuery)
		if p == nil {
			p = refuseQuery(rest)
		}
		if p != nil {
			return nil, p
		}
	}
	switch kind {
	case "application/json":
		return d, d.readJSON(r)
	case "application/x-ndjson", "application/ndjson", "application/jsonl":
		d.Batch = true
		d.lines = newLineReader(r.Body, d.maxItem())
		return d, nil
	case "application/x-www-form-urlencoded":
		d.form = &form{maxEvent: maxEvent}
		body, p := d.readBody(r, d.maxItem())
		if p != nil {
			return nil, p
		}
		if LooksLikeJSON(body) {
			return nil, jsonAsForm()
		}
		return d, d.form.parseQuery(string(body))
	case "multipart/form-data":
		d.form = &form{maxEvent: maxEvent}
		if r.ContentLength > d.maxItem() {
			return nil, problem.TooLarge(d.maxItem())
		}
		return d, d.form.parseMultipart(http.MaxBytesReader(nil, r.Body, d.maxItem()), params["boundary"])
	case "text/plain":
		d.form = &form{maxEvent: maxEvent}
		if p := d.form.parseQuery(r.URL.RawQuery); p != nil {
			return nil, p
		}
		body, p := d.readBody(r, maxEvent)
		if p != nil {
			return nil, p.OfField("data")
		}
		return d, d.form.add("data", string(body))
	}
	return nil, problem.New(http.StatusUnsupportedMediaType, "the Content-Type %s is not supported: %s", problem.Clip(kind), accepted)
}

// maxItem returns the limit of an encoded event: a byte of data may take three in JSON and in forms.
func (d *Decoder) maxItem() int64 { return 3*d.maxEvent + 64<<10 }

// contentType returns the media type of a body and its parameters, and refuses a body that is encoded or not in UTF-8.
func contentType(h http.Header) (kind string, params map[string]string, p *problem.Problem) {
	refuse := func(format string, args ...any) (string, map[string]string, *problem.Problem) {
		return "", nil, problem.New(http.StatusUnsupportedMediaType, format, args...)
	}
	if enc := h.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		return refuse("the Content-Encoding %s is not supported: send the body as it is", problem.Clip(enc))
	}
	header := h.Get("Content-Type")
	if header == "" {
		return refuse("the Content-Type is missing: %s", accepted)
	}
	if header == "application/json" || header == "application/x-ndjson" { // most senders write it like this
		return header, nil, nil
	}
	kind, params, err := mime.ParseMediaType(header)
	if err != nil {
		return refuse("the Content-Type cannot be read: %s", accepted)
	}
	switch charset := params["charset"]; strings.ToLower(charset) {
	case "", "utf-8", "us-ascii":
	default:
		return refuse("the charset %s is not supported: send UTF-8", problem.Clip(charset))
	}
	return kind, params, nil
}

// takeKey reads the header Idempotency-Key. The draft standard puts the key in quotes; most senders do not.
func (d *Decoder) takeKey(h http.Header) *problem.Problem {
	values, ok := h["Idempotency-Key"]
	if !ok {
		return nil
	}
	if len(values) != 1 {
		return problem.Field("idempotency_key", "the header Idempotency-Key is given twice")
	}
	d.key = values[0]
	if n := len(d.key); n > 2 && d.key[0] == '"' && d.key[n-1] == '"' {
		d.key = d.key[1 : n-1]
	}
	if err := checkKey(d.key); err != nil {
		return problem.Field("idempotency_key", "the header Idempotency-Key %s", err)
	}
	return nil
}

// refuseQuery refuses a query that has any parameter.
func refuseQuery(query string) *problem.Problem {
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		name, _, _ := strings.Cut(pair, "=")
		if plain, err := url.QueryUnescape(name); err == nil {
			name = plain
		}
		return problem.Field(rootName(name), "must not be in the query, except with a text/plain body")
	}
	return nil
}

// readJSON reads an object or a whole array, so that nothing of a truncated array is stored.
func (d *Decoder) readJSON(r *http.Request) *problem.Problem {
	one, many := d.maxItem(), max(maxBatchBody, d.maxItem())
	if r.ContentLength > many {
		return problem.TooLarge(many)
	}
	if p := d.readUpTo(r, one+1); p != nil {
		return p
	}
	if int64(len(d.body)) > one {
		if first := bytes.TrimLeft(d.body, " \t\r\n"); len(first) == 0 || first[0] != '[' {
			return problem.TooLarge(one)
		}
		if p := d.readUpTo(r, many+1); p != nil {
			return p
		}
		if int64(len(d.body)) > many {
			return problem.TooLarge(many)
		}
	}
	v, p := parseJSON(d.body)
	if p != nil {
		return p
	}
	switch v[0] {
	case '{':
		d.items = []jsontext.Value{v}
		return nil
	case '[':
		d.Batch = true
	default:
		return problem.New(http.StatusBadRequest, "the body must be an object or an array of objects, got %s", v.What())
	}
	for item := range v.Items() {
		if len(d.items) == maxBatchItems {
			return tooManyItems()
		}
		d.items = append(d.items, item)
	}
	if len(d.items) == 0 {
		return noEvent()
	}
	return nil
}

// Next returns the next event. If ok is true, the event is rec, or p says what is wrong with it; more may follow. If ok
// is false, there are no more events: p says why the rest cannot be read, or is nil at the proper end.
func (d *Decoder) Next() (rec broker.Record, p *problem.Problem, ok bool) {
	if d.done {
		return rec, nil, false
	}
	d.pub = publication{maxEvent: d.maxEvent}
	pub := &d.pub
	switch {
	case d.form != nil:
		d.done = true
		p = d.form.fill(pub)
	case d.lines != nil:
		line, end := d.nextLine()
		if line == nil {
			d.done = true
			return rec, d.place(end), false
		}
		var v jsontext.Value
		if v, p = parseJSON(line); p == nil {
			p = fillFromJSON(pub, v)
		}
	case d.index == len(d.items):
		d.done = true
		return rec, nil, false
	default:
		p = fillFromJSON(pub, d.items[d.index])
	}
	if p == nil {
		p = d.setKey(&pub.rec)
	}
	if p == nil {
		p = d.setWait(pub.wait)
	}
	if p == nil {
		rec, p = pub.record()
	}
	p = d.place(p)
	d.index++
	return rec, p, true
}

// Ready reports whether Next will return without waiting for more of the body, so that a caller can store what it has
// first.
func (d *Decoder) Ready() bool {
	return d.done || d.lines == nil || d.lines.ready()
}

// nextLine returns the next line that is not blank. At the end it returns nil, with a problem if lines may be missing.
func (d *Decoder) nextLine() ([]byte, *problem.Problem) {
	for {
		line, err := d.lines.next()
		switch {
		case err == io.EOF && d.index == 0:
			return nil, noEvent()
		case err == io.EOF:
			return nil, nil
		case err == errLongLine:
			return nil, problem.New(http.StatusRequestEntityTooLarge, "a line must not be longer than %d bytes", d.lines.most)
		case err != nil:
			return nil, problem.OfBody(err)
		case len(bytes.TrimSpace(line)) == 0:
		case d.index == maxBatchItems:
			return nil, tooManyItems()
		default:
			return line, nil
		}
	}
}

// setKey gives a record the idempotency key of the header.
func (d *Decoder) setKey(rec *broker.Record) *problem.Problem {
	switch {
	case d.key == "":
	case rec.Key == "" && d.Batch:
		rec.Key = d.key + "#" + strconv.Itoa(d.index)
	case rec.Key == "":
		rec.Key = d.key
	case rec.Key != d.key && !d.Batch:
		return problem.Field("idempotency_key", "must be the same as in the header Idempotency-Key")
	}
	return nil
}

// place adds the index of the item to a problem of a batch.
func (d *Decoder) place(p *problem.Problem) *problem.Problem {
	if p != nil && d.Batch {
		p.AtIndex(d.index)
	}
	return p
}

// readBody reads a body of at most that many bytes.
func (d *Decoder) readBody(r *http.Request, most int64) ([]byte, *problem.Problem) {
	if r.ContentLength > most {
		return nil, problem.TooLarge(most)
	}
	if p := d.readUpTo(r, most+1); p != nil {
		return nil, p
	}
	if int64(len(d.body)) > most {
		return nil, problem.TooLarge(most)
	}
	return d.body, nil
}

// readUpTo reads until d.body holds n bytes or the body ends.
func (d *Decoder) readUpTo(r *http.Request, n int64) *problem.Problem {
	const trust = 64 << 10 // a claimed length allocates no more than this
	d.body = slices.Grow(d.body, int(max(0, min(r.ContentLength-int64(len(d.body)), trust)))+bytes.MinRead)
	for int64(len(d.body)) < n {
		if len(d.body) == cap(d.body) {
			d.body = slices.Grow(d.body, cap(d.body))
		}
		m, err := r.Body.Read(d.body[len(d.body):min(int64(cap(d.body)), n)])
		d.body = d.body[:len(d.body)+m]
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return problem.OfBody(err)
		}
	}
	return nil
}

func tooManyItems() *problem.Problem {
	return problem.New(http.StatusRequestEntityTooLarge, "a request must not hold more than %d events", maxBatchItems)
}

func noEvent() *problem.Problem { return problem.New(http.StatusBadRequest, "the body holds no event") }
