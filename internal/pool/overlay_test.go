package pool

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func TestConflict(t *testing.T) {
	for _, test := range []struct{ a, b, want string }{
		{`{}`, `{"history": {"events": 5}, "limits": {"per_ip": 5}, "broker": {"name": "redis"}}`, ""},
		{`{"history": {"events": 5}}`, `{"history": {"events": 5}}`, ""},
		{`{"history": {"events": 5}}`, `{"history": {"events": 5, "age": "1m"}}`, "history"},
		{`{"limits": {"per_ip": 5}}`, `{"limits": {"per_ip": 6}}`, "limits"},
		{`{"drain": "0s"}`, `{}`, ""},
		{`{"drain": "60s"}`, `{"drain": "1m"}`, ""},
		{`{"drain": "0s"}`, `{"drain": "3s"}`, "drain"},
		{`{"broker": {"name": "redis", "url": "a"}}`, `{"broker": { "url": "a", "name": "redis" }}`, ""},
		{`{"broker": {"name": "redis", "url": "a"}}`, `{"broker": {"name": "redis", "url": "b"}}`, "broker"},
	} {
		var a, b Settings
		for s, config := range map[*Settings]string{&a: test.a, &b: test.b} {
			if err := json.Unmarshal([]byte(config), s); err != nil {
				t.Fatal(err)
			}
		}
		if got := a.Conflict(&b); got != test.want {
			t.Errorf("%s and %s: got %q", test.a, test.b, got)
		}
		if got := b.Conflict(&a); got != test.want {
			t.Errorf("%s and %s: got %q", test.b, test.a, got)
		}
	}
}

// Every setting of a hub but its name is taken over from the handler that gives it, and conflicts with another value.
func TestEverySettingIsMerged(t *testing.T) {
	values := map[string][2]string{
		"history":    {`{"events": 1}`, `{"events": 2}`},
		"limits":     {`{"rate": 1}`, `{"rate": 2}`},
		"drain":      {`"0s"`, `"1s"`},
		"client_key": {`"one"`, `"two"`},
		"presence":   {`{"topic": "a"}`, `{"topic": "b"}`},
		"broker":     {`{"name": "a"}`, `{"name": "b"}`},
	}
	given := func(key, value string) (s Settings) {
		if err := json.Unmarshal([]byte(`{"hub": "h", "`+key+`": `+value+`}`), &s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	for field := range reflect.TypeFor[Settings]().Fields() {
		key, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if key == "hub" {
			continue
		}
		pair, ok := values[key]
		if !ok {
			t.Errorf("%s: the test has no values for it", key)
			continue
		}
		one, other := given(key, pair[0]), given(key, pair[1])
		if got := one.Conflict(&other); got != key {
			t.Errorf("%s: the conflict is %q", key, got)
		}
		merged := Settings{Hub: "h"}
		merged.merge(&one)
		merged.merge(&Settings{Hub: "another"})
		if !reflect.DeepEqual(merged, one) {
			t.Errorf("%s: merged into %+v", key, merged)
		}
	}
}
