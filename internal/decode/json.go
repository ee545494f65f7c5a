package decode

import (
	"bytes"
	"net/http"

	"github.com/sse-push/caddy-sse-push/internal/jsontext"
	"github.com/sse-push/caddy-sse-push/internal/problem"
)

// parseJSON reads the text of an event, or of a list of events.
func parseJSON(text []byte) (jsontext.Value, *problem.Problem) {
	v, err := jsontext.Parse(text)
	if err != nil {
		return nil, problem.New(http.StatusBadRequest, "%s", err)
	}
	return v, nil
}

// fillFromJSON sets the fields of an event.
func fillFromJSON(pub *publication, event jsontext.Value) *problem.Problem {
	if event[0] != '{' {
		return problem.New(http.StatusBadRequest, "an event must be an object, got %s", event.What())
	}
	for name, value := range event.Members() {
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
		pub.json = value
		if p := pub.set(f, &pub.json); p != nil {
			return p
		}
	}
	return nil
}
