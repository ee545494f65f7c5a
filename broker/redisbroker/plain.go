package redisbroker

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/rules"
)

// maxData limits the data that an app publishes with its own Redis client. For all else, the rules of a publish by HTTP apply.
const maxData = 16 << 20

// plain reads an entry of these fields:
//
//	user, topic, connection     a target; a field may be repeated
//	users, topics, connections  targets, as a JSON list of strings
//	broadcast                   "1" or "true": everybody
//	data, event, id
//	retry (ms; less than 500 counts as 500), ttl (s), coalesce
//	exclude                     a connection that does not get it, or a JSON list
//
// A target that is empty, a field that is not known, and an entry without a target are errors: no event that was meant for one
// client may go to all.
func plain(e *raw) (broker.Record, error) {
	r := broker.Record{Time: time.UnixMilli(int64(e.id.ms))}
	var given []string
	for i := 0; i+1 < len(e.fields); i += 2 {
		name, value := e.fields[i], e.fields[i+1]
		f := rules.FieldNamed(name)
		if f == nil {
			return r, fmt.Errorf("%w: %s: unknown field", broker.ErrMalformed, shown(name))
		}
		repeats := f.Kind == rules.ExcludeField || f.Kind == rules.TargetField && !f.Many
		if !repeats && slices.Contains(given, name) {
			return r, fmt.Errorf("%w: %s: given twice", broker.ErrMalformed, shown(name))
		}
		given = append(given, name)
		if err := setPlain(&r, f, value); err != nil {
			return r, fmt.Errorf("%w: %s: %w", broker.ErrMalformed, shown(name), err)
		}
	}
	rules.Tidy(&r)
	switch {
	case len(r.Targets) == 0:
		return r, fmt.Errorf("%w: no target: give user, topic, connection or broadcast", broker.ErrMalformed)
	case len(r.Targets) > rules.MaxTargets, len(r.Exclude) > rules.MaxTargets:
		return r, fmt.Errorf("%w: more than %d targets or exclusions", broker.ErrMalformed, rules.MaxTargets)
	}
	return r, nil
}

// shown returns a field's name in a form that can be logged.
func shown(name string) string {
	if len(name) > 40 {
		name = name[:40]
	}
	return strconv.QuoteToASCII(name)
}

// setPlain puts the value of one field into the record.
func setPlain(r *broker.Record, f *rules.Field, value string) error {
	switch f.Kind {
	case rules.EveryoneField:
		switch value {
		case "1", "true":
			r.Targets = append(r.Targets, broker.Target{Kind: broker.Broadcast})
		case "0", "false":
		default:
			return errors.New("must be 1, 0, true or false")
		}
		return nil
	case rules.DataField:
		if len(value) > maxData {
			return fmt.Errorf("must not be longer than %d bytes", maxData)
		}
		r.Data = []byte(value)
		return rules.CheckData(r.Data)
	case rules.NumberField:
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return errors.New("must be a whole number")
		}
		if f.Name == "retry" && n > 0 {
			n = max(n, rules.MinRetry.Milliseconds()) // nobody can be told that it is too short
		}
		return f.SetNumber(r, n)
	}
	texts := []string{value}
	if f.Many || f.Kind == rules.ExcludeField && strings.HasPrefix(value, "[") {
		var err error
		if texts, err = list(value); err != nil {
			return err
		}
	}
	for _, s := range texts {
		if err := f.SetText(r, s); err != nil {
			return err
		}
	}
	return nil
}

// list reads a JSON list of strings. It must not be empty or contain null.
func list(value string) ([]string, error) {
	var items []*string
	if err := json.Unmarshal([]byte(value), &items); err != nil || len(items) == 0 || slices.Contains(items, nil) {
		return nil, errors.New("must be a JSON list of strings, and not empty")
	}
	names := make([]string, len(items))
	for i, s := range items {
		names[i] = *s
	}
	return names, nil
}
