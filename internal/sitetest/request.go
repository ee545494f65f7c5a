package sitetest

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Answer is a response, read to its end.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// Do sends a request; headers are names and values in turn.
func (s *Site) Do(method, target, body string, headers ...string) Answer {
	s.T.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Limit)
	defer cancel()
	r := s.Request(ctx, method, target, strings.NewReader(body), headers)
	resp, err := s.HTTP.Do(r)
	if err != nil {
		s.T.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.T.Fatalf("%s %s: reading the answer: %v", method, target, err)
	}
	return Answer{resp.StatusCode, resp.Header, string(b)}
}

func (s *Site) Request(ctx context.Context, method, target string, body io.Reader, headers []string) *http.Request {
	s.T.Helper()
	r, err := http.NewRequestWithContext(ctx, method, s.URL+target, body)
	if err != nil {
		s.T.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
	}
	return r
}

// Get decodes an answer of the internal route.
func Get[T any](s *Site, target string) (v T) {
	s.T.Helper()
	a := s.Do(http.MethodGet, target, "")
	if a.Status != http.StatusOK {
		s.T.Fatalf("%s: got %d %s", target, a.Status, a.Body)
	}
	if err := json.Unmarshal([]byte(a.Body), &v); err != nil {
		s.T.Fatalf("%s: %v in %s", target, err, a.Body)
	}
	return v
}

// Dial opens a connection and sends bytes that net/http would not send.
func (s *Site) Dial(text string) (net.Conn, *bufio.Reader) {
	s.T.Helper()
	conn, err := net.Dial("tcp", s.Addr)
	if err != nil {
		s.T.Fatal(err)
	}
	s.T.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(Limit))
	if _, err := io.WriteString(conn, text); err != nil {
		s.T.Fatal(err)
	}
	return conn, bufio.NewReader(conn)
}

// Raw sends the bytes of a request, and reads the answer.
func (s *Site) Raw(text string) Answer {
	s.T.Helper()
	conn, reader := s.Dial(text)
	defer conn.Close()
	return ReadAnswer(s.T, reader)
}

func ReadAnswer(t *testing.T, reader *bufio.Reader) Answer {
	t.Helper()
	resp, err := http.ReadResponse(reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return Answer{resp.StatusCode, resp.Header, string(b)}
}
