package decode

import (
	"encoding/json"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/rules"
)

func user(name string) broker.Target { return broker.Target{Kind: broker.User, Name: name} }

func topic(name string) broker.Target { return broker.Target{Kind: broker.Topic, Name: name} }

func TestFieldsFromJSON(t *testing.T) {
	conn, all := broker.Target{Kind: broker.Connection, Name: "Az_9-"}, broker.Target{Kind: broker.Broadcast}
	just := func(targets ...broker.Target) broker.Record { return broker.Record{Targets: targets} }
	with := func(change func(r *broker.Record)) broker.Record {
		r := just(user("u"))
		change(&r)
		return r
	}
	longest := strings.Repeat("n", 255)
	for body, want := range map[string]broker.Record{
		`{"user":"u"}`:        just(user("u")),
		`{"users":"u"}`:       just(user("u")),
		`{"users":["b","a"]}`: just(user("a"), user("b")),
		`{"users":["a","a"]}`: just(user("a")),
		`{"user":"a","users":["a","b"],"topic":"t/1","topics":["t/1","t/2"]}`: just(user("a"), user("b"), topic("t/1"), topic("t/2")),
		`{"user":"a","topic":"a"}`:                           just(user("a"), topic("a")),
		`{"connection":"Az_9-"}`:                             just(conn),
		`{"connections":["Az_9-"],"broadcast":true}`:         just(all, conn),
		`{"broadcast":true}`:                                 just(all),
		`{"broadcast":false,"user":"u"}`:                     just(user("u")),
		`{"user":"` + longest + `"}`:                         just(user(longest)),
		`{"user":"*"}`:                                       just(user("*")),
		`{"topic":"a*b"}`:                                    just(topic("a*b")),
		`{"user":"u","event":"order","id":"7"}`:              with(func(r *broker.Record) { r.Type, r.ID = "order", "7" }),
		`{"user":"u","retry":500}`:                           with(func(r *broker.Record) { r.Retry = 500 * time.Millisecond }),
		`{"user":"u","retry":86400000}`:                      with(func(r *broker.Record) { r.Retry = 24 * time.Hour }),
		`{"user":"u","ttl":1}`:                               with(func(r *broker.Record) { r.TTL = time.Second }),
		`{"user":"u","ttl":31536000}`:                        with(func(r *broker.Record) { r.TTL = 365 * 24 * time.Hour }),
		`{"user":"u","coalesce":"price of é"}`:               with(func(r *broker.Record) { r.Coalesce = "price of é" }),
		`{"user":"u","exclude":"c1"}`:                        with(func(r *broker.Record) { r.Exclude = []string{"c1"} }),
		`{"user":"u","exclude":["c2","c1","c2"]}`:            with(func(r *broker.Record) { r.Exclude = []string{"c1", "c2"} }),
		`{"user":"u","exclude":[]}`:                          just(user("u")),
		`{"user":"u","event":null,"id":null,"retry":null}`:   just(user("u")), // as in a form, where PHP leaves them out
		`{"user":"u","ttl":null,"coalesce":null}`:            just(user("u")),
		`{"user":"u","exclude":null,"idempotency_key":null}`: just(user("u")),
		`{"user":"u","data":null}`:                           just(user("u")),
	} {
		rec, p := decodeOne(t, posted(asJSON, "", body))
		if len(rec.Exclude) == 0 {
			rec.Exclude = nil
		}
		if p != nil || !reflect.DeepEqual(rec, want) {
			t.Errorf("%s: %v\ngot  %+v\nwant %+v", body, p, rec, want)
		}
	}
}

