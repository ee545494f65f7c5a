package e2e_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"

	"github.com/sse-push/caddy-sse-push/test/harness"
	"github.com/sse-push/caddy-sse-push/test/modelapi"
)

// described calls a server, and holds what is sent and answered to a description in OpenAPI.
type described struct {
	t     *testing.T
	base  string // the URL of the server in the description, as it is in this run
	asks  validator.Validator
	calls map[string]bool // "GET /users/{user}", as the description has it: whether it was answered with 2xx
}

// call makes a call, and returns its answer. The status must be the one that is wanted.
func (d *described) call(operation, path, body string, want int) (answer []byte) {
	d.t.Helper()
	method, _, _ := strings.Cut(operation, " ")
	if _, ok := d.calls[operation]; !ok {
		d.t.Fatalf("%s is not described", operation)
	}
	req, err := http.NewRequestWithContext(d.t.Context(), method, d.base+path, strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	if body == "" {
		req.Body, req.ContentLength = nil, 0
	} else {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := harness.Client.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer res.Body.Close()
	if answer, err = io.ReadAll(res.Body); err != nil {
		d.t.Fatal(err)
	}
	if res.StatusCode != want {
		d.t.Errorf("%s %s: status %d, want %d: %s", method, path, res.StatusCode, want, answer)
	}
	d.calls[operation] = d.calls[operation] || res.StatusCode < 300

	// The validator knows the server by the name that the description has.
	seen, err := http.NewRequestWithContext(d.t.Context(), method, "http://localhost:8080/_sse"+path, strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	seen.Header = req.Header
	res.Body = io.NopCloser(bytes.NewReader(answer))
	ok, faults := d.asks.ValidateHttpResponse(seen, res)
	if want < 300 && ok {
		ok, faults = d.asks.ValidateHttpRequest(seen)
	}
	if !ok {
		for _, f := range faults {
			d.t.Errorf("%s: %s: %s", operation, f.Message, f.Reason)
			for _, s := range f.SchemaValidationErrors {
				d.t.Errorf("\t%s at %s", s.Reason, s.FieldPath)
			}
		}
		d.t.Errorf("\tanswered: %s", answer)
	}
	return answer
}

// docs/reference/openapi.yaml says what a running server does: each call is made, and nothing comes in an answer that is not described.
func TestOpenAPI(t *testing.T) {
	t.Parallel()
	text := harness.File(t, "docs/reference/openapi.yaml")
	document, err := libopenapi.NewDocument([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	asks, errs := validator.NewValidator(document, config.WithFormatAssertions())
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	t.Cleanup(asks.Release)
	if ok, faults := asks.ValidateDocument(); !ok {
		for _, f := range faults {
			t.Errorf("%s: %s", f.Message, f.Reason)
		}
	}
	model, err := document.BuildV3Model()
	if err != nil {
		t.Fatal(err)
	}
	d := &described{t: t, asks: asks, calls: map[string]bool{}}
	for path, item := range model.Model.Paths.PathItems.FromOldest() {
		for method := range item.GetOperations().FromOldest() {
			d.calls[strings.ToUpper(method)+" "+path] = false
		}
	}

	api := modelapi.Start(t, modelapi.Answer{Tokens: 100_000, Rate: 20})
	clock := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: tick\n\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	t.Cleanup(clock.Close)
	site := serve(t, `
	sse_push /events {
		hub main
		user query userId
		topics room rooms/*
		presence room 2s
		internal /_sse {
			allow loopback
		}
		relay {
			to `+api.URL+` private
		}
	}
	sse_push /clock {
		hub main
		anonymous
		source {
			share everyone
		}
	}
	reverse_proxy /clock `+clock.URL)
	d.base = site + "/_sse"
	stream := harness.Open(t, site+"/events?userId=u1&topic=room")
	id := stream.Connected().Connection
	harness.Open(t, site+"/clock").Connected()

	for _, event := range []string{
		`{"user": "u1", "event": "order", "data": {"id": 7}, "id": "order-7", "retry": 1000, "ttl": 60}`,
		`{"users": ["u1", 2], "topic": "room", "topics": ["rooms/1"], "data": "two\nlines", "coalesce": "x", "idempotency_key": "once"}`,
		`{"users": ["u1", "u2"], "data": "waited for", "wait": "written", "timeout": "5s"}`,
		`[{"broadcast": true, "data": "all"}, {"connection": "` + id + `", "data": 1}, {"user": ""}]`,
	} {
		d.call("POST /publish", "/publish", event, 200)
	}
	d.call("POST /publish", "/publish", `{"data": "for nobody"}`, 400)
	d.call("POST /publish", "/publish", `{"users": ["u1", 2], "data": "another", "idempotency_key": "once"}`, 422)

	d.call("GET /connections", "/connections?limit=1", "", 200)
	d.call("GET /connections", "/connections?limit=0", "", 400)
	d.call("GET /connections/{connection}", "/connections/"+id, "", 200)
	d.call("GET /connections/{connection}", "/connections/none", "", 404)
	d.call("POST /connections/{connection}/topics", "/connections/"+id+"/topics", `{"topic": "rooms/1"}`, 204)
	d.call("DELETE /connections/{connection}/topics/{topic}", "/connections/"+id+"/topics/rooms%2F1", "", 204)
	d.call("GET /users", "/users", "", 200)
	d.call("GET /users/{user}", "/users/u1", "", 200)
	d.call("POST /users/{user}/topics", "/users/u1/topics", `{"topics": ["rooms/1", "rooms/2"]}`, 204)
	d.call("DELETE /users/{user}/topics/{topic}", "/users/u1/topics/rooms%2F2", "", 204)
	d.call("GET /topics", "/topics?limit=1", "", 200)
	d.call("GET /topics/{topic}", "/topics/room", "", 200)
	d.call("GET /sources", "/sources", "", 200)
	d.call("POST /relays", "/relays", `{"id": "chat", "user": "u1", "request": {"url": "`+api.URL+`/v1/chat/completions", "body": {"stream": true}}}`, 202)
	d.call("POST /relays", "/relays", `{"request": {"url": "http://127.0.0.1:1"}, "user": "u1"}`, 403)
	d.call("GET /relays", "/relays?status=running&user=u1", "", 200)
	d.call("GET /relays/{relay}", "/relays/chat", "", 200)
	d.call("DELETE /relays/{relay}", "/relays/chat", "", 204)
	d.call("GET /relays/{relay}", "/relays/chat", "", 200)
	d.call("GET /relays/{relay}", "/relays/none", "", 404)
	d.call("GET /health", "/health", "", 200)
	d.call("DELETE /connections/{connection}", "/connections/"+id, "", 204)
	d.call("DELETE /topics/{topic}", "/topics/room", "", 204)
	d.call("DELETE /users/{user}", "/users/u1?deny=10m", "", 204)
	var position struct{ Position string }
	if err := json.Unmarshal(d.call("GET /position", "/position", "", 200), &position); err != nil || position.Position == "" {
		t.Errorf("the position is %+v: %v", position, err)
	}
	for operation, ok := range d.calls {
		if !ok {
			t.Errorf("%s is described, but no test has seen it work", operation)
		}
	}
}
