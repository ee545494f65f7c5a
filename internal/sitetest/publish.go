package sitetest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

const FormType = "application/x-www-form-urlencoded"

// Publish sends an event as a form, by names and values in turn, and returns its id.
func (s *Site) Publish(fields ...string) string {
	s.T.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Add(fields[i], fields[i+1])
	}
	a := s.Do(http.MethodPost, "/_sse/publish", form.Encode(), "Content-Type", FormType)
	return IDOf(s.T, a)
}

// IDOf returns the id in the answer to a publish.
func IDOf(t *testing.T, a Answer) string {
	t.Helper()
	var v struct{ ID string }
	if err := json.Unmarshal([]byte(a.Body), &v); err != nil || a.Status != http.StatusOK || v.ID == "" {
		t.Fatalf("publish: got %d %s", a.Status, a.Body)
	}
	return v.ID
}

const JsonType = "application/json"

// Problem is an error as the internal route answers it.
type Problem struct {
	Type, Title, Detail, Field string
	Status                     int
	Index                      *int
}

func ProblemOf(t *testing.T, a Answer) (p Problem) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.Body), &p); err != nil || a.Header.Get("Content-Type") != "application/problem+json" || p.Status != a.Status {
		t.Fatalf("not a problem: %d %v %s", a.Status, a.Header, a.Body)
	}
	return p
}

// Post publishes a body as it is.
func (s *Site) Post(kind, body string, headers ...string) Answer {
	s.T.Helper()
	return s.Do("POST", "/_sse/publish", body, append(headers, "Content-Type", kind)...)
}

// PublishSurely publishes, over new connections if need be, until there is an answer: a reload may close a connection.
func (s *Site) PublishSurely(data string) error {
	body := `{"user": "u1", "data": "` + data + `"}`
	for deadline := time.Now().Add(Limit); ; {
		ctx, cancel := context.WithDeadline(context.Background(), deadline)
		r := s.Request(ctx, "POST", "/_sse/publish", strings.NewReader(body), []string{"Content-Type", "application/json", "Idempotency-Key", data})
		resp, err := s.HTTP.Do(r)
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		cancel()
		switch {
		case err == nil && resp.StatusCode == http.StatusOK:
			return nil
		case err == nil:
			return fmt.Errorf("got status %d", resp.StatusCode)
		case time.Now().After(deadline):
			return err
		}
	}
}

const ToU1, ToU2 = `"user": "u1"`, `"user": "u2"`

// PublishEach publishes an event for each of data in one request, and returns their ids.
func (s *Site) PublishEach(target string, data ...string) (ids []string) {
	s.T.Helper()
	var body strings.Builder
	for _, d := range data {
		fmt.Fprintf(&body, "{%s, \"data\": %q}\n", target, d)
	}
	a := s.Do("POST", "/_sse/publish", body.String(), "Content-Type", "application/x-ndjson")
	var list []struct{ ID string }
	if err := json.Unmarshal([]byte(a.Body), &list); err != nil || len(list) != len(data) {
		s.T.Fatalf("publish: got %d %.500s", a.Status, a.Body)
	}
	for _, item := range list {
		ids = append(ids, item.ID)
	}
	if slices.Contains(ids, "") {
		s.T.Fatalf("publish: got %.500s", a.Body)
	}
	return ids
}

// Numbered returns n data of a size, each of which begins with its number.
func Numbered(n, size int) (data []string) {
	for i := range n {
		data = append(data, fmt.Sprintf("%d %s", i, strings.Repeat("x", size)))
	}
	return data
}
