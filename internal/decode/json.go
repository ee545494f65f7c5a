package decode

import (
	"bytes"
	"net/http"

	"github.com/sse-push/caddy-sse-push/internal/jsontext"
	"github.com/sse-push/caddy-sse-push/internal/problem"
)

// maxMembers is how many members of an event are looked at. One more than there are fields is enough to find an unknown field, or
// one that is given twice.
var maxMembers = len(fieldNames) + 1

// jsonEvent reads events that are JSON objects, one after the other. Its buffers are used again for the next.
type jsonEvent struct {
	members []jsontext.Member
	value   jsontext.Value // of the member that is set at the moment; in here, since a value in an interface needs memory of its own
}

// parse reads the text of an event, or of a list of events.
func (e *jsonEvent) parse(text []byte) (v jsontext.Value, p *problem.Problem) {
	if e.members == nil {
		e.members = make([]jsontext.Member, 0, 8)
	}
	v, members, err := jsontext.ParseMembers(text, e.members[:0], maxMembers)
	if e.members = members; err != nil {
		return nil, problem.New(http.StatusBadRequest, "%s", err)
	}
	return v, nil
}

// fill sets the fields of the event that parse has read.
func (e *jsonEvent) fill(pub *publication, event jsontext.Value) *problem.Problem {
	if event[0] != '{' {
		return notAnObject(event)
	}
	for _, m := range e.members {
		if p := e.set(pub, m.Name, m.Value); p != nil {
			return p
		}
	}
	return nil
}

// fillFrom sets the fields of an event that is an item of a list, which parse has read.
func (e *jsonEvent) fillFrom(pub *publication, event jsontext.Value) *problem.Problem {
	if event[0] != '{' {
		return notAnObject(event)
	}
	for name, value := range event.Members() {
		if p := e.set(pub, name, value); p != nil {
			return p
		}
	}
	return nil
}

func notAnObject(v jsontext.Value) *problem.Problem {
	return problem.New(http.StatusBadRequest, "an event must be an object, got %s", v.What())
}

// set sets one field.
func (e *jsonEvent) set(pub *publication, name, value jsontext.Value) *problem.Problem {
	plain := name[1 : len(name)-1]
	if bytes.IndexByte(plain, '\\') >= 0 {
		text, err := name.Unquote()
		if err != nil {
			return problem.New(http.StatusBadRequest, "the name of a field %s", err)
		}
		plain = jsontext.Value(text)
	}
	f := fields[string(plain)]
	if f == nil {
		return unknownField(string(plain))
	}
	e.value = value
	return pub.set(f, &e.value)
}
