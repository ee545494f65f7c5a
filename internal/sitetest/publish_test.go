package sitetest_test

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

	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// Each kind of body brings the same event.
func TestPublishKinds(t *testing.T) {
	s := sitetest.Serve(t, sitetest.Route(""))
	c := s.Open("/events?userId=u1")
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
		{"", sitetest.FormType, "user=u1&event=order&data=a%0Ab&id=7"},
		{"", w.FormDataContentType(), multi.String()},
		{"?user=u1&event=order&id=7", "text/plain", "a\nb"},
	} {
		a := s.Do("POST", "/_sse/publish"+tt.query, tt.body, "Content-Type", tt.kind)
		if a.Status != http.StatusOK || a.Header.Get("Content-Type") != "application/json" {
			t.Fatalf("%s: got %d %v %s", tt.kind, a.Status, a.Header, a.Body)
		}
		m := c.Next()
		if m.Type != "order" || m.Data != "a\nb" || !strings.HasSuffix(m.ID, "~7") {
			t.Errorf("%s: got %q", tt.kind, m)
		}
		position, _, _ := strings.Cut(m.ID, "~")
		want := fmt.Sprintf(`{"id":%q}`, position)
		if strings.HasPrefix(tt.body, "[") || tt.kind == "application/x-ndjson" {
			want = "[" + want + "]"
		}
		if strings.TrimSpace(a.Body) != want {
			t.Errorf("%s: got %s, want %s", tt.kind, a.Body, want)
		}
	}
	// What PHP makes of an array, and data that is no string.
	s.Post(sitetest.FormType, "users%5B0%5D=u1&data%5Bok%5D=0&data%5Bn%5D=1")
	s.Post("application/json", `{"users": ["u1"], "data": {"n": [1, null]}}`)
	s.Post(sitetest.FormType, "user=u1")
	c.Want(`{"ok":"0","n":"1"}`, `{"n":[1,null]}`, "")
}

// Of bad input nothing is stored, and the answer names what is wrong.
func TestPublishRefused(t *testing.T) {
	s := sitetest.Serve(t, sitetest.Route("limits {\nevent 1KiB\n}"))
	c := s.Open("/events?userId=u1")
	const jsonType = "application/json"
	for _, tt := range []struct {
		kind, body string
		status     int
		says       string
	}{
		{sitetest.FormType, "data=x", 400, "target"},
		{jsonType, `{"data": "x"}`, 400, "target"},
		{jsonType, `{"user": null, "topic": "room", "data": "x"}`, 400, `"field":"user"`},
		{jsonType, `{"broadcast": null, "user": "u1"}`, 400, `"field":"broadcast"`},
		{sitetest.FormType, "user=&topic=room&data=x", 400, `"field":"user"`},
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
		{sitetest.FormType, "user=u1&data=%FF", 400, `"field":"data"`},
		{jsonType, `{"user": "u1", "ttl": 0}`, 400, `"field":"ttl"`},
		{jsonType, `{"user": "u1", "retry": 499}`, 400, `"field":"retry"`},
		{sitetest.FormType, "user=u1&retry=499", 400, `"field":"retry"`},
		{jsonType, `{"user": "u1", "data": "` + strings.Repeat("x", 1025) + `"}`, 413, `"field":"data"`},
		{sitetest.FormType, `{"user": "u1"}`, 400, "JSON"},
		{jsonType, `{"user": "u1"`, 400, ""},
		{jsonType, ``, 400, ""},
		{jsonType, `[]`, 400, "no event"},
		{"application/xml", `<user/>`, 415, "application/json"},
		{"", "user=u1", 415, "application/json"},
	} {
		a := s.Post(tt.kind, tt.body)
		p := sitetest.ProblemOf(t, a)
		if a.Status != tt.status || !strings.Contains(a.Body, tt.says) || p.Type != "about:blank" || p.Title == "" || p.Detail == "" {
			t.Errorf("%.80s: got %d %s, want %d %s", tt.body, a.Status, a.Body, tt.status, tt.says)
		}
	}
	for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "OPTIONS"} {
		if a := s.Do(method, "/_sse/publish", ""); a.Status != http.StatusMethodNotAllowed || a.Header.Get("Allow") != "POST" {
			t.Errorf("%s: got %d, Allow %q", method, a.Status, a.Header.Get("Allow"))
		}
	}
	s.Publish("user", "u1", "data", strings.Repeat("x", 1024))
	c.Want(strings.Repeat("x", 1024)) // and nothing before it
}

