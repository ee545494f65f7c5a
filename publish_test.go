package ssepush_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"strings"
	"testing"
)

// problem is an error as the internal route gives it.
type problem struct {
	Type, Title, Detail, Field string
	Status                     int
	Index                      *int
}

func problemOf(t *testing.T, a answer) (p problem) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), &p); err != nil || a.header.Get("Content-Type") != "application/problem+json" || p.Status != a.status {
		t.Fatalf("not a problem: %d %v %s", a.status, a.header, a.body)
	}
	return p
}

// post publishes a body as it is.
func (s *site) post(kind, body string, headers ...string) answer {
	s.t.Helper()
	return s.do("POST", "/_sse/publish", body, append(headers, "Content-Type", kind)...)
}

// Each kind of body brings the same event.
func TestPublishKinds(t *testing.T) {
	s := serve(t, route(""))
	c := s.open("/events?userId=u1")
	var multi bytes.Buffer
	w := multipart.NewWriter(&multi)
	for _, f := range [][2]string{{"user", "u1"}, {"event", "order"}, {"data", "a\nb"}, {"id", "7"}} {
		if err := w.WriteField(f[0], f[1]); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	const object = `{"user": "u1", "event": "order", "data": "a\nb", "id": "7"}`
	for _, tt := range []struct{ query, kind, body string }{
		{"", "application/json", object},
		{"", "application/json; charset=utf-8", "[" + object + "]"},
		{"", "application/x-ndjson", object},
		{"", formType, "user=u1&event=order&data=a%0Ab&id=7"},
		{"", w.FormDataContentType(), multi.String()},
		{"?user=u1&event=order&id=7", "text/plain", "a\nb"},
	} {
		a := s.do("POST", "/_sse/publish"+tt.query, tt.body, "Content-Type", tt.kind)
		if a.status != http.StatusOK || a.header.Get("Content-Type") != "application/json" {
			t.Fatalf("%s: got %d %v %s", tt.kind, a.status, a.header, a.body)
		}
		m := c.next()
		if m.Type != "order" || m.Data != "a\nb" || !strings.HasSuffix(m.ID, "~7") {
			t.Errorf("%s: got %q", tt.kind, m)
		}
		position, _, _ := strings.Cut(m.ID, "~")
		want := fmt.Sprintf(`{"id":%q}`, position)
		if strings.HasPrefix(tt.body, "[") || tt.kind == "application/x-ndjson" {
			want = "[" + want + "]"
		}
		if strings.TrimSpace(a.body) != want {
			t.Errorf("%s: got %s, want %s", tt.kind, a.body, want)
		}
	}
	// What PHP makes of an array, and data that is no string.
	s.post(formType, "users%5B0%5D=u1&data%5Bok%5D=0&data%5Bn%5D=1")
	s.post("application/json", `{"users": ["u1"], "data": {"n": [1, null]}}`)
	s.post(formType, "user=u1")
	c.want(`{"ok":"0","n":"1"}`, `{"n":[1,null]}`, "")
}

// Of bad input nothing is stored, and the answer names what is wrong.
func TestPublishRefused(t *testing.T) {
	s := serve(t, route("limits {\nevent 1KiB\n}"))
	c := s.open("/events?userId=u1")
	const jsonType = "application/json"
	for _, tt := range []struct {
		kind, body string
		status     int
		says       string
	}{
		{formType, "data=x", 400, "target"},
		{jsonType, `{"data": "x"}`, 400, "target"},
		{jsonType, `{"user": null, "topic": "room", "data": "x"}`, 400, `"field":"user"`},
		{jsonType, `{"broadcast": null, "user": "u1"}`, 400, `"field":"broadcast"`},
		{formType, "user=&topic=room&data=x", 400, `"field":"user"`},
		{jsonType, `{"users": [], "topic": "room"}`, 400, `"field":"users"`},
		{jsonType, `{"user": "` + strings.Repeat("u", 256) + `"}`, 400, `"field":"user"`},
		{jsonType, `{"user": 1.5}`, 400, `"field":"user"`},
		{jsonType, `{"user": "u1", "colour": "red"}`, 400, `"field":"colour"`},
		{jsonType, `{"user": "u1", "topic": "public/*"}`, 400, `"field":"topic"`},
		{jsonType, `{"user": "u1", "event": "open"}`, 400, `"field":"event"`},
		{jsonType, `{"user": "u1", "event": "error"}`, 400, `"field":"event"`},
		{jsonType, `{"user": "u1", "event": "sse:gap"}`, 400, `"field":"event"`},
		{jsonType, `{"user": "u1", "event": "a\nb"}`, 400, `"field":"event"`},
		{jsonType, `{"user": "u1", "id": "a\u0000b"}`, 400, `"field":"id"`},
		{jsonType, `{"user": "u1", "id": "a\rb"}`, 400, `"field":"id"`},
		{formType, "user=u1&data=%FF", 400, `"field":"data"`},
		{jsonType, `{"user": "u1", "ttl": 0}`, 400, `"field":"ttl"`},
		{jsonType, `{"user": "u1", "data": "` + strings.Repeat("x", 1025) + `"}`, 413, `"field":"data"`},
		{formType, `{"user": "u1"}`, 400, "JSON"},
		{jsonType, `{"user": "u1"`, 400, ""},
		{jsonType, ``, 400, ""},
		{jsonType, `[]`, 400, "no event"},
		{"application/xml", `<user/>`, 415, "application/json"},
		{"", "user=u1", 415, "application/json"},
	} {
		a := s.post(tt.kind, tt.body)
		p := problemOf(t, a)
		if a.status != tt.status || !strings.Contains(a.body, tt.says) || p.Type != "about:blank" || p.Title == "" || p.Detail == "" {
			t.Errorf("%.80s: got %d %s, want %d %s", tt.body, a.status, a.body, tt.status, tt.says)
		}
	}
	for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "OPTIONS"} {
		if a := s.do(method, "/_sse/publish", ""); a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") != "POST" {
			t.Errorf("%s: got %d, Allow %q", method, a.status, a.header.Get("Allow"))
		}
	}
	s.publish("user", "u1", "data", strings.Repeat("x", 1024))
	c.want(strings.Repeat("x", 1024)) // and nothing before it
}

