package jsontext

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

// The walk over the bytes must see what encoding/json sees.
func FuzzJSONWalk(f *testing.F) {
	for _, seed := range []string{
		`{}`, `[]`, ` { } `, ` [ ] `, `{"a":1,"b":[{"c":"]}\\"}],"d":null}`, `[1,-2.5e+3,true,false,null,"x","\"",[],{}]`,
		"{ \"a\" :\n\t1 ,\r\n\"a\" : { } }", `["\u00e9\ud83c\udf89\\"]`, `{"\"":{"\\":"\\"}}`, `12 `, `"x"`, `[[[[1]]],2]`,
		`{"a":tru}`, `[1,]`, `{"a"}`, "[\"\xff\"]", `["\ud800"]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := Parse(bytes.Clone(b))
		if valid := json.Valid(b) && utf8.Valid(b); valid != (err == nil) {
			t.Fatalf("valid: %v, but %v", valid, err)
		}
		if err != nil {
			return
		}
		switch v[0] {
		case '[':
			var want []json.RawMessage
			if err := json.Unmarshal(v, &want); err != nil {
				t.Fatal(err)
			}
			n := 0
			for item := range v.Items() {
				if !bytes.Equal(item, bytes.TrimSpace(want[n])) {
					t.Errorf("item %d is %s, want %s", n, item, want[n])
				}
				n++
			}
			if n != len(want) {
				t.Errorf("%d items, want %d", n, len(want))
			}
		case '{':
			want, got := map[string]json.RawMessage{}, map[string]json.RawMessage{}
			if err := json.Unmarshal(v, &want); err != nil {
				t.Fatal(err)
			}
			for key, val := range v.Members() {
				var name string
				if err := json.Unmarshal(key, &name); err != nil {
					t.Fatal(err)
				}
				got[name] = json.RawMessage(val)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("members %q, want %q", got, want)
			}
		case '"':
			s, err := v.Unquote()
			var want string
			if e := json.Unmarshal(v, &want); e != nil {
				t.Fatal(e)
			}
			if err != nil {
				if !strings.Contains(want, "\uFFFD") {
					t.Errorf("refused %s: %v", v, err)
				}
				return
			}
			if s != want {
				t.Errorf("%s is %q, want %q", v, s, want)
			}
			// What encoding/json had to mend was refused.
			if strings.Count(s, "\uFFFD") > bytes.Count(v, []byte("\uFFFD"))+bytes.Count(bytes.ToLower(v), []byte(`\ufffd`)) {
				t.Errorf("%s was mended to %q", v, s)
			}
		}
		if data, err := v.Data(); err == nil && v[0] != '"' && v[0] != 'n' {
			var want bytes.Buffer
			if err := json.Compact(&want, v); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(data, want.Bytes()) {
				t.Errorf("data %s, want %s", data, want.Bytes())
			}
		}
	})
}
