package decode

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/problem"
)

const (
	asJSON   = "application/json"
	asLines  = "application/x-ndjson"
	asForm   = "application/x-www-form-urlencoded"
	asText   = "text/plain"
	asParts  = "multipart/form-data; boundary=XX"
	testMost = 1000 // bytes of data
)

// posted is one publish request; an even number of headers follows the body.
func posted(kind, query, body string, headers ...string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/_sse/publish", strings.NewReader(body))
	r.URL.RawQuery = query
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

// part is one part of a multipart body.
func part(name, val string) string {
	return "--XX\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + val + "\r\n"
}

type decoded struct {
	rec broker.Record
	p   *problem.Problem
}

// decodeAll returns the items, and what kept the rest from being read.
func decodeAll(r *http.Request, most int64) (items []decoded, fatal *problem.Problem) {
	d, p := New(r, most)
	if p != nil {
		return nil, p
	}
	for {
		rec, p, ok := d.Next()
		if !ok {
			if _, q, again := d.Next(); again || q != nil {
				panic("went on after its end")
			}
			return items, p
		}
		items = append(items, decoded{rec, p})
	}
}

// decodeOne expects one event, good or bad.
func decodeOne(t *testing.T, r *http.Request) (broker.Record, *problem.Problem) {
	t.Helper()
	items, fatal := decodeAll(r, testMost)
	if fatal != nil {
		return broker.Record{}, fatal
	}
	if len(items) != 1 {
		t.Fatalf("%d items, want 1", len(items))
	}
	if items[0].p != nil && !reflect.DeepEqual(items[0].rec, broker.Record{}) {
		t.Errorf("a bad event has the record %+v", items[0].rec)
	}
	return items[0].rec, items[0].p
}

func wantProblem(t *testing.T, p *problem.Problem, status int, field, detail string) {
	t.Helper()
	if p == nil {
		t.Fatalf("accepted, want %d for the field %q with %q", status, field, detail)
	}
	if p.Status != status || p.Field != field || !strings.Contains(p.Detail, detail) || p.Detail == "" {
		t.Errorf("%v (field %q), want %d for the field %q with %q", p, p.Field, status, field, detail)
	}
}

func TestDecodeKinds(t *testing.T) {
	want := broker.Record{Targets: []broker.Target{{Kind: broker.User, Name: "jürgen"}}, Type: "order", Data: []byte("hello wörld")}
	const (
		object = `{"user":"jürgen","event":"order","data":"hello wörld"}`
		pairs  = "user=j%C3%BCrgen&event=order&data=hello+w%C3%B6rld"
	)
	for _, c := range []struct {
		name  string
		r     *http.Request
		batch bool
	}{
		{"object", posted(asJSON, "", object), false},
		{"object in space", posted(asJSON, "", " \r\n\t"+object+"\n "), false},
		{"escaped", posted(asJSON, "", `{"us\u0065r":"j\u00fcrgen","event":"\u006frder","data":"hello w\u00F6rld"}`), false},
		{"charset", posted("Application/JSON; charset=UTF-8", "", object), false},
		{"us-ascii", posted("application/json;charset=us-ascii", "", object), false},
		{"identity", posted(asJSON, "", object, "Content-Encoding", "identity"), false},
		{"array", posted(asJSON, "", "["+object+"]"), true},
		{"array in space", posted(asJSON, "", " [ "+object+" ] "), true},
		{"lines", posted(asLines, "", object+"\n"), true},
		{"lines without an end", posted(asLines, "", object), true},
		{"lines, CRLF, empty ones", posted("application/ndjson", "", "\r\n\n  \n"+object+"\r\n\r\n"), true},
		{"jsonl", posted("application/jsonl; charset=utf-8", "", object), true},
		{"form", posted(asForm, "", pairs), false},
		{"form, odd separators", posted(asForm, "", "&&"+pairs+"&"), false},
		{"multipart", posted(asParts, "", part("user", "jürgen")+part("event", "order")+part("data", "hello wörld")+"--XX--\r\n"), false},
		{"text", posted(asText, "user=j%C3%BCrgen&event=order", "hello wörld"), false},
		{"text with charset", posted("text/plain; charset=Utf-8", "user=j%C3%BCrgen&event=order", "hello wörld"), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, p := New(c.r, testMost)
			if p != nil {
				t.Fatal(p)
			}
			if d.Batch != c.batch {
				t.Errorf("batch: %v, want %v", d.Batch, c.batch)
			}
			rec, p, ok := d.Next()
			if p != nil || !ok {
				t.Fatal(p, ok)
			}
			if !reflect.DeepEqual(rec, want) {
				t.Errorf("got  %+v\nwant %+v", rec, want)
			}
			if _, p, ok := d.Next(); p != nil || ok {
				t.Errorf("goes on: %v, %v", p, ok)
			}
		})
	}
}

