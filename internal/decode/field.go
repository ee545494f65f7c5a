package decode

import (
	"strings"

	"github.com/sse-push/caddy-sse-push/internal/problem"
	"github.com/sse-push/caddy-sse-push/internal/rules"
)

// field is a field of a body.
type field struct {
	name  string
	bit   uint32       // a bit of its own
	event *rules.Field // nil if it belongs to the publish, not to the event
}

// fieldNames are the fields of a body: those of the event, and those of the publish itself.
var fieldNames = append(rules.FieldNames(), "idempotency_key", "wait", "timeout")

var fields = func() map[string]*field {
	fields := map[string]*field{}
	for i, name := range fieldNames {
		fields[name] = &field{name, 1 << i, rules.FieldNamed(name)}
	}
	return fields
}()

func unknownField(name string) *problem.Problem {
	return problem.Field(name, "unknown field; the fields are %s", strings.Join(fieldNames, ", "))
}
