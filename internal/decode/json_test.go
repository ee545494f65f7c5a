package decode

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/rules"
)

// An event that is accepted is what encoding/json reads.
func FuzzJSONEvent(f *testing.F) {
	for _, seed := range []string{
		`{"user":"u","data":"a\n\u00e9\ud83c\udf89\/"}`, `{"us\u0065r":7,"data":{ "a" : [1, true] }}`, "\t{ \"users\":[\"b\",1,\"b\"] , \"data\" : null }\n",
		`{"topic":"t","event":"e","id":12,"retry":500,"ttl":6,"coalesce":"k","exclude":["c2","c1"]}`, `{"broadcast":true,"data":-1.5e+3}`, `{"connections":"c","broadcast":false}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		items, p := decodeAll(posted(asJSON, "", body), testMost)
		var raw map[string]json.RawMessage
		if err := json.Unmarshal([]byte(body), &raw); err != nil || raw == nil {
			if p == nil && !strings.HasPrefix(strings.TrimSpace(body), "[") {
				t.Errorf("accepted what encoding/json refuses: %v", err)
			}
			return
		}
		if p != nil || items[0].p != nil {
			return
		}
		want := broker.Record{}
		for name, text := range raw {
			var v any
			number := json.NewDecoder(bytes.NewReader(text))
			number.UseNumber()
			if err := number.Decode(&v); err != nil {
				t.Fatal(err)
			}
			list, _ := v.([]any)
			if list == nil {
				list = []any{v}
			}
			f := rules.FieldNamed(name)
			switch {
			case f == nil || v == nil: // of the publish itself
			case name == "broadcast":
				if v == true {
					want.Targets = append(want.Targets, broker.Target{Kind: broker.Broadcast})
				}
			case name == "data":
				var compact bytes.Buffer
				if s, ok := v.(string); ok {
					want.Data = []byte(s)
				} else if err := json.Compact(&compact, text); err == nil {
					want.Data = compact.Bytes()
				}
			case f.Kind == rules.NumberField:
				n, _ := v.(json.Number).Int64()
				_ = f.SetNumber(&want, n)
			default:
				for _, item := range list {
					if n, ok := item.(json.Number); ok {
						item = n.String()
					}
					_ = f.SetText(&want, item.(string))
				}
			}
		}
		rules.Tidy(&want)
		got := items[0].rec
		got.Key, got.Digest = "", [16]byte{}
		if len(got.Data) == 0 {
			got.Data = nil
		}
		if len(want.Data) == 0 {
			want.Data = nil
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s\ngot  %+v %q\nwant %+v %q", body, got, got.Data, want, want.Data)
		}
	})
}

// BenchmarkDecode measures an event, as one request and as a line of many.
func BenchmarkDecode(b *testing.B) {
	line := `{"user":"u123","data":"` + strings.Repeat("x", 120) + "\"}\n"
	for name, c := range map[string]struct {
		kind, body string
		events     int
	}{
		"object": {asJSON, line, 1}, "lines": {asLines, strings.Repeat(line, 500), 500}, "array": {asJSON, "[" + strings.Join(slices.Repeat([]string{line}, 500), ",") + "]", 500},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				d, p := New(posted(c.kind, "", c.body), testMost)
				if p != nil {
					b.Fatal(p)
				}
				for {
					if _, p, ok := d.Next(); p != nil {
						b.Fatal(p)
					} else if !ok {
						break
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(c.events), "ns/event")
		})
	}
}