func TestDecodeRefusesBody(t *testing.T) {
	const ok = `{"user":"u"}`
	for _, c := range []struct {
		name   string
		r      *http.Request
		status int
		field  string
		detail string
	}{
		{"no type", posted("", "", ok), 415, "", "missing: send application/json, application/x-ndjson"},
		{"other type", posted("text/html", "", ok), 415, "", "text/html is not supported: send application/json"},
		{"JSON's other name", posted("text/json", "", ok), 415, "", "send application/json"},
		{"broken type", posted("application/json; charset", "", ok), 415, "", "cannot be read"},
		{"charset", posted("application/json; charset=latin1", "", ok), 415, "", "charset latin1"},
		{"charset of text", posted("text/plain; charset=iso-8859-1", "user=u", "x"), 415, "", "charset iso-8859-1"},
		{"encoding", posted(asJSON, "", ok, "Content-Encoding", "gzip"), 415, "", "Content-Encoding gzip"},

		{"empty", posted(asJSON, "", ""), 400, "", "invalid JSON"},
		{"space", posted(asJSON, "", " \n"), 400, "", "invalid JSON"},
		{"truncated object", posted(asJSON, "", `{"user":"u"`), 400, "", "invalid JSON at byte 11: unexpected end"},
		{"truncated array", posted(asJSON, "", `[{"user":"u"},`), 400, "", "invalid JSON at byte 14: unexpected end"},
		{"truncated in an item", posted(asJSON, "", `[{"user":"u"},{"use`), 400, "", "unexpected end"},
		{"garbage behind", posted(asJSON, "", ok+"x"), 400, "", "after top-level value"},
		{"two values", posted(asJSON, "", ok+ok), 400, "", "after top-level value"},
		{"lines as JSON", posted(asJSON, "", ok+"\n"+ok), 400, "", "after top-level value"},
		{"broken", posted(asJSON, "", `{user:"u"}`), 400, "", "invalid JSON at byte 2"},
		{"number", posted(asJSON, "", `12`), 400, "", "must be an object or an array of objects, got a number"},
		{"string", posted(asJSON, "", `"user=u"`), 400, "", "got a string"},
		{"null", posted(asJSON, "", `null`), 400, "", "got null"},
		{"boolean", posted(asJSON, "", `true`), 400, "", "got a boolean"},
		{"no event in an array", posted(asJSON, "", `[ ]`), 400, "", "no event"},
		{"no event in lines", posted(asLines, "", "\n\n"), 400, "", "no event"},
		{"depth bomb", posted(asJSON, "", strings.Repeat("[", 60_000)), 400, "", "max depth"},
		{"depth bomb in data", posted(asJSON, "", `[{"user":"u","data":`+strings.Repeat("[", 1<<20)), 400, "", "max depth"},
		{"invalid UTF-8", posted(asJSON, "", "{\"user\":\"u\",\"data\":\"a\xffb\"}"), 400, "", "valid UTF-8"},
		{"invalid UTF-8 in a name", posted(asJSON, "", "{\"us\xffer\":\"u\"}"), 400, "", "valid UTF-8"},
		{"UTF-8 surrogate", posted(asJSON, "", "{\"user\":\"\xed\xa0\x80\"}"), 400, "", "valid UTF-8"},

		{"JSON as form", posted(asForm, "", `{"user":"u","data":"100%"}`), 400, "", "send Content-Type: application/json"},
		{"array as form", posted(asForm, "", ` [{"user":"u"}]`), 400, "", "send Content-Type: application/json"},
		{"encoded JSON as form", posted(asForm, "", url.QueryEscape(ok)), 400, "", "send Content-Type: application/json"},
		{"no multipart at all", posted(asParts, "", ok), 400, "", "multipart"},
		{"no boundary", posted("multipart/form-data", "", part("user", "u")), 400, "", "boundary"},
		{"truncated multipart", posted(asParts, "", part("user", "u")+part("data", "x")), 400, "", "multipart"},
		{"truncated part", posted(asParts, "", part("user", "u")[:20]), 400, "", "multipart"},
		{"part with a broken header", posted(asParts, "", "--XX\r\nContent-Disposition\r\n\r\nx\r\n--XX--\r\n"), 400, "", "multipart"},
		{"file", posted(asParts, "", "--XX\r\nContent-Disposition: form-data; name=\"data\"; filename=\"a.txt\"\r\n\r\nx\r\n--XX--\r\n"), 400, "data", "must not be a file"},
		{"empty file", posted(asParts, "", "--XX\r\nContent-Disposition: form-data; name=\"data\"; filename=\"\"\r\n\r\n\r\n--XX--\r\n"), 400, "data", "must not be a file"},
		{"nameless part", posted(asParts, "", "--XX\r\n\r\nx\r\n--XX--\r\n"), 400, "", "Content-Disposition"},

		{"query beside JSON", posted(asJSON, "user=u&x=1", ok), 400, "user", "must not be in the query"},
		{"unknown query beside JSON", posted(asJSON, "&later=1", ok), 400, "later", "must not be in the query"},
		{"query beside lines", posted(asLines, "topics[]=u", ok), 400, "topics", "must not be in the query"},
		{"query beside form", posted(asForm, "topic%5B0%5D=u", "user=u"), 400, "topic", "must not be in the query"},
		{"broken query beside form", posted(asForm, "%zz=u", "user=u"), 400, "%zz", "must not be in the query"},
		{"query beside multipart", posted(asParts, "event", part("user", "u")+"--XX--\r\n"), 400, "event", "must not be in the query"},
		{"data twice", posted(asText, "user=u&data=x", "x"), 400, "data", "is given twice"},
		{"data twice, one empty", posted(asText, "user=u&data=x", ""), 400, "data", "is given twice"},
		{"unknown in query", posted(asText, "usr=u", "x"), 400, "usr", "unknown field"},
		{"text that is no UTF-8", posted(asText, "user=u", "a\xff"), 400, "data", "valid UTF-8"},

		{"header key empty", posted(asJSON, "", ok, "Idempotency-Key", ""), 400, "idempotency_key", "header Idempotency-Key must not be empty"},
		{"header key too long", posted(asJSON, "", ok, "Idempotency-Key", strings.Repeat("k", 256)), 400, "idempotency_key", "255"},
		{"header key not printable", posted(asJSON, "", ok, "Idempotency-Key", "é"), 400, "idempotency_key", "ASCII"},
		{"header key twice", posted(asJSON, "", ok, "Idempotency-Key", "a", "Idempotency-Key", "a"), 400, "idempotency_key", "twice"},
	} {
		t.Run(c.name, func(t *testing.T) {
			items, p := decodeAll(c.r, testMost)
			if len(items) != 0 {
				t.Errorf("handed out %v", items)
			}
			if p != nil {
				p.Index = nil
			}
			wantProblem(t, p, c.status, c.field, c.detail)
		})
	}
}

