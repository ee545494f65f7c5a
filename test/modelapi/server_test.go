package modelapi_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/sse"
	"github.com/sse-push/caddy-sse-push/test/modelapi"
)

const patience = 30 * time.Second

// post asks for an answer. leave closes the connection.
func post(t *testing.T, url string) (res *http.Response, leave context.CancelFunc) {
	t.Helper()
	return ask(t, http.MethodPost, url, strings.NewReader(`{"stream": true}`))
}

func ask(t *testing.T, method, url string, body io.Reader) (res *http.Response, leave context.CancelFunc) {
	t.Helper()
	ctx, leave := context.WithTimeout(context.Background(), patience)
	t.Cleanup(leave)
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	res, err = (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	return res, leave
}

// part is what the clients of the three APIs look at.
type part struct {
	Type    string
	Choices []struct {
		Delta struct{ Content string }
		End   *string `json:"finish_reason"`
	}
	Delta struct {
		Text string
		End  *string `json:"stop_reason"`
	}
	Message struct{ Content any } // text of Ollama, a list of Anthropic
	Done    bool
	Error   any
}

// answer is what a client makes of a stream.
type answer struct {
	text          string
	ended, failed bool
	done          bool     // OpenAI's [DONE]
	names         []string // of events, without repetitions in a row
	readError     error
}

// read reads an answer to its end.
func read(t *testing.T, res *http.Response) (a answer) {
	t.Helper()
	next := events(res.Body)
	if strings.HasPrefix(res.Header.Get("Content-Type"), "application/x-ndjson") {
		next = lines(res.Body)
	}
	for {
		m, err := next()
		if err != nil {
			if !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				a.readError = err
			}
			return a
		}
		if len(a.names) == 0 || a.names[len(a.names)-1] != m.Type {
			a.names = append(a.names, m.Type)
		}
		if m.Data == "[DONE]" {
			a.done = true
			continue
		}
		var p part
		if err := json.Unmarshal([]byte(m.Data), &p); err != nil {
			t.Fatalf("%q: %v", m.Data, err)
		}
		if len(p.Choices) > 0 {
			a.text += p.Choices[0].Delta.Content
			a.ended = a.ended || p.Choices[0].End != nil
		}
		if text, ok := p.Message.Content.(string); ok {
			a.text += text
		}
		a.text += p.Delta.Text
		a.ended = a.ended || p.Done || p.Delta.End != nil
		a.failed = a.failed || p.Error != nil
	}
}

func events(body io.Reader) func() (sse.Message, error) { return sse.NewReader(body, 0).Next }

func lines(body io.Reader) func() (sse.Message, error) {
	scanner := bufio.NewScanner(body)
	return func() (sse.Message, error) {
		if scanner.Scan() {
			return sse.Message{Data: scanner.Text()}, nil
		}
		if err := scanner.Err(); err != nil {
			return sse.Message{}, err
		}
		return sse.Message{}, io.EOF
	}
}

var paths = []string{"/v1/chat/completions", "/v1/messages", "/api/chat"}

// A whole answer, as clients of the three APIs read it.
func TestAnswer(t *testing.T) {
	for _, path := range paths {
		t.Run(path, func(t *testing.T) {
			s := modelapi.Start(t, modelapi.Answer{Tokens: 25})
			res, _ := post(t, s.URL+path)
			a := read(t, res)
			if a.text != modelapi.Text(25) || !a.ended || a.failed || a.readError != nil {
				t.Errorf("got %+v, want the text %q", a, modelapi.Text(25))
			}
			if openAI := path == paths[0]; a.done != openAI {
				t.Errorf("[DONE]: %v", a.done)
			}
			if path == paths[1] {
				const want = "message_start content_block_start ping content_block_delta content_block_stop message_delta message_stop"
				if got := strings.Join(a.names, " "); got != want {
					t.Errorf("got the events %s, want %s", got, want)
				}
			}
			brokertest.Eventually(t, "the answer is counted", func() bool { return s.Counts().Open == 0 })
			c := s.Counts()
			if c.Requests != 1 || c.Tokens != 25 || c.Complete != 1 || c.Left != 0 || c.Writing != 0 || c.Bytes < len(a.text) {
				t.Errorf("counted %+v", c)
			}
			if r := s.Requests(); len(r) != 1 || r[0].Method != "POST" || r[0].URI != path || r[0].Body != `{"stream": true}` {
				t.Errorf("recorded %+v", r)
			}
		})
	}
}

