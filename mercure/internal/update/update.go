// Package update reads updates as publishers of the Mercure protocols send them.
package update

import (
	"cmp"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/matcher"
	"github.com/sse-push/caddy-sse-push/internal/problem"
	"github.com/sse-push/caddy-sse-push/internal/request"
	"github.com/sse-push/caddy-sse-push/internal/rules"
)

const (
	formType = "application/x-www-form-urlencoded"

	// maxTopicBytes bounds the topics of an update, together.
	maxTopicBytes = 64 << 10

	// bodyTimeout is how long an update may take to arrive: a page may publish, and must not hold up a goroutine and memory for as long as it
	// likes.
	bodyTimeout = time.Minute

	earliest = "earliest" // instead of an id: all that there is
)

// Read returns the record of the update that a publisher sends to the hub of a base. It reads only what the protocols name, so that a
// publisher's token reaches no users and no connections.
func Read(w http.ResponseWriter, r *http.Request, base *matcher.Base, maxEvent int64) (broker.Record, *problem.Problem) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != formType {
		return broker.Record{}, problem.New(http.StatusBadRequest, "the Content-Type must be %s", formType)
	}
	most := 3*(maxEvent+maxTopicBytes) + 16<<10 // a byte takes up to three in a form
	body, p := request.ReadBody(w, r, most, bodyTimeout)
	if p != nil {
		return broker.Record{}, p
	}
	u := update{record: broker.Record{Public: true}, seen: map[string]bool{}}
	for pair := range strings.SplitSeq(string(body), "&") {
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		if err == nil {
			value, err = url.QueryUnescape(value)
		}
		if err != nil {
			return broker.Record{}, problem.New(http.StatusBadRequest, "the form has a broken percent-encoding")
		}
		if err := u.set(base, name, value); err != nil {
			return broker.Record{}, problem.Field(name, "%v", err)
		}
	}
	switch {
	case u.topics > maxTopicBytes, len(u.record.Targets) > rules.MaxTargets:
		return broker.Record{}, tooLong("topic", "must not be more than %d, of %d bytes together", rules.MaxTargets, maxTopicBytes)
	case len(u.record.Targets) == 0:
		return broker.Record{}, problem.Field("topic", "is missing")
	case int64(len(u.record.Data)) > maxEvent:
		return broker.Record{}, tooLong("data", "must not be longer than %d bytes", maxEvent)
	}
	rules.Tidy(&u.record)
	return u.record, nil
}

// tooLong returns the problem of a field that exceeds a limit.
func tooLong(field, format string, args ...any) *problem.Problem {
	return problem.New(http.StatusRequestEntityTooLarge, "%s: %s", field, fmt.Sprintf(format, args...)).OfField(field)
}

// update is an update as its form is read.
type update struct {
	record broker.Record
	topics int             // bytes
	seen   map[string]bool // fields that count once
}

// set takes one field of the form. The first of several values counts, and an empty one is none, except for topics, of which each
// counts, and for private, whose value has no meaning. Unknown fields have none either.
func (u *update) set(base *matcher.Base, name, value string) error {
	switch name {
	case "topic":
		if u.topics += len(value); u.topics > maxTopicBytes || len(u.record.Targets) > rules.MaxTargets {
			return nil // too many are refused once the form is read, whatever they are
		}
		u.record.Targets = append(u.record.Targets, broker.Target{Kind: broker.Topic, Name: strings.Clone(value)})
		return checkTopic(base, value)
	case "private":
		u.record.Public = false
		return nil
	case "data", "id", "type", "retry":
	default:
		return nil
	}
	if u.seen[name] || value == "" {
		return nil
	}
	u.seen[name] = true
	switch name {
	case "data":
		if !utf8.ValidString(value) {
			return errors.New("must be valid UTF-8")
		}
		u.record.Data = []byte(value)
		return nil
	case "id":
		u.record.ID = strings.Clone(value)
		return checkID(value)
	case "type":
		u.record.Type = strings.Clone(value)
		return checkType(value)
	}
	var err error
	u.record.Retry, err = parseRetry(value)
	return err
}

// checkTopic returns what is wrong with an update's topic, or nil.
func checkTopic(base *matcher.Base, topic string) error {
	switch {
	case topic == "*":
		return errors.New("must not be *, which stands for all topics")
	case base.Reserved(topic):
		return errReservedTopic
	}
	return matcher.CheckText(topic)
}

// checkID returns what is wrong with a publisher's id, or nil. One that begins with # would be taken for the hub's own.
func checkID(id string) error {
	switch {
	case id == earliest:
		return errors.New("must not be " + earliest + ", which stands for everything")
	case id[0] == '#':
		return errors.New("must not begin with #, as the hub's own do")
	}
	return cmp.Or(rules.CheckID(id), matcher.CheckCharacters(id))
}

// checkType returns what is wrong with an update's type, or nil.
func checkType(name string) error {
	if name == reservedType {
		return errReservedType
	}
	return cmp.Or(rules.CheckType(name), matcher.CheckCharacters(name))
}

// parseRetry returns the duration of a retry in milliseconds, raised to rules.MinRetry.
func parseRetry(value string) (time.Duration, error) {
	if strings.Trim(value, "0123456789") != "" {
		return 0, errors.New("must be a whole number of milliseconds")
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n > int64(rules.MaxRetry/time.Millisecond) {
		return 0, errors.New("must not be more than a day")
	}
	return max(time.Duration(n)*time.Millisecond, rules.MinRetry), nil
}