func TestDecodeReadErrors(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		detail string
	}{
		{io.ErrUnexpectedEOF, 400, "cut off"},
		{errors.New("connection reset"), 400, "cut off"},
		{os.ErrDeadlineExceeded, 408, "slowly"},
		{&http.MaxBytesError{Limit: 77}, 413, "77 bytes"},
		{fmt.Errorf("wrapped: %w", &http.MaxBytesError{Limit: 77}), 413, "77 bytes"},
	} {
		for kind, head := range map[string]string{
			asJSON:  `{"user":"u"}`,
			asLines: "{\"user\":\"a\"}\n{\"user\":\"b\"}",
			asForm:  "user=u",
			asParts: part("user", "u") + part("data", "x"),
			asText:  "x",
		} {
			r := posted(kind, "", "")
			if kind == asText {
				r.URL.RawQuery = "user=u"
			}
			r.Body, r.ContentLength = io.NopCloser(io.MultiReader(strings.NewReader(head), iotest.ErrReader(c.err))), -1
			items, p := decodeAll(r, testMost)
			if p == nil || p.Status != c.status || !strings.Contains(p.Detail, c.detail) {
				t.Errorf("%s, %v: %v, want %d with %q", kind, c.err, p, c.status, c.detail)
				continue
			}
			// Of lines those that were whole are good; half a line is not an event, however it looks.
			if kind == asLines && (len(items) != 1 || *p.Index != 1) || kind != asLines && len(items) != 0 {
				t.Errorf("%s, %v: handed out %v", kind, c.err, items)
			}
		}
	}
}