func TestPublishBatch(t *testing.T) {
	s := sitetest.Serve(t, sitetest.Route(""))
	c := s.Open("/events?userId=u1")
	items := []string{`{"user": "u1", "data": "1"}`, `{"data": "no target"}`, `{"user": "u1", "data": "2"}`, `{"user": "u1", "retry": 1}`, `{"user": "u1", "data": "3"}`}
	for kind, body := range map[string]string{
		"application/json":     "[" + strings.Join(items, ",") + "]",
		"application/x-ndjson": strings.Join(items, "\n"),
	} {
		a := s.Post(kind, body)
		var list []struct {
			ID    string
			Error *sitetest.Problem
		}
		if err := json.Unmarshal([]byte(a.Body), &list); err != nil || a.Status != http.StatusOK || len(list) != len(items) {
			t.Fatalf("%s: got %d %s", kind, a.Status, a.Body)
		}
		for i, item := range list {
			if i%2 == 0 {
				if c.Want(fmt.Sprint(i/2 + 1)); item.ID != c.LastID || item.Error != nil {
					t.Errorf("%s: item %d: got %+v, want %q", kind, i, item, c.LastID)
				}
			} else if item.ID != "" || item.Error == nil || item.Error.Status != 400 || item.Error.Index == nil || *item.Error.Index != i {
				t.Errorf("%s: item %d: got %+v", kind, i, item)
			}
		}
	}
	// More than the broker is given at a time.
	data := sitetest.Numbered(1000, 10)
	ids := s.PublishEach(sitetest.ToU1, data...)
	for i := range data {
		if c.Want(data[i]); c.LastID != ids[i] {
			t.Fatalf("item %d: got id %q, want %q", i, c.LastID, ids[i])
		}
	}
}

