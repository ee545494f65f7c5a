package relay

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/sse-push/caddy-sse-push/internal/egress"
	"github.com/sse-push/caddy-sse-push/internal/feed"
	"github.com/sse-push/caddy-sse-push/internal/jsontext"
	"github.com/sse-push/caddy-sse-push/internal/problem"
	"github.com/sse-push/caddy-sse-push/internal/rules"
)

const (
	// maxID is the longest id of a relay, in bytes.
	maxID = 128
	// maxRetries is how often a request is sent again at most.
	maxRetries = 5
)

// call is what the app asks for.
type call struct {
	id          string
	user, topic string // who may hear it: one of the two is given
	request     egress.Request
	event       string // the name of events that have none
	as          string // how the answer is read: "" by its Content-Type, or text, lines
	done        string // where the app is told of the end; "" if it is not
	retry       int    // how often the request may be sent again
	digest      [16]byte
}

// checkID returns what is wrong with the id of a relay, or nil.
func checkID(id string) error {
	switch {
	case id == "":
		return errors.New("must not be empty")
	case len(id) > maxID:
		return fmt.Errorf("must not be longer than %d bytes", maxID)
	case strings.ContainsFunc(id, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_.~:", r)
	}):
		return errors.New("may hold letters, digits and the characters -_.~: only")
	}
	return nil
}

// readCall reads and checks the body of a call.
func (c *Config) readCall(body []byte) (*call, *problem.Problem) {
	v, p := object("", body)
	if p != nil {
		return nil, p
	}
	q := &call{}
	var request jsontext.Value
	texts := map[string]*string{"id": &q.id, "user": &q.user, "topic": &q.topic, "event": &q.event, "as": &q.as, "done": &q.done}
	if p := fields("", v, func(name string, value jsontext.Value) (bool, error) {
		var err error
		switch name {
		case "request":
			request = value
			return true, nil
		case "retry":
			q.retry, err = readRetry(value)
			return true, err
		}
		text := texts[name]
		if text == nil {
			return false, nil
		}
		if *text, err = value.Name(); err == nil && *text == "" {
			err = errors.New("must not be empty")
		}
		return true, err
	}); p != nil {
		return nil, p
	}
	if q.id == "" {
		q.id = rand.Text()
	}
	if request == nil {
		return nil, problem.Field("request", "is missing")
	}
	if p := c.readRequest(q, request); p != nil {
		return nil, p
	}
	if p := c.check(q); p != nil {
		return nil, p
	}
	q.digest = q.sum(c.settings.Secret)
	return q, nil
}

// check reports what is wrong with a call, apart from its request.
func (c *Config) check(q *call) *problem.Problem {
	if err := checkID(q.id); err != nil {
		return problem.Field("id", "%v", err)
	}
	switch {
	case (q.user == "") == (q.topic == ""):
		return problem.Field("user", "give either user or topic, which says who may hear the relay")
	case q.as != "" && q.as != "text" && q.as != "lines":
		return problem.Field("as", "must be text or lines")
	}
	if q.user != "" {
		if err := rules.CheckName(q.user); err != nil {
			return problem.Field("user", "%v", err)
		}
	} else if err := rules.CheckTopic(q.topic); err != nil {
		return problem.Field("topic", "%v", err)
	}
	if q.event != "" {
		if err := rules.CheckForeignType(q.event); err != nil {
			return problem.Field("event", "%v", err)
		}
	}
	if q.done != "" {
		if _, err := c.checkDone(q.done); err != nil {
			return problem.Field("done", "%v", err)
		}
	}
	return nil
}

// readRequest reads what is to be fetched.
func (c *Config) readRequest(q *call, v jsontext.Value) *problem.Problem {
	v, p := object("request", v)
	if p != nil {
		return p
	}
	var address string
	if p := fields("request.", v, func(name string, value jsontext.Value) (known bool, err error) {
		switch name {
		case "method":
			q.request.Method, err = value.Text()
		case "url":
			address, err = value.Text()
		case "headers":
			q.request.Headers, err = readHeaders(value)
		case "body":
			q.request.Body, err = compact(value)
		default:
			return false, nil
		}
		return true, err
	}); p != nil {
		return p
	}
	u, err := egress.ParseURL(address)
	if err != nil {
		return problem.Field("request.url", "%v", err)
	}
	q.request.URL = u
	switch {
	case q.request.Method == "" && q.request.Body != nil:
		q.request.Method = http.MethodPost
	case q.request.Method == "":
		q.request.Method = http.MethodGet
	}
	switch err := egress.CheckMethod(q.request.Method); {
	case err != nil:
		return problem.Field("request.method", "%v", err)
	case q.request.Method == http.MethodGet && q.request.Body != nil:
		return problem.Field("request.body", "must not be given with GET")
	case !c.gate.Leads(u):
		return errNoOrigin()
	}
	if q.request.Body != nil && !c.gate.Sets(u, contentType) && !q.has(contentType) {
		if q.request.Headers == nil {
			q.request.Headers = map[string]string{}
		}
		q.request.Headers[contentType] = "application/json"
	}
	for _, name := range slices.Sorted(maps.Keys(q.request.Headers)) {
		if c.gate.Sets(u, name) {
			return problem.Field("request.headers", "%s is set by the config", http.CanonicalHeaderKey(name))
		}
	}
	return nil
}