func TestDataFromJSON(t *testing.T) {
	for in, want := range map[string]string{
		`""`:                                   "",
		`"plain"`:                              "plain",
		`"  a leading space"`:                  "  a leading space",
		`"two\nlines\r\n"`:                     "two\nlines\r\n",
		`"\ud83c\udf89 \u00e9 \\ud800"`:        `🎉 é \ud800`,
		`"\u0000"`:                             "\x00",
		`null`:                                 "",
		`"null"`:                               "null",
		`true`:                                 "true",
		`false`:                                "false",
		`0`:                                    "0",
		`-12.50e+3`:                            "-12.50e+3",
		`12345678901234567890123`:              "12345678901234567890123",
		`{}`:                                   "{}",
		`[]`:                                   "[]",
		` { "b" : [ 1 , 2 ] , "a":" x  y " } `: `{"b":[1,2],"a":" x  y "}`,
		"{\n\t\"b\":\r\n1}":                    `{"b":1}`,
		`{"b":"<&>\u00e9"}`:                    `{"b":"<&>\u00e9"}`,
		`{"b":1,"b":2}`:                        `{"b":1,"b":2}`,
	} {
		rec, p := decodeOne(t, posted(asJSON, "", `{"user":"u","data":`+in+`}`))
		if p != nil || string(rec.Data) != want {
			t.Errorf("%s: %v, %q; want %q", in, p, rec.Data, want)
		}
	}
}