// A stream of events is delivered while it is sent.
func TestPublishStream(t *testing.T) {
	s := sitetest.Serve(t, sitetest.Route(""))
	c := s.Open("/events?userId=u1")
	read, write := io.Pipe()
	answered := make(chan sitetest.Answer)
	go func() {
		resp, err := s.HTTP.Post(s.URL+"/_sse/publish", "application/x-ndjson", read)
		if err != nil {
			t.Error(err)
			close(answered)
			return
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		answered <- sitetest.Answer{Status: resp.StatusCode, Body: string(body)}
	}()
	for _, d := range sitetest.Numbered(3, 10) {
		fmt.Fprintf(write, "{%s, \"data\": %q}\n", sitetest.ToU1, d)
		c.Want(d)
	}
	io.WriteString(write, `{"user": "u1", "da`) // cut off
	write.Close()
	a := <-answered
	if a.Status != http.StatusOK || strings.Count(a.Body, `"id"`) != 3 || !strings.Contains(a.Body, `"index":3`) {
		t.Errorf("got %d %s", a.Status, a.Body)
	}
}

func TestIdempotency(t *testing.T) {
	s := sitetest.Serve(t, sitetest.Route(""))
	c := s.Open("/events?userId=u1")
	once := func(a sitetest.Answer) string { return sitetest.IDOf(t, a) }
	id := once(s.Post(sitetest.FormType, "user=u1&data=a", "Idempotency-Key", "k1"))
	for _, again := range []sitetest.Answer{
		s.Post(sitetest.FormType, "user=u1&data=a", "Idempotency-Key", "k1"),
		s.Post(sitetest.FormType, "user=u1&data=a&idempotency_key=k1"),
		s.Post("application/json", `{"data": "a", "users": ["u1", "u1"]}`, "Idempotency-Key", `"k1"`),
	} {
		if got := once(again); got != id {
			t.Errorf("got id %q, want %q", got, id)
		}
	}
	a := s.Post(sitetest.FormType, "user=u1&data=b", "Idempotency-Key", "k1")
	if p := sitetest.ProblemOf(t, a); a.Status != http.StatusUnprocessableEntity || p.Field != "idempotency_key" {
		t.Errorf("another body: got %d %s", a.Status, a.Body)
	}
	const batch = `[{"user": "u1", "data": "c"}, {"user": "u1", "data": "d"}]`
	first := s.Post("application/json", batch, "Idempotency-Key", "k2")
	if second := s.Post("application/json", batch, "Idempotency-Key", "k2"); second.Body != first.Body {
		t.Errorf("batch: got %s, want %s", second.Body, first.Body)
	}
	if once(s.Post(sitetest.FormType, "user=u1&data=a")) == id {
		t.Error("without a key it is another event")
	}
	c.Want("a", "c", "d", "a")
}

// What is too large is refused long before all of it has come. (The server itself reads 256 KiB more, for the connection's
// sake.)
func TestPublishTooLarge(t *testing.T) {
	s := sitetest.Serve(t, sitetest.Route("limits {\nevent 1KiB\n}"))
	head := "POST /_sse/publish HTTP/1.1\r\nHost: x\r\nContent-Type: "
	part := strings.Repeat("x", 64<<10)
	plain := strings.Repeat(part, 10)
	chunks := strings.Repeat(fmt.Sprintf("%x\r\n%s\r\n", len(part), part), 10)
	for kind, start := range map[string]string{
		sitetest.FormType:                 "user=u1&data=",
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
			a := s.Raw(h + kind + "\r\n" + rest)
			list := kind == "application/x-ndjson" && a.Status == http.StatusOK // what was read before counts
			if a.Status != http.StatusRequestEntityTooLarge && !list || !strings.Contains(a.Body, `"status":413`) {
				t.Errorf("%s, %.20s: got %d %s", kind, rest, a.Status, a.Body)
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
	s := sitetest.Serve(t, sitetest.Route(""))
	c := s.Open("/events?userId=u1")
	const head = "POST /_sse/publish HTTP/1.1\r\nHost: x\r\nContent-Type: "
	for _, text := range []string{
		head + sitetest.FormType + "\r\nContent-Length: 100\r\n\r\nuser=u1&data=half",
		head + "application/json\r\nContent-Length: 100\r\n\r\n" + `{"user": "u1", "data": "half"}`,
		head + "application/json\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n" + `[{"user": "u1", "data": "half"},`,
		strings.Replace(head, "publish", "publish?user=u1", 1) + "text/plain\r\nContent-Length: 100\r\n\r\nhalf",
		head + "application/x-ndjson\r\nContent-Length: 100\r\n\r\n" + `{"user": "u1", "data": "half"}`,
	} {
		conn, reader := s.Dial(text)
		closeWrite(t, conn)
		// Of a stream of events the answer is a list, with an error in it.
		if a := sitetest.ReadAnswer(t, reader); !strings.Contains(a.Body, `"status":400`) {
			t.Errorf("%q: got %d %s", text, a.Status, a.Body)
		}
		conn, _ = s.Dial(text)
		conn.Close()
	}
	conn, reader := s.Dial(head)
	closeWrite(t, conn)
	if resp, err := http.ReadResponse(reader, nil); err == nil && resp.StatusCode != http.StatusBadRequest {
		t.Errorf("half a header: got %d", resp.StatusCode)
	}
	s.Publish("user", "u1", "data", "whole")
	c.Want("whole")
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
