package request

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/jsontext"
	"github.com/sse-push/caddy-sse-push/internal/problem"
)

const (
	// maxSubscribeBody is the longest body of parameters that a fetch-based client may send, in bytes.
	maxSubscribeBody = 64 << 10
	// bodyTimeout is how long that body may take to arrive.
	bodyTimeout = 10 * time.Second
)

// Params returns the parameters of the URL and, if the method has one, of the body. All topics are under `topic`,
// and those that have another name under that name as well.
func Params(w http.ResponseWriter, r *http.Request) (url.Values, *problem.Problem) {
	params, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, problem.New(http.StatusBadRequest, "the query cannot be read: %v", err)
	}
	body, p := readParamsBody(w, r)
	if p != nil {
		return nil, p
	}
	if len(body) > 0 && (r.Method == http.MethodPost || r.Method == "QUERY") {
		more, p := bodyParams(r, body, false)
		if p != nil {
			return nil, p
		}
		addParams(params, more)
	}
	return params, gatherTopics(params)
}

// HasParam reports whether the URL has a parameter with a name of plain letters. A URL without the name is not taken apart.
func HasParam(r *http.Request, name string) bool {
	query := r.URL.RawQuery
	return (strings.Contains(query, name) || strings.Contains(query, "%")) && r.URL.Query().Has(name)
}

// ParamsForApp returns the parameters of a request that the app answers: those of the URL of r, and of the body of toApp. The body
// belongs to the app, so toApp gets it again, and values that are not parameters are no error.
func ParamsForApp(w http.ResponseWriter, r, toApp *http.Request) (url.Values, *problem.Problem) {
	params := r.URL.Query()
	body, p := readParamsBody(w, toApp)
	if p != nil || len(body) == 0 {
		return params, p
	}
	toApp.Body, toApp.ContentLength, toApp.TransferEncoding = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
	toApp.Header.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method == http.MethodPost || r.Method == "QUERY" {
		if more, p := bodyParams(r, body, true); p == nil {
			addParams(params, more)
		}
	}
	return params, nil
}

// addParams adds the values of more to params.
func addParams(params, more url.Values) {
	for name, values := range more {
		params[name] = append(params[name], values...)
	}
}

// readParamsBody reads the body of a subscribe request, even if nothing in it is used: net/http would wait for it without
// limit before it sends the first byte of the stream.
func readParamsBody(w http.ResponseWriter, r *http.Request) ([]byte, *problem.Problem) {
	if r.ContentLength == 0 {
		return nil, nil
	}
	return ReadBody(w, r, maxSubscribeBody, bodyTimeout)
}

// ReadBody returns a request's body, which must not have more than most bytes, and must have arrived within a time.
func ReadBody(w http.ResponseWriter, r *http.Request, most int64, within time.Duration) ([]byte, *problem.Problem) {
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Now().Add(within)) // if it is not supported, the server's own timeouts apply
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	if err != nil {
		return nil, problem.OfBody(err)
	}
	_ = rc.SetReadDeadline(time.Time{})
	return body, nil
}

// bodyParams reads a form or a JSON object. Values that are not parameters are an error, or with leaveOut are left out.
func bodyParams(r *http.Request, body []byte, leaveOut bool) (params url.Values, p *problem.Problem) {
	var err error
	switch kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind {
	case "application/x-www-form-urlencoded":
		params, err = url.ParseQuery(string(body))
	case "application/json":
		params, err = jsonParams(body, leaveOut)
	default:
		return nil, problem.New(http.StatusUnsupportedMediaType, "send application/json or application/x-www-form-urlencoded")
	}
	if err != nil {
		return nil, problem.New(http.StatusBadRequest, "the body cannot be read: %v", err)
	}
	return params, nil
}

// gatherTopics adds to `topic` the values of its other names: `topics`, and both as PHP, Rails and jQuery spell lists. Each
// value is one topic: commas do not separate.
func gatherTopics(params url.Values) *problem.Problem {
	for _, name := range slices.Sorted(maps.Keys(params)) {
		base, index, list := strings.Cut(name, "[")
		if base != "topic" && base != "topics" || name == "topic" {
			continue
		}
		if index, closed := strings.CutSuffix(index, "]"); list && (!closed || strings.ContainsAny(index, "[]")) {
			return problem.Field(problem.Clip(name), "must be topic, topics, topic[] or topic[0]")
		}
		params["topic"] = append(params["topic"], params[name]...)
	}
	return nil
}

// jsonParams reads an object of strings, whole numbers and lists of them. Values of other kinds, and a name that is given
// twice, are an error, or with leaveOut are left out.
func jsonParams(body []byte, leaveOut bool) (url.Values, error) {
	object, err := jsontext.Parse(body)
	if err != nil {
		return nil, err
	}
	if object.What() != "an object" {
		return nil, errors.New("must be an object, got " + object.What())
	}
	params, given := url.Values{}, map[string]bool{}
	for key, value := range object.Members() {
		name, err := key.Unquote()
		if err != nil {
			return nil, err
		}
		if given[name] && !leaveOut { // readers differ in which of the two counts
			return nil, errors.New(problem.Clip(name) + " is given twice")
		}
		given[name] = true
		delete(params, name)
		items := slices.Values([]jsontext.Value{value})
		if value.What() == "an array" {
			items = value.Items()
		}
		for item := range items {
			if item.IsNull() {
				continue
			}
			text, err := item.Name()
			if err == nil {
				params.Add(name, text)
			} else if !leaveOut {
				return nil, fmt.Errorf("%s %w", problem.Clip(name), err)
			}
		}
	}
	return params, nil
}