// How an answer goes wrong.
func TestFailures(t *testing.T) {
	for _, path := range paths {
		t.Run(path, func(t *testing.T) {
			s := modelapi.Start(t, modelapi.Answer{Tokens: 25})
			res, _ := post(t, s.URL+path+"?drop=10")
			if a := read(t, res); a.text != modelapi.Text(10) || a.ended || a.readError == nil {
				t.Errorf("cut: got %+v", a)
			}
			res, _ = post(t, s.URL+path+"?fail=10")
			if a := read(t, res); a.text != modelapi.Text(10) || a.ended || !a.failed || a.readError != nil {
				t.Errorf("an error within: got %+v", a)
			}
			for _, status := range []string{"429", "500"} {
				res, _ = post(t, s.URL+path+"?status="+status)
				var body struct{ Error any }
				err := json.NewDecoder(res.Body).Decode(&body)
				if !strings.HasPrefix(res.Status, status) || err != nil || body.Error == nil || (res.Header.Get("Retry-After") != "") != (status == "429") {
					t.Errorf("got %s with %v: %v", res.Status, body, err)
				}
			}
			if res, _ = post(t, s.URL+path+"?speed=10"); res.StatusCode != http.StatusBadRequest {
				t.Errorf("an unknown parameter: %s", res.Status)
			}
			if c := s.Counts(); c.Complete != 0 {
				t.Errorf("counted %+v", c)
			}
		})
	}
}

// Tokens come at the rate that was asked for, after the time that was asked for.
func TestPace(t *testing.T) {
	s := modelapi.Start(t, modelapi.Answer{Tokens: 1})
	begin := time.Now()
	res, _ := post(t, s.URL+"/api/chat?first=50ms&tokens=11&rate=100")
	headers := time.Since(begin)
	read(t, res)
	if whole := time.Since(begin); headers < 50*time.Millisecond || whole < 150*time.Millisecond {
		t.Errorf("headers after %v, the end after %v", headers, whole)
	}
	res, _ = post(t, s.URL+"/v1/messages?tokens=11&ping=1ns")
	if a := read(t, res); strings.Count(strings.Join(a.names, " "), "ping") < 5 || a.text != modelapi.Text(11) {
		t.Errorf("with pings: %+v", a)
	}
}

// A client that leaves costs no more tokens, whatever the API is at.
func TestStop(t *testing.T) {
	for _, query := range []string{"?rate=200", "?silent=5", "?rate=0"} {
		s := modelapi.Start(t, modelapi.Answer{Tokens: 1e9})
		res, leave := post(t, s.URL+"/v1/chat/completions"+query)
		next := events(res.Body)
		for range 6 { // the first has no token
			if _, err := next(); err != nil {
				t.Fatal(err)
			}
		}
		leave()
		brokertest.Eventually(t, query+": the API notices", func() bool { return s.Counts().Open == 0 })
		c := s.Counts()
		if c.Left != 1 || c.Tokens < 5 || c.Writing != 0 {
			t.Errorf("%s: counted %+v", query, c)
		}
	}
}

// A client that does not read is seen: a write does not return, and the count stands.
func TestUnread(t *testing.T) {
	s := modelapi.Start(t, modelapi.Answer{Tokens: 1e9})
	_, leave := post(t, s.URL+"/v1/chat/completions")
	last, since := -1, time.Now()
	brokertest.Eventually(t, "a write hangs and the count stands still", func() bool {
		c := s.Counts()
		if c.Tokens != last {
			last, since = c.Tokens, time.Now()
		}
		return c.Writing == 1 && time.Since(since) > 200*time.Millisecond
	})
	leave()
	brokertest.Eventually(t, "the API notices", func() bool { return s.Counts().Open == 0 })
}

// The counts, for programs.
func TestCount(t *testing.T) {
	s := modelapi.Start(t, modelapi.Answer{Tokens: 3})
	res, _ := post(t, s.URL+"/v1/messages")
	read(t, res)
	brokertest.Eventually(t, "the answer is counted", func() bool { return s.Counts().Open == 0 })
	res, err := http.Get(s.URL + "/count")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var c modelapi.Counts
	if err := json.NewDecoder(res.Body).Decode(&c); err != nil || c != s.Counts() || c.Tokens != 3 {
		t.Errorf("got %+v: %v", c, err)
	}
}

// The clock says how many clients it has, and notices those that leave.
func TestClock(t *testing.T) {
	s := modelapi.Start(t, modelapi.Answer{})
	tick := func(res *http.Response) (streams int) {
		t.Helper()
		e, err := events(res.Body)()
		var said struct{ Streams int }
		if err == nil {
			err = json.Unmarshal([]byte(e.Data), &said)
		}
		if err != nil {
			t.Fatal(err)
		}
		return said.Streams
	}
	get := func() (*http.Response, context.CancelFunc) { return ask(t, http.MethodGet, s.URL+"/clock", nil) }
	first, _ := get()
	if n := tick(first); n != 1 {
		t.Errorf("the first stream says %d streams", n)
	}
	_, leave := get()
	leave()
	brokertest.Eventually(t, "a client that left is not counted", func() bool {
		res, leave := get()
		defer leave()
		return tick(res) == 2
	})
}