func TestFieldErrorsFromJSON(t *testing.T) {
	const noTarget = "no target: give user, topic, connection or broadcast"
	many := func(n int, format string) string {
		var names []string
		for i := range n {
			names = append(names, fmt.Sprintf(format, i))
		}
		b, err := json.Marshal(names)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for _, c := range []struct{ body, field, detail string }{
		{`{}`, "", noTarget},
		{`{"data":"x"}`, "", noTarget},
		{`{"broadcast":false,"data":"x"}`, "", noTarget},
		{`{"exclude":["c"]}`, "", noTarget},

		{`{"user":null}`, "user", "must not be null"},
		{`{"users":null,"topic":"t"}`, "users", "must not be null"},
		{`{"topic":"t","user":null}`, "user", "must not be null"},
		{`{"topic":null,"user":"u"}`, "topic", "must not be null"},
		{`{"topics":null,"user":"u"}`, "topics", "must not be null"},
		{`{"connection":null,"user":"u"}`, "connection", "must not be null"},
		{`{"connections":null,"user":"u"}`, "connections", "must not be null"},
		{`{"broadcast":null,"user":"u"}`, "broadcast", "must not be null"},
		{`{"broadcast":true,"user":null}`, "user", "must not be null"},
		{`{"user":"","topic":"t"}`, "user", "must not be empty"},
		{`{"users":"","topic":"t"}`, "users", "must not be empty"},
		{`{"users":[],"topic":"t"}`, "users", "empty list"},
		{`{"topics":[],"user":"u"}`, "topics", "empty list"},
		{`{"connections":[ ],"user":"u"}`, "connections", "empty list"},
		{`{"users":["a",null]}`, "users", "item 1 must be a string or a whole number, got null"},
		{`{"users":["a",""]}`, "users", "item 1 must not be empty"},
		{`{"users":["a",true]}`, "users", "item 1 must be a string or a whole number, got a boolean"},
		{`{"users":["a",7.5]}`, "users", "item 1 must be a string or a whole number"},
		{`{"topics":["a",7]}`, "topics", "item 1 must be a string, got a number"},
		{`{"users":[["a"]]}`, "users", "item 0 must be a string or a whole number, got an array"},
		{`{"users":{"0":"a"}}`, "users", "must be a string, a whole number or an array of them, got an object"},
		{`{"topics":{"0":"a"}}`, "topics", "must be a string or an array of strings, got an object"},
		{`{"users":7.0}`, "users", "must be a string or a whole number"},
		{`{"users":true}`, "users", "must be a string, a whole number or an array of them, got a boolean"},
		{`{"user":7.0}`, "user", "must be a string or a whole number"},
		{`{"user":1e3}`, "user", "must be a string or a whole number"},
		{`{"user":9223372036854775808}`, "user", "must be a string or a whole number"},
		{`{"user":false}`, "user", "must be a string or a whole number, got a boolean"},
		{`{"user":"\ud800"}`, "user", "half of a surrogate pair"},
		{`{"user":["u"]}`, "user", "must be a string or a whole number, got an array"},
		{`{"user":{"id":1}}`, "user", "must be a string or a whole number, got an object"},
		{`{"topic":7}`, "topic", "must be a string, got a number"},
		{`{"connection":7}`, "connection", "must be a string, got a number"},
		{`{"user":"` + strings.Repeat("u", 256) + `"}`, "user", "must not be longer than 255 bytes"},
		{`{"user":"` + strings.Repeat("ü", 128) + `"}`, "user", "must not be longer than 255 bytes"},
		{`{"user":"a\nb"}`, "user", "control characters"},
		{`{"user":"a\u0000"}`, "user", "control characters"},
		{`{"user":"\ud800"}`, "user", "half of a surrogate pair"},
		{`{"user":"\udc00\ud800"}`, "user", "half of a surrogate pair"},
		{`{"user":"\ud800\u0041"}`, "user", "half of a surrogate pair"},
		{`{"user":"\ud800\\udc00"}`, "user", "half of a surrogate pair"},
		{`{"users":["a","\udc00"]}`, "users", "item 1 must be valid UTF-8"},
		{`{"user":"u","data":"\ud83c"}`, "data", "half of a surrogate pair"},
		{`{"\ud83c":"u"}`, "", "half of a surrogate pair"},
		{`{"topic":"orders/*"}`, "topic", "must be a name, not a pattern"},
		{`{"topics":["orders/1","**"]}`, "topics", "item 1 must be a name, not a pattern"},
		{`{"topic":"` + strings.Repeat("t", 256) + `"}`, "topic", "255"},
		{`{"connection":""}`, "connection", "must not be empty"},
		{`{"connection":"a b"}`, "connection", "letters, digits"},
		{`{"connection":"é"}`, "connection", "letters, digits"},
		{`{"connection":"` + strings.Repeat("c", 129) + `"}`, "connection", "128"},
		{`{"connections":["ok","a/b"]}`, "connections", "item 1 must be a connection's id"},
		{`{"broadcast":"true"}`, "broadcast", "must be true or false, got a string"},
		{`{"broadcast":1}`, "broadcast", "must be true or false, got a number"},
		{`{"users":` + many(1001, "u%d") + `}`, "", "at most 1000"},
		{`{"users":` + many(1000, "u%d") + `,"topic":"t"}`, "", "at most 1000 may be given, got 1001"},
		{`{"users":[` + strings.Repeat(`"u",`, 10_000) + `"u"]}`, "users", "more than 10000 items"},

		{`{"user":"u","usr":"x"}`, "usr", "unknown field; the fields are user, users, topic"},
		{`{"user":"u","User":"x"}`, "User", "unknown field"},
		{`{"user":"u","":1}`, "", "unknown field"},
		{`{"user":"u","data\u0000":1}`, "data\x00", "unknown field"},
		{`{"user":"a","user":"b"}`, "user", "is given twice"},
		{`{"user":"a","us\u0065r":"b"}`, "user", "is given twice"},
		{`{"user":"a","event":null,"event":"x"}`, "event", "is given twice"},

		{`{"user":"u","event":7}`, "event", "must be a string, got a number"},
		{`{"user":"u","event":""}`, "event", "must not be empty"},
		{`{"user":"u","event":"open"}`, "event", `"open"`},
		{`{"user":"u","event":"error"}`, "event", `"error"`},
		{`{"user":"u","event":"sse:gap"}`, "event", `"sse:"`},
		{`{"user":"u","event":"a\nb"}`, "event", "control characters"},
		{`{"user":"u","event":"` + strings.Repeat("e", 129) + `"}`, "event", "128"},
		{`{"user":"u","id":7.5}`, "id", "must be a string or a whole number"},
		{`{"user":"u","id":[7]}`, "id", "must be a string or a whole number, got an array"},
		{`{"user":"u","id":""}`, "id", "must not be empty"},
		{`{"user":"u","id":"a\u0000"}`, "id", "control characters"},
		{`{"user":"u","id":"a\rb"}`, "id", "control characters"},
		{`{"user":"u","id":"` + strings.Repeat("i", 129) + `"}`, "id", "128"},
		{`{"user":"u","retry":0}`, "retry", "must be 500 to 86400000 milliseconds"},
		{`{"user":"u","retry":499}`, "retry", "must be 500 to 86400000 milliseconds"},
		{`{"user":"u","retry":-1}`, "retry", "must be 500 to 86400000"},
		{`{"user":"u","retry":86400001}`, "retry", "must be 500 to 86400000"},
		{`{"user":"u","retry":99999999999999999999}`, "retry", "whole number"},
		{`{"user":"u","retry":1.5}`, "retry", "whole number"},
		{`{"user":"u","retry":1e3}`, "retry", "whole number"},
		{`{"user":"u","retry":"1000"}`, "retry", "must be a number, got a string"},
		{`{"user":"u","ttl":0}`, "ttl", "must be 1 to 31536000 seconds"},
		{`{"user":"u","ttl":31536001}`, "ttl", "must be 1 to 31536000 seconds"},
		{`{"user":"u","ttl":[1]}`, "ttl", "must be a number, got an array"},
		{`{"user":"u","coalesce":""}`, "coalesce", "must not be empty"},
		{`{"user":"u","coalesce":"a\tb"}`, "coalesce", "control characters"},
		{`{"user":"u","coalesce":"` + strings.Repeat("c", 129) + `"}`, "coalesce", "128"},
		{`{"user":"u","coalesce":true}`, "coalesce", "must be a string, got a boolean"},
		{`{"user":"u","exclude":""}`, "exclude", "must not be empty"},
		{`{"user":"u","exclude":"a b"}`, "exclude", "connection's id"},
		{`{"user":"u","exclude":["c",null]}`, "exclude", "item 1 must be a string, got null"},
		{`{"user":"u","exclude":true}`, "exclude", "got a boolean"},
		{`{"user":"u","exclude":` + many(1001, "c%d") + `}`, "exclude", "more than 1000"},
		{`{"user":"u","idempotency_key":""}`, "idempotency_key", "must not be empty"},
		{`{"user":"u","idempotency_key":"é"}`, "idempotency_key", "printable ASCII"},
		{`{"user":"u","idempotency_key":"a\nb"}`, "idempotency_key", "printable ASCII"},
		{`{"user":"u","idempotency_key":"` + strings.Repeat("k", 256) + `"}`, "idempotency_key", "255"},
		{`{"user":"u","idempotency_key":7}`, "idempotency_key", "must be a string, got a number"},
	} {
		name := c.body
		if len(name) > 60 {
			name = name[:60]
		}
		t.Run(name, func(t *testing.T) {
			_, p := decodeOne(t, posted(asJSON, "", c.body))
			wantProblem(t, p, 400, c.field, c.detail)
			if c.field != "" && c.field != "data\x00" && !strings.HasPrefix(p.Detail, c.field+": ") {
				t.Errorf("the detail does not name the field: %s", p.Detail)
			}
		})
	}
	// As many as there may be; duplicates do not count.
	rec, p := decodeOne(t, posted(asJSON, "", `{"users":`+many(1000, "u%d")+`,"user":"u7","exclude":`+many(1000, "c%d")+`}`))
	if p != nil || len(rec.Targets) != 1000 || len(rec.Exclude) != 1000 {
		t.Errorf("%v, %d targets, %d excluded; want 1000 each", p, len(rec.Targets), len(rec.Exclude))
	}
}

func TestDigest(t *testing.T) {
	digestOf := func(kind, query, body string) [16]byte {
		t.Helper()
		rec, p := decodeOne(t, posted(kind, query, body, "Idempotency-Key", "k"))
		if p != nil {
			t.Fatalf("%s: %v", body, p)
		}
		if rec.Digest == [16]byte{} {
			t.Fatalf("%s: no digest", body)
		}
		return rec.Digest
	}
	// One event, however it is put.
	want := digestOf(asJSON, "", `{"users":["a","b"],"topic":"t","event":"e","data":{"k":"v","l":["1","2"]},"retry":500,"ttl":6,"exclude":["c","d"]}`)
	for _, c := range [][3]string{
		{asJSON, "", `{ "data" : {"k" : "v", "l":["1", "2"]}, "exclude":["d","c","d"], "topics":["t"], "users":["b","a","b"], "ttl":6, "retry":500, "event":"e", "id":null}`},
		{asJSON, "", `{"user":"b","users":"a","topic":"t","broadcast":false,"event":"e","data":"{\"k\":\"v\",\"l\":[\"1\",\"2\"]}","retry":500,"ttl":6,"exclude":["c","d"],"idempotency_key":"k"}`},
		{asForm, "", `users[]=b&users[]=a&topic=t&event=e&data[k]=v&data[l][]=1&data[l][]=2&retry=500&ttl=6&exclude[0]=c&exclude[1]=d`},
		{asParts, "", part("users[]", "b") + part("user", "a") + part("topic", "t") + part("event", "e") + part("data", `{"k":"v","l":["1","2"]}`) +
			part("retry", "500") + part("ttl", "6") + part("exclude[]", "c") + part("exclude[]", "d") + "--XX--\r\n"},
		{asText, "users[]=a&users[]=b&topic=t&event=e&retry=500&ttl=6&exclude[]=c&exclude[]=d", `{"k":"v","l":["1","2"]}`},
	} {
		if got := digestOf(c[0], c[1], c[2]); got != want {
			t.Errorf("%s %s: %x, want %x", c[0], c[2], got, want)
		}
	}
	// Other events, some of which would be the same bytes if parts were only put behind each other.
	seen := map[[16]byte]string{want: "the first"}
	for _, body := range []string{
		`{"user":"a"}`, `{"topic":"a"}`, `{"connection":"a"}`, `{"broadcast":true}`, `{"user":"ab"}`, `{"users":["a","b"]}`,
		`{"user":"a","topic":"b"}`, `{"user":"b","topic":"a"}`, `{"user":"a","broadcast":true}`,
		`{"user":"a","event":"b"}`, `{"user":"a","id":"b"}`, `{"user":"a","data":"b"}`, `{"user":"a","coalesce":"b"}`, `{"user":"a","exclude":"b"}`,
		`{"user":"a","exclude":["b","c"]}`, `{"user":"a","exclude":["bc"]}`,
		`{"user":"a","event":"b","id":"c"}`, `{"user":"a","event":"bc"}`, `{"user":"a","id":"bc"}`, `{"user":"a","event":"b","data":"c"}`,
		`{"user":"a","retry":1000}`, `{"user":"a","ttl":1}`, `{"user":"a","ttl":2}`, `{"user":"a","retry":1000,"ttl":1}`,
	} {
		got := digestOf(asJSON, "", body)
		if other, ok := seen[got]; ok {
			t.Errorf("%s has the digest of %s", body, other)
		}
		seen[got] = body
	}
	// The key itself does not count.
	rec, p := decodeOne(t, posted(asJSON, "", `{"user":"a"}`, "Idempotency-Key", "other"))
	if p != nil || seen[rec.Digest] != `{"user":"a"}` {
		t.Errorf("another key, another digest: %v", p)
	}
}

// checkAccepted says what must hold of every record, whatever it was made of.
func checkAccepted(t *testing.T, rec broker.Record, most int64) {
	t.Helper()
	if len(rec.Targets) == 0 || len(rec.Targets) > rules.MaxTargets {
		t.Errorf("%d targets", len(rec.Targets))
	}
	if len(slices.Compact(slices.Clone(rec.Targets))) != len(rec.Targets) {
		t.Errorf("a target twice in %v", rec.Targets)
	}
	for _, target := range rec.Targets {
		if (target.Kind == broker.Broadcast) != (target.Name == "") || target.Kind < broker.Broadcast || target.Kind > broker.Connection ||
			strings.ContainsAny(target.Name, "\x00\r\n") || strings.ToValidUTF8(target.Name, "") != target.Name {
			t.Errorf("target %+v", target)
		}
	}
	if int64(len(rec.Data)) > most || strings.ToValidUTF8(string(rec.Data), "") != string(rec.Data) {
		t.Errorf("data %q", rec.Data)
	}
	if strings.ContainsAny(rec.Type+rec.ID+rec.Coalesce, "\x00\r\n") || strings.HasPrefix(rec.Type, "sse:") {
		t.Errorf("record %+v", rec)
	}
	if rec.Retry < 0 || rec.TTL < 0 || rec.Retry%time.Millisecond != 0 {
		t.Errorf("retry %v, ttl %v", rec.Retry, rec.TTL)
	}
}

func FuzzDecode(f *testing.F) {
	kinds := []string{asJSON, asLines, asForm, asParts, asText}
	for _, seed := range []string{
		`{"user":"u","event":"e","data":{"a":[1,"x\"]}"]},"retry":500}`,
		`[{"user":"u"},{"users":["a","b"]},{}]`,
		"{\"user\":\"u\"}\n{\"broadcast\":true}\n{\"data\":1}\n",
		`{"user":"\ud83c\udf89","topic":null}`,
		"user=u&data[a][]=1&data[a][]=2&topics[3]=t",
		"broadcast=1&exclude[]=c&ttl=5&user[",
		part("user", "u") + part("data[k]", "v") + "--XX--\r\n",
		"{\"user\":\"\xff\"}",
	} {
		for i := range kinds {
			f.Add(uint8(i), "user=u&topics[]=t", seed)
		}
	}
	f.Fuzz(func(t *testing.T, kind uint8, query, body string) {
		k := kinds[int(kind)%len(kinds)]
		if k != asText {
			query = ""
		}
		items, p := decodeAll(posted(k, query, body), testMost)
		if p != nil && (p.Status < 400 || p.Detail == "") {
			t.Errorf("problem %+v", p)
		}
		for _, it := range items {
			if it.p == nil {
				checkAccepted(t, it.rec, testMost)
			} else if it.p.Status != 400 && it.p.Status != 413 || it.p.Detail == "" {
				t.Errorf("problem %+v", it.p)
			}
		}
	})
}

// What one kind of body says, another says too.
func FuzzFormIsJSON(f *testing.F) {
	f.Add("u", "event", "data", "k")
	f.Add("ü*", "", "a\nb", "")
	f.Add("a/b", "sse:x", "{\"a\":1}", "\"")
	f.Fuzz(func(t *testing.T, name, event, data, key string) {
		// encoding/json would mend these before they are sent.
		for _, s := range []string{name, event, data, key} {
			if strings.ToValidUTF8(s, "") != s {
				return
			}
		}
		object, err := json.Marshal(map[string]any{"users": []string{name}, "event": event, "data": map[string]string{"x" + key: data}})
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(key, "]") || strings.Contains(string(object), `\u003`) || strings.Contains(string(object), `\u0026`) {
			return // no key of a form; escaped by encoding/json for HTML's sake
		}
		form := url.Values{"users[]": {name}, "event": {event}, "data[x" + key + "]": {data}}.Encode()
		a, pa := decodeOne(t, posted(asJSON, "", string(object)))
		b, pb := decodeOne(t, posted(asForm, "", form))
		if (pa == nil) != (pb == nil) {
			t.Fatalf("JSON: %v, form: %v", pa, pb)
		}
		if pa != nil {
			return // several things may be wrong, and they come in another order
		}
		if !reflect.DeepEqual(a, b) {
			t.Errorf("%s\nJSON %+v %s\nform %+v %s", form, a, a.Data, b, b.Data)
		}
	})
}