func TestPublishBatch(t *testing.T) {
	s := serve(t, route(""))
	c := s.open("/events?userId=u1")
	items := []string{`{"user": "u1", "data": "1"}`, `{"data": "no target"}`, `{"user": "u1", "data": "2"}`, `{"user": "u1", "event": "sse:x"}`, `{"user": "u1", "data": "3"}`}
	for kind, body := range map[string]string{
		"application/json":     "[" + strings.Join(items, ",") + "]",
		"application/x-ndjson": strings.Join(items, "\n"),
	} {
		a := s.post(kind, body)
		var list []struct {
			ID    string
			Error *problem
		}
		if err := json.Unmarshal([]byte(a.body), &list); err != nil || a.status != http.StatusOK || len(list) != len(items) {
			t.Fatalf("%s: got %d %s", kind, a.status, a.body)
		}
		for i, item := range list {
			if i%2 == 0 {
				if c.want(fmt.Sprint(i/2 + 1)); item.ID != c.id || item.Error != nil {
					t.Errorf("%s: item %d: got %+v, want %q", kind, i, item, c.id)
				}
			} else if item.ID != "" || item.Error == nil || item.Error.Status != 400 || item.Error.Index == nil || *item.Error.Index != i {
				t.Errorf("%s: item %d: got %+v", kind, i, item)
			}
		}
	}
	// More than the broker is given at a time.
	data := numbered(1000, 10)
	ids := s.publishEach(toU1, data...)
	for i := range data {
		if c.want(data[i]); c.id != ids[i] {
			t.Fatalf("item %d: got id %q, want %q", i, c.id, ids[i])
		}
	}
}

