package harness

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"
)

// Client is for requests that end.
var Client = &http.Client{
	Timeout:       Patience,
	Transport:     &http.Transport{DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// Route is an internal route.
type Route struct {
	URL   string // up to and with the prefix
	Token string
}

// Event is what is published.
type Event map[string]any

// Publish publishes one event and returns its id.
func (r Route) Publish(t testing.TB, e Event) string {
	t.Helper()
	var answer struct{ ID string }
	if status := r.Call(t, http.MethodPost, "/publish", e, &answer); status != http.StatusOK || answer.ID == "" {
		t.Fatalf("publishing %v: status %d, id %q", e, status, answer.ID)
	}
	return answer.ID
}

// Get reads a view.
func (r Route) Get(t testing.TB, path string, into any) {
	t.Helper()
	if status := r.Call(t, http.MethodGet, path, nil, into); status != http.StatusOK {
		t.Fatalf("GET %s: status %d", path, status)
	}
}

// Connections is how many connections a user has; of all users, where user is empty.
func (r Route) Connections(t testing.TB, user string) int {
	t.Helper()
	if user != "" {
		var answer struct{ Connections int }
		r.Get(t, "/users/"+user, &answer)
		return answer.Connections
	}
	var answer struct{ Total int }
	r.Get(t, "/connections?limit=1", &answer)
	return answer.Total
}

// Call sends a body as JSON and reads a 200's answer into what is given. It returns the status.
func (r Route) Call(t testing.TB, method, path string, body, into any) int {
	t.Helper()
	var payload io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		payload = bytes.NewReader(b)
	}
	req, err := http.NewRequest(method, r.URL+path, payload)
	if err != nil {
		t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.Token != "" {
		req.Header.Set("Authorization", "Bearer "+r.Token)
	}
	res, err := Client.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	if res.StatusCode == http.StatusOK && into != nil {
		if err := json.Unmarshal(answer, into); err != nil {
			t.Fatalf("%s %s answered %.300q: %v", method, path, answer, err)
		}
	}
	return res.StatusCode
}

// Fetch gets a page. Headers are given as name, value.
func Fetch(t testing.TB, url string, headers ...string) (status int, body string, took time.Duration) {
	t.Helper()
	begin := time.Now()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := Client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("GET %s: %v", url, err)
	}
	return res.StatusCode, string(b), time.Since(begin)
}
