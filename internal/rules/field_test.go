package rules_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/rules"
)

// Each field puts its value into the record, and refuses one that breaks its rule.
func TestFields(t *testing.T) {
	target := func(kind broker.TargetKind) broker.Record {
		return broker.Record{Targets: []broker.Target{{Kind: kind, Name: "a"}}}
	}
	for name, c := range map[string]struct {
		good string
		want broker.Record
		bad  string
	}{
		"user": {"a", target(broker.User), ""}, "users": {"a", target(broker.User), "\x00"},
		"topic": {"a", target(broker.Topic), "a/*"}, "topics": {"a", target(broker.Topic), "**"},
		"connection": {"a", target(broker.Connection), "a b"}, "connections": {"a", target(broker.Connection), "a/b"},
		"event": {"a", broker.Record{Type: "a"}, "sse:a"}, "id": {"a", broker.Record{ID: "a"}, "\n"},
		"coalesce": {"a", broker.Record{Coalesce: "a"}, ""}, "exclude": {"a", broker.Record{Exclude: []string{"a"}}, "*"},
	} {
		f := rules.FieldNamed(name)
		var r broker.Record
		if err := f.SetText(&r, c.good); err != nil || !reflect.DeepEqual(r, c.want) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
		if f.SetText(&r, c.bad) == nil {
			t.Errorf("%s: takes %q", name, c.bad)
		}
	}
	for name, c := range map[string]struct {
		least int64
		want  broker.Record
	}{"retry": {500, broker.Record{Retry: rules.MinRetry}}, "ttl": {1, broker.Record{TTL: time.Second}}} {
		var r broker.Record
		if err := rules.FieldNamed(name).SetNumber(&r, c.least); err != nil || !reflect.DeepEqual(r, c.want) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
		if rules.FieldNamed(name).SetNumber(&r, c.least-1) == nil {
			t.Errorf("%s: takes %d", name, c.least-1)
		}
	}
	if n := len(rules.FieldNames()); n != 14 || rules.FieldNamed("users ") != nil {
		t.Errorf("there are %d fields", n)
	}
}