// A stream of events is delivered while it is sent.
func TestPublishStream(t *testing.T) {
	s := serve(t, route(""))
	c := s.open("/events?userId=u1")
	read, write := io.Pipe()
	answered := make(chan answer)
	go func() {
		resp, err := s.client.Post(s.url+"/_sse/publish", "application/x-ndjson", read)
		if err != nil {
			t.Error(err)
			close(answered)
			return
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		answered <- answer{status: resp.StatusCode, body: string(body)}
	}()
	for _, d := range numbered(3, 10) {
		fmt.Fprintf(write, "{%s, \"data\": %q}\n", toU1, d)
		c.want(d)
	}
	io.WriteString(write, `{"user": "u1", "da`) // cut off
	write.Close()
	a := <-answered
	if a.status != http.StatusOK || strings.Count(a.body, `"id"`) != 3 || !strings.Contains(a.body, `"index":3`) {
		t.Errorf("got %d %s", a.status, a.body)
	}
}

func TestIdempotency(t *testing.T) {
	s := serve(t, route(""))
	c := s.open("/events?userId=u1")
	once := func(a answer) string { return idOf(t, a) }
	id := once(s.post(formType, "user=u1&data=a", "Idempotency-Key", "k1"))
	for _, again := range []answer{
		s.post(formType, "user=u1&data=a", "Idempotency-Key", "k1"),
		s.post(formType, "user=u1&data=a&idempotency_key=k1"),
		s.post("application/json", `{"data": "a", "users": ["u1", "u1"]}`, "Idempotency-Key", `"k1"`),
	} {
		if got := once(again); got != id {
			t.Errorf("got id %q, want %q", got, id)
		}
	}
	a := s.post(formType, "user=u1&data=b", "Idempotency-Key", "k1")
	if p := problemOf(t, a); a.status != http.StatusUnprocessableEntity || p.Field != "idempotency_key" {
		t.Errorf("another body: got %d %s", a.status, a.body)
	}
	const batch = `[{"user": "u1", "data": "c"}, {"user": "u1", "data": "d"}]`
	first := s.post("application/json", batch, "Idempotency-Key", "k2")
	if second := s.post("application/json", batch, "Idempotency-Key", "k2"); second.body != first.body {
		t.Errorf("batch: got %s, want %s", second.body, first.body)
	}
	if once(s.post(formType, "user=u1&data=a")) == id {
		t.Error("without a key it is another event")
	}
	c.want("a", "c", "d", "a")
}

// What is too large is refused long before all of it has come. (The server itself reads 256 KiB more, for the connection's
// sake.)
func TestPublishTooLarge(t *testing.T) {
	s := serve(t, route("limits {\nevent 1KiB\n}"))
	head := "POST /_sse/publish HTTP/1.1\r\nHost: x\r\nContent-Type: "
	part := strings.Repeat("x", 64<<10)
	plain := strings.Repeat(part, 10)
	chunks := strings.Repeat(fmt.Sprintf("%x\r\n%s\r\n", len(part), part), 10)
	for kind, start := range map[string]string{
		formType:                          "user=u1&data=",
		"application/json":                `{"user": "u1", "data": "`,
		"application/x-ndjson":            `{"user": "u1", "data": "`,
		"multipart/form-data; boundary=b": "--b\r\nContent-Disposition: form-data; name=\"data\"\r\n\r\n",
		"text/plain":                      "",
	} {
		h, chunk := head, ""
		if start == "" {
			h = strings.Replace(head, "publish", "publish?user=u1", 1)
		} else {
			chunk = fmt.Sprintf("%x\r\n%s\r\n", len(start), start)
		}
		for _, rest := range []string{"Content-Length: 1000000000000\r\n\r\n" + start + plain, "Transfer-Encoding: chunked\r\n\r\n" + chunk + chunks} {
			a := s.raw(h + kind + "\r\n" + rest)
			list := kind == "application/x-ndjson" && a.status == http.StatusOK // what was read before counts
			if a.status != http.StatusRequestEntityTooLarge && !list || !strings.Contains(a.body, `"status":413`) {
				t.Errorf("%s, %.20s: got %d %s", kind, rest, a.status, a.body)
			}
		}
	}
}

// closeWrite ends what is sent, so that the answer can still be read.
func closeWrite(t *testing.T, conn net.Conn) {
	t.Helper()
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
}

// Half a request stores nothing of what is not whole.
func TestHalfAPublish(t *testing.T) {
	s := serve(t, route(""))
	c := s.open("/events?userId=u1")
	const head = "POST /_sse/publish HTTP/1.1\r\nHost: x\r\nContent-Type: "
	for _, text := range []string{
		head + formType + "\r\nContent-Length: 100\r\n\r\nuser=u1&data=half",
		head + "application/json\r\nContent-Length: 100\r\n\r\n" + `{"user": "u1", "data": "half"}`,
		head + "application/json\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n" + `[{"user": "u1", "data": "half"},`,
		strings.Replace(head, "publish", "publish?user=u1", 1) + "text/plain\r\nContent-Length: 100\r\n\r\nhalf",
		head + "application/x-ndjson\r\nContent-Length: 100\r\n\r\n" + `{"user": "u1", "data": "half"}`,
	} {
		conn, reader := s.dial(text)
		closeWrite(t, conn)
		// Of a stream of events the answer is a list, with an error in it.
		if a := readAnswer(t, reader); !strings.Contains(a.body, `"status":400`) {
			t.Errorf("%q: got %d %s", text, a.status, a.body)
		}
		conn, _ = s.dial(text)
		conn.Close()
	}
	conn, reader := s.dial(head)
	closeWrite(t, conn)
	if resp, err := http.ReadResponse(reader, nil); err == nil && resp.StatusCode != http.StatusBadRequest {
		t.Errorf("half a header: got %d", resp.StatusCode)
	}
	s.publish("user", "u1", "data", "whole")
	c.want("whole")
}

func readUntil(r io.Reader, end string) (string, error) {
	var b bytes.Buffer
	buf := make([]byte, 64<<10)
	for !bytes.HasSuffix(b.Bytes(), []byte(end)) && !bytes.Contains(b.Bytes()[max(0, b.Len()-2*len(buf)):], []byte(end)) {
		n, err := r.Read(buf)
		b.Write(buf[:n])
		if err != nil {
			return b.String(), fmt.Errorf("behind %d bytes: %w", b.Len(), err)
		}
	}
	return b.String(), nil
}
