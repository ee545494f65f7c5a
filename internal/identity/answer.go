package identity

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/jsontext"
	"github.com/sse-push/caddy-sse-push/internal/rules"
)

// byUpstream vouches for what an app has said in its answer to a subscribe request.
const byUpstream = "upstream"

// ReadAnswer reads what an app says of a client in its answer to a subscribe request: a user if it names one, and topics.
func ReadAnswer(h http.Header) (*Grant, error) {
	g, err := readGrant(h, byUpstream, 0)
	if g == nil && err == nil {
		g = &Grant{by: byUpstream}
		g.Topics, err = topicsOf(h.Values("X-SSE-Topics"))
	}
	return g, err
}

// read reads the answer of an app that lets a client in. Lifetimes differ a little, so that clients which came together do
// not come back together.
func (v *authorizer) read(h http.Header) (*Grant, error) {
	return readGrant(h, v.name, v.lifetime-rand.N(v.lifetime/10))
}

// readGrant reads what an app says of a client; it returns nil if the app names no user. by vouches for the grant, which lasts
// for lifetime unless the app says otherwise; 0: without end.
func readGrant(h http.Header, by string, lifetime time.Duration) (*Grant, error) {
	users := h.Values("X-SSE-User")
	if len(users) == 0 || len(users) == 1 && users[0] == "" {
		return nil, nil
	}
	if len(users) > 1 {
		return nil, failing("X-SSE-User is given more than once")
	}
	g := &Grant{User: users[0], by: by}
	if err := rules.CheckName(g.User); err != nil {
		return nil, failing("X-SSE-User " + err.Error())
	}
	var err error
	if g.Topics, err = topicsOf(h.Values("X-SSE-Topics")); err != nil {
		return nil, failing("X-SSE-Topics: " + err.Error())
	}
	seconds, given, err := numberOf(h, "X-SSE-Expires", int64(maxExpires/time.Second))
	if err != nil {
		return nil, failing(err.Error())
	}
	if given {
		lifetime = time.Duration(seconds) * time.Second
	}
	if lifetime > 0 {
		g.Expires = time.Now().Add(lifetime)
	}
	limit, _, err := numberOf(h, "X-SSE-Limit", 1<<30)
	if err != nil {
		return nil, failing(err.Error())
	}
	g.Limit = int(limit)
	return g, nil
}

// numberOf reads a header that holds one whole number from 1 to most.
func numberOf(h http.Header, name string, most int64) (n int64, given bool, err error) {
	values := h.Values(name)
	if len(values) == 0 {
		return 0, false, nil
	}
	n, err = strconv.ParseInt(strings.TrimSpace(values[0]), 10, 64)
	if err != nil || len(values) > 1 || n < 1 || n > most {
		return 0, false, fmt.Errorf("%s must be one whole number from 1 to %d", name, most)
	}
	return n, true, nil
}

// topicsOf reads a header that lists topics: a JSON array, or names separated by commas.
func topicsOf(lines []string) (topics []string, err error) {
	for _, line := range lines {
		line = strings.TrimSpace(line)
		if len(line) > (MaxTopics+1)*(rules.MaxName+4) {
			return nil, fmt.Errorf("more than %d topics", MaxTopics)
		}
		if strings.HasPrefix(line, "[") {
			var list []string
			if err := jsontext.CheckText([]byte(line)); err != nil {
				return nil, err
			}
			if json.Unmarshal([]byte(line), &list) != nil {
				return nil, errors.New("must be a JSON list of strings, or names separated by commas")
			}
			topics = append(topics, list...)
			continue
		}
		for topic := range strings.SplitSeq(line, ",") {
			if topic = strings.TrimSpace(topic); topic != "" {
				topics = append(topics, topic)
			}
		}
	}
	return topics, CheckTopics(topics)
}
