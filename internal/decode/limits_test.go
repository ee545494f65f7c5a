package decode

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// neverRead fails a test that reads it.
type neverRead struct{ t *testing.T }

func (n neverRead) Read([]byte) (int, error) { n.t.Error("the body was read"); return 0, io.EOF }

func (n neverRead) Close() error { return nil }

// counted says how much of an endless body was read.
type counted struct {
	head string
	fill byte
	n    int64
}

func (c *counted) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = c.fill
	}
	if c.n < int64(len(c.head)) {
		copy(b, c.head[c.n:])
	}
	c.n += int64(len(b))
	return len(b), nil
}

func (c *counted) Close() error { return nil }

func TestDecodeTooLarge(t *testing.T) {
	const one, many = 3*testMost + 64<<10, 16 << 20
	for _, c := range []struct {
		kind, query, head string
		fill              byte
		most              int64
		field             string
	}{
		{asJSON, "", `{"user":"u","data":"`, 'x', one, ""},
		{asJSON, "", ``, ' ', one, ""},
		{asJSON, "", `[{"user":"u","data":"`, 'x', many, ""},
		{asLines, "", `{"user":"u","data":"`, 'x', one, ""},
		{asForm, "", "user=u&data=", 'x', one, ""},
		{asParts, "", part("user", "u") + "--XX\r\nContent-Disposition: form-data; name=\"event\"\r\n\r\n", 'x', one, ""},
		{asParts, "", part("user", "u") + "--XX\r\nContent-Disposition: form-data; name=\"data\"\r\n\r\n", 'x', testMost, "data"},
		{asText, "user=u", "", 'x', testMost, "data"},
	} {
		name := c.kind + " " + c.head
		r := posted(c.kind, c.query, "")
		body := &counted{head: c.head, fill: c.fill}
		r.Body, r.ContentLength = body, -1
		items, p := decodeAll(r, testMost)
		if len(items) != 0 {
			t.Errorf("%s: handed out %v", name, items)
		}
		if p == nil || p.Status != 413 {
			t.Errorf("%s: %v, want a 413", name, p)
			continue
		}
		if c.field != p.Field {
			t.Errorf("%s: field %q, want %q", name, p.Field, c.field)
		}
		if slack := int64(40 << 10); body.n > c.most+slack {
			t.Errorf("%s: read %d bytes, the limit is %d", name, body.n, c.most)
		}
	}

	// A length that is announced is refused at once. An object's limit is lower than an array's, so that needs a look.
	for kind, most := range map[string]int64{asJSON: many, asForm: one, asParts: one, asText: testMost} {
		r := posted(kind, "", "")
		if kind == asText {
			r.URL.RawQuery = "user=u"
		}
		r.Body, r.ContentLength = neverRead{t}, most+1
		if _, p := New(r, testMost); p == nil || p.Status != 413 {
			t.Errorf("%s: %v, want a 413", kind, p)
		}
	}

	// The limit follows the event's.
	const large = 8 << 20
	body := `[{"user":"u","data":"` + strings.Repeat("x", large) + `"},{"user":"u","data":"` + strings.Repeat("x", large) + `"}]`
	if items, p := decodeAll(posted(asJSON, "", body), large); p != nil || len(items) != 2 || items[0].p != nil || len(items[1].rec.Data) != large {
		t.Errorf("a batch of large events: %d items, %v", len(items), p)
	}
}

func TestDecodeDataLimit(t *testing.T) {
	fits, over := strings.Repeat("x", testMost), strings.Repeat("x", testMost+1)
	for _, c := range []struct {
		name string
		post func(data string) *http.Request
	}{
		{"JSON", func(d string) *http.Request { return posted(asJSON, "", `{"user":"u","data":"`+d+`"}`) }},
		{"form", func(d string) *http.Request { return posted(asForm, "", "user=u&data="+d) }},
		{"multipart", func(d string) *http.Request {
			return posted(asParts, "", part("user", "u")+part("data", d)+"--XX--\r\n")
		}},
		{"text", func(d string) *http.Request { return posted(asText, "user=u", d) }},
	} {
		rec, p := decodeOne(t, c.post(fits))
		if p != nil || string(rec.Data) != fits {
			t.Errorf("%s: %v with %d bytes, want all that fit", c.name, p, len(rec.Data))
		}
		_, p = decodeOne(t, c.post(over))
		if p == nil || p.Status != 413 || p.Field != "data" || p.Index != nil {
			t.Errorf("%s: %v, want a 413 for data", c.name, p)
		}
	}
	// What counts is what goes out: not escapes, not space.
	for _, body := range []string{
		`{"user":"u","data":"` + strings.Repeat(`\u0041`, testMost) + `"}`,
		`{"user":"u","data":[` + strings.Repeat("1,", testMost/2-2) + strings.Repeat(" ", 5000) + `1]}`,
	} {
		if _, p := decodeOne(t, posted(asJSON, "", body)); p != nil {
			t.Error(p)
		}
	}
	rec, p := decodeOne(t, posted(asForm, "", "user=u&data="+strings.Repeat("%41", testMost)))
	if p != nil || len(rec.Data) != testMost {
		t.Errorf("%v with %d bytes", p, len(rec.Data))
	}
	_, p = decodeOne(t, posted(asForm, "", "user=u&data[]="+fits))
	wantProblem(t, p, 413, "data", "must not be longer than 1000 bytes")
}