func TestDecodeIdempotencyKey(t *testing.T) {
	const plain, own = `{"user":"u"}`, `{"user":"u","idempotency_key":"own"}`
	for _, c := range []struct {
		name   string
		r      *http.Request
		keys   []string
		field  string
		detail string
	}{
		{"none", posted(asJSON, "", plain), []string{""}, "", ""},
		{"header", posted(asJSON, "", plain, "Idempotency-Key", "k 1"), []string{"k 1"}, "", ""},
		{"header in quotes", posted(asJSON, "", plain, "Idempotency-Key", `"k1"`), []string{"k1"}, "", ""},
		{"longest", posted(asJSON, "", plain, "Idempotency-Key", strings.Repeat("k", 255)), []string{strings.Repeat("k", 255)}, "", ""},
		{"field", posted(asJSON, "", own), []string{"own"}, "", ""},
		{"both, the same", posted(asJSON, "", own, "Idempotency-Key", "own"), []string{"own"}, "", ""},
		{"both, different", posted(asJSON, "", own, "Idempotency-Key", "k"), nil, "idempotency_key", "must be the same as in the header"},
		{"form", posted(asForm, "", "user=u", "Idempotency-Key", "k"), []string{"k"}, "", ""},
		{"text", posted(asText, "user=u&idempotency_key=k", "x"), []string{"k"}, "", ""},
		{"batch", posted(asJSON, "", "["+plain+","+own+","+plain+"]", "Idempotency-Key", "k"), []string{"k#0", "own", "k#2"}, "", ""},
		{"batch of one", posted(asJSON, "", "["+plain+"]", "Idempotency-Key", "k"), []string{"k#0"}, "", ""},
		{"lines", posted(asLines, "", plain+"\n\n"+own+"\n"+plain, "Idempotency-Key", "k"), []string{"k#0", "own", "k#2"}, "", ""},
		{"lines without", posted(asLines, "", plain+"\n"+own), []string{"", "own"}, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			items, p := decodeAll(c.r, testMost)
			if p != nil {
				t.Fatal(p)
			}
			if c.keys == nil {
				wantProblem(t, items[0].p, 400, c.field, c.detail)
				return
			}
			var keys []string
			for _, it := range items {
				if it.p != nil {
					t.Fatal(it.p)
				}
				keys = append(keys, it.rec.Key)
				if (it.rec.Digest != [16]byte{}) != (it.rec.Key != "") {
					t.Errorf("key %q has the digest %x", it.rec.Key, it.rec.Digest)
				}
			}
			if !slices.Equal(keys, c.keys) {
				t.Errorf("keys %q, want %q", keys, c.keys)
			}
		})
	}
}

// A record must not keep alive, or share, what it was read from.
func TestDecodeOwnsItsBytes(t *testing.T) {
	body := []byte(`[{"users":["alice"],"event":"order","data":{"a":1}},{"user":"bob","data":"text"}]`)
	r := posted(asJSON, "", "")
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	d, p := New(r, testMost)
	if p != nil {
		t.Fatal(p)
	}
	first, _, _ := d.Next()
	second, _, _ := d.Next()
	for _, item := range d.items {
		for i := range item {
			item[i] = '!'
		}
	}
	if first.Targets[0].Name != "alice" || first.Type != "order" || string(first.Data) != `{"a":1}` || string(second.Data) != "text" {
		t.Errorf("changed with the body: %+v %+v", first, second)
	}
}

// A decoder with the memory of another reads what a new one does, and leaves what that one has returned as it was.
func TestUsedAgain(t *testing.T) {
	const most = 4 * maxKept
	requests := []func() *http.Request{
		func() *http.Request {
			return posted(asJSON, "", `{"data":"object","user":"a","event":"e"}`, "Idempotency-Key", "k")
		},
		func() *http.Request { return posted(asJSON, "wait=written", `[{"user":"b","data":{"a":1}},7]`) },
		func() *http.Request {
			return posted(asLines, "", "{\"users\":[\"c\",\"d\"]}\n{\"nothing\":1}\n{\"user\":\"e\",\"data\":\"line\"}\n")
		},
		func() *http.Request { return posted(asForm, "", "user=f&data=form") },
		func() *http.Request { return posted(asText, "topic=t", "text") },
		func() *http.Request {
			return posted(asJSON, "", `{"broadcast":true,"data":"`+strings.Repeat("x", 2*maxKept)+`"}`)
		},
	}
	var want [][]decoded
	for _, request := range requests {
		items, p := decodeAll(request(), most)
		if p != nil {
			t.Fatal(p)
		}
		want = append(want, items)
	}
	for i := range requests {
		for j := range requests {
			first, p := New(requests[i](), most)
			if p != nil {
				t.Fatal(p)
			}
			rec, _, _ := first.Next() // and no more
			first.Close()
			d, p := New(requests[j](), most)
			if p != nil {
				t.Fatal(p)
			}
			var got []decoded
			for {
				rec, p, ok := d.Next()
				if !ok {
					break
				}
				got = append(got, decoded{rec, p})
			}
			batch, key := d.Batch, d.key
			d.Close()
			if !reflect.DeepEqual(got, want[j]) || batch != (j == 1 || j == 2) || (key != "") != (j == 0) {
				t.Errorf("request %d after %d is %+v, a batch: %v, with the key %q", j, i, got, batch, key)
			}
			if !reflect.DeepEqual(rec, want[i][0].rec) {
				t.Errorf("request %d has changed the record of %d to %+v", j, i, rec)
			}
		}
	}
}
