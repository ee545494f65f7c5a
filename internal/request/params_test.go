package request

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// A name that stands twice in a body of JSON is refused, as which one counts would differ from one reader to the next.
func TestJSONParams(t *testing.T) {
	for body, want := range map[string]url.Values{
		`{"user":"a","topic":["t",1,null],"replay":5,"x":null}`: {"user": {"a"}, "topic": {"t", "1"}, "replay": {"5"}},
		`{}`: {},
	} {
		got, err := jsonParams([]byte(body), false)
		if err != nil || !maps.EqualFunc(got, want, slices.Equal) {
			t.Errorf("%s: got %v, %v", body, got, err)
		}
	}
	for body, want := range map[string]string{
		`{"user":"a","user":"b"}`: "user is given twice", `{"user":"a","us\u0065r":"b"}`: "user is given twice",
		`{"user":["a"],"user":null}`: "user is given twice", `[1]`: "must be an object, got an array", `{"user":{}}`: "user must be a string",
		`{"user":true}`: "user must be a string", `{"user":1.5}`: "user must be a string or a whole number", `{"user":[["a"]]}`: "user must be a string",
		`{"user":"\ud800"}`: "half of a surrogate pair", "{\"user\":\"\xff\"}": "UTF-8", `{} {}`: "invalid JSON", ``: "invalid JSON",
	} {
		if got, err := jsonParams([]byte(body), false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, %v", body, got, err)
		}
	}
	// The body of an app's own request is not judged.
	got, err := jsonParams([]byte(`{"last_event_id":"a","last_event_id":"b","mine":{"x":[1.5]}}`), true)
	if err != nil || !slices.Equal(got["last_event_id"], []string{"b"}) || len(got) != 1 {
		t.Errorf("got %v, %v", got, err)
	}
}
