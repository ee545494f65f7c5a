package rules

import (
	"slices"

	"github.com/sse-push/caddy-sse-push/broker"
)

// FieldKind is how the value of a field is read.
type FieldKind uint8

const (
	TargetField  FieldKind = iota + 1 // names of users, topics or connections that get the event
	ExcludeField                      // ids of connections that do not get it
	EveryoneField
	DataField
	TextField
	NumberField // whole
)

// Field is a field of an event as an app publishes it, in the body of a request or in an entry of a Redis stream. The two write
// values differently, but accept the same.
type Field struct {
	Name    string
	Kind    FieldKind
	Target  broker.TargetKind // of a TargetField: the kind of names
	Many    bool              // of a TargetField: its value is a list
	Numeric bool              // a number stands for its text: users and ids are numbers in many databases

	text   func(r *broker.Record, s string) error
	number func(r *broker.Record, n int64) error
}

// fields are all fields.
var fields = []Field{
	{Name: "user", Kind: TargetField, Target: broker.User, Numeric: true, text: addUser},
	{Name: "users", Kind: TargetField, Target: broker.User, Many: true, Numeric: true, text: addUser},
	{Name: "topic", Kind: TargetField, Target: broker.Topic, text: addTopic},
	{Name: "topics", Kind: TargetField, Target: broker.Topic, Many: true, text: addTopic},
	{Name: "connection", Kind: TargetField, Target: broker.Connection, text: addConnection},
	{Name: "connections", Kind: TargetField, Target: broker.Connection, Many: true, text: addConnection},
	{Name: "broadcast", Kind: EveryoneField},
	{Name: "event", Kind: TextField, text: func(r *broker.Record, s string) error {
		r.Type = s
		return CheckType(s)
	}},
	{Name: "data", Kind: DataField},
	{Name: "id", Kind: TextField, Numeric: true, text: func(r *broker.Record, s string) error {
		r.ID = s
		return CheckID(s)
	}},
	{Name: "retry", Kind: NumberField, number: func(r *broker.Record, n int64) (err error) {
		r.Retry, err = RetryOf(n)
		return err
	}},
	{Name: "ttl", Kind: NumberField, number: func(r *broker.Record, n int64) (err error) {
		r.TTL, err = TTLOf(n)
		return err
	}},
	{Name: "coalesce", Kind: TextField, text: func(r *broker.Record, s string) error {
		r.Coalesce = s
		return CheckCoalesce(s)
	}},
	{Name: "exclude", Kind: ExcludeField, text: func(r *broker.Record, s string) error {
		r.Exclude = append(r.Exclude, s)
		return CheckConnection(s)
	}},
}

func addUser(r *broker.Record, name string) error {
	r.Targets = append(r.Targets, broker.Target{Kind: broker.User, Name: name})
	return CheckName(name)
}

func addTopic(r *broker.Record, name string) error {
	r.Targets = append(r.Targets, broker.Target{Kind: broker.Topic, Name: name})
	return CheckTopic(name)
}

func addConnection(r *broker.Record, name string) error {
	r.Targets = append(r.Targets, broker.Target{Kind: broker.Connection, Name: name})
	return CheckConnection(name)
}

// FieldNamed returns the field with a name, or nil.
func FieldNamed(name string) *Field {
	i := slices.IndexFunc(fields, func(f Field) bool { return f.Name == name })
	if i < 0 {
		return nil
	}
	return &fields[i]
}

// FieldNames returns the names of all fields.
func FieldNames() (names []string) {
	for _, f := range fields {
		names = append(names, f.Name)
	}
	return names
}

// SetText sets a TextField, or adds one name to a TargetField or an ExcludeField. It returns what is wrong with the text.
func (f *Field) SetText(r *broker.Record, s string) error { return f.text(r, s) }

// SetNumber sets a NumberField. It returns what is wrong with the number.
func (f *Field) SetNumber(r *broker.Record, n int64) error { return f.number(r, n) }
