package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// probeEvent is the name of the events that are sent. No page listens to it.
const probeEvent = "sse-push-doctor"

// probeTTL is how many seconds a probe may be replayed.
const probeTTL = 60

// maxListed is the most connections that the route lists.
const maxListed = 10_000

// route is the hub's internal route.
type route struct {
	base, token string
	client      *http.Client
}

// refusal is an answer of the route that is an error.
type refusal struct {
	status int
	detail string
}

func (r *refusal) Error() string {
	if r.detail == "" {
		return fmt.Sprintf("status %d", r.status)
	}
	return fmt.Sprintf("status %d: %s", r.status, r.detail)
}

func newRoute(o Options) *route {
	base := strings.TrimSuffix(strings.TrimSuffix(strings.TrimRight(o.Publish, "/"), "/publish"), "/")
	t := transport(o.Insecure)
	t.DisableKeepAlives = true // so that no connection is left open
	return &route{base: base, token: o.Token, client: &http.Client{
		Timeout:       o.Timeout,
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // so that the token goes nowhere else
	}}
}

func (r *route) call(ctx context.Context, method, path string, body, into any) error {
	var payload io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		payload = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, r.base+path, payload)
	if err != nil {
		return errors.New("the URL cannot be read")
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	res, err := r.client.Do(req)
	if err != nil {
		return unwrapURL(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 8<<20))
	if err != nil {
		return err
	}
	if res.StatusCode >= http.StatusMultipleChoices {
		var problem struct{ Detail string }
		_ = json.Unmarshal(answer, &problem) // no problem document: the status says enough
		return &refusal{res.StatusCode, problem.Detail}
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return errors.New("the answer does not come from an internal route of sse_push")
	}
	return nil
}

// unwrapURL takes the URL out of an error, as it may hold a password.
func unwrapURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// publish sends a probe to a target, such as "user", of the given name or names.
func (r *route) publish(ctx context.Context, target string, names any, data string) error {
	var answer struct{ ID string }
	err := r.call(ctx, http.MethodPost, "/publish", map[string]any{target: names, "event": probeEvent, "data": data, "ttl": probeTTL}, &answer)
	if err == nil && answer.ID == "" {
		return errors.New("the answer does not come from an internal route of sse_push")
	}
	return err
}

// connection is what the hub reports about one of its connections.
type connection struct {
	ID       string
	User     string
	Remote   string
	Protocol string // what the proxy in front of the hub speaks to it, such as HTTP/1.0
	Since    time.Time
	Log      string // if it is not the hub's own
}

// connection asks for a connection. ok is false if there is none with the id.
func (r *route) connection(ctx context.Context, id string) (c connection, ok bool, err error) {
	err = r.call(ctx, http.MethodGet, "/connections/"+url.PathEscape(id), nil, &c)
	var refused *refusal
	if errors.As(err, &refused) && refused.status == http.StatusNotFound {
		return c, false, nil
	}
	return c, err == nil, err
}

// connections returns all connections by id. ok is false if the list is not complete.
func (r *route) connections(ctx context.Context) (all map[string]connection, ok bool) {
	var answer struct {
		Connections []connection
		Total       int
	}
	if err := r.call(ctx, http.MethodGet, fmt.Sprintf("/connections?limit=%d", maxListed), nil, &answer); err != nil {
		return nil, false
	}
	all = map[string]connection{}
	for _, c := range answer.Connections {
		all[c.ID] = c
	}
	return all, answer.Total == len(all)
}

// disconnect ends a connection.
func (r *route) disconnect(ctx context.Context, id string) error {
	return r.call(ctx, http.MethodDelete, "/connections/"+url.PathEscape(id), nil, nil)
}