func errNoOrigin() *problem.Problem {
	return problem.New(http.StatusForbidden, "request.url: %v", egress.ErrNoOrigin).OfField("request.url")
}

const contentType = "Content-Type"

// has reports whether the call gives a header.
func (q *call) has(header string) bool {
	for name := range q.request.Headers {
		if strings.EqualFold(name, header) {
			return true
		}
	}
	return false
}

// object returns the JSON object in a text.
func object(field string, text []byte) (jsontext.Value, *problem.Problem) {
	v, err := jsontext.Parse(text)
	switch {
	case err == nil && v.What() == "an object":
		return v, nil
	case err == nil && field == "":
		return nil, problem.New(http.StatusBadRequest, "the body must be an object, got %s", v.What())
	case err == nil:
		return nil, problem.Field(field, "must be an object, got %s", v.What())
	case field == "":
		return nil, problem.New(http.StatusBadRequest, "%v", err)
	}
	return nil, problem.Field(field, "%v", err)
}

// fields calls set with each member of an object that is not null. set reports whether it knows the name.
func fields(prefix string, v jsontext.Value, set func(name string, value jsontext.Value) (known bool, err error)) *problem.Problem {
	seen := map[string]bool{}
	for key, value := range v.Members() {
		name, err := key.Unquote()
		if err != nil {
			return problem.New(http.StatusBadRequest, "the name of a field %v", err)
		}
		if seen[name] {
			return problem.Field(prefix+name, "is given twice")
		}
		if seen[name] = true; value.IsNull() {
			continue
		}
		switch known, err := set(name, value); {
		case !known:
			return problem.Field(prefix+name, "unknown field")
		case err != nil:
			return problem.Field(prefix+name, "%v", err)
		}
	}
	return nil
}

// readRetry reads how often a request may be sent again.
func readRetry(v jsontext.Value) (int, error) {
	n, err := v.Number()
	if err == nil && (n < 0 || n > maxRetries) {
		err = fmt.Errorf("must be from 0 to %d", maxRetries)
	}
	return int(n), err
}

// readHeaders reads an object of texts.
func readHeaders(v jsontext.Value) (map[string]string, error) {
	if v.What() == "an array" && len(slices.Collect(v.Items())) == 0 { // as PHP writes an empty map
		return nil, nil
	}
	if v.What() != "an object" {
		return nil, errors.New("must be an object, got " + v.What())
	}
	headers := map[string]string{}
	for key, value := range v.Members() {
		name, err := key.Unquote()
		if err != nil {
			return nil, err
		}
		if _, twice := headers[name]; twice {
			return nil, fmt.Errorf("%.40q is given twice", name)
		}
		if headers[name], err = value.Text(); err != nil {
			return nil, fmt.Errorf("%.40q %w", name, err)
		}
	}
	return headers, egress.CheckHeaders(headers)
}

// compact returns a JSON value without the space in it. Numbers stay as they are written.
func compact(v jsontext.Value) ([]byte, error) {
	var b bytes.Buffer
	err := json.Compact(&b, v)
	return b.Bytes(), err
}

// sum returns a digest of the call, by which another one with the same id is told apart. Without the secret, nobody can tell from
// it what was asked.
func (q *call) sum(secret string) (digest [16]byte) {
	mac := hmac.New(sha256.New, []byte(secret))
	part := func(text string) { fmt.Fprintf(mac, "%d:%s", len(text), text) }
	for _, text := range []string{q.request.Method, q.request.URL.String(), q.user, q.topic, q.event, q.as, q.done, string(q.request.Body)} {
		part(text)
	}
	for _, name := range slices.Sorted(maps.Keys(q.request.Headers)) {
		part(name)
		part(q.request.Headers[name])
	}
	if q.retry > 0 {
		part("retry")
		part(strconv.Itoa(q.retry))
	}
	copy(digest[:], mac.Sum(nil))
	return digest
}

// formatOf returns how an answer is read, as the call says or by its media type. ok is false if it cannot be.
func formatOf(as, mediaType string) (f feed.Format, ok bool) {
	switch as {
	case "text":
		return feed.Text, true
	case "lines":
		return feed.Lines, true
	}
	switch mediaType {
	case "text/event-stream":
		return feed.EventStream, true
	case "application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines", "application/json-lines":
		return feed.Lines, true
	}
	return 0, false
}
