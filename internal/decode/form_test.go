package decode

import (
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

func TestFieldsFromForm(t *testing.T) {
	just := func(targets ...broker.Target) broker.Record { return broker.Record{Targets: targets} }
	for body, want := range map[string]broker.Record{
		"user=u":                         just(user("u")),
		"users=u":                        just(user("u")),
		"users[]=b&users[]=a":            just(user("a"), user("b")),
		"users%5B0%5D=b&users%5B1%5D=a":  just(user("a"), user("b")),
		"users[0]=a&users[2]=b":          just(user("a"), user("b")), // array_filter leaves holes
		"users[2]=a&users[0]=b":          just(user("a"), user("b")),
		"users[5]=a&users[]=b":           just(user("a"), user("b")),
		"topics[]=t&topic=s&users[]=u":   just(user("u"), topic("s"), topic("t")),
		"broadcast=1":                    just(broker.Target{Kind: broker.Broadcast}),
		"broadcast=true":                 just(broker.Target{Kind: broker.Broadcast}),
		"broadcast=0&user=u":             just(user("u")),
		"broadcast=false&user=u":         just(user("u")),
		"user=a+b%2Bc%26":                just(user("a b+c&")),
		"user=u&event=e&id=7&coalesce=c": {Targets: []broker.Target{user("u")}, Type: "e", ID: "7", Coalesce: "c"},
		"user=u&retry=1500&ttl=060":      {Targets: []broker.Target{user("u")}, Retry: 1500 * time.Millisecond, TTL: time.Minute},
		"user=u&exclude=c":               {Targets: []broker.Target{user("u")}, Exclude: []string{"c"}},
		"user=u&exclude[]=d&exclude[]=c": {Targets: []broker.Target{user("u")}, Exclude: []string{"c", "d"}},
		"connections[]=c&user=u":         just(user("u"), broker.Target{Kind: broker.Connection, Name: "c"}),
		"users[007]=a":                   {}, // PHP takes this for a text
	} {
		rec, p := decodeOne(t, posted(asForm, "", body))
		if want.Targets == nil {
			wantProblem(t, p, 400, "users", `must be a list, but has the key "007"`)
			continue
		}
		if len(rec.Data) == 0 {
			rec.Data = nil
		}
		if p != nil || !reflect.DeepEqual(rec, want) {
			t.Errorf("%s: %v\ngot  %+v\nwant %+v", body, p, rec, want)
		}
	}
}

func TestDataFromForm(t *testing.T) {
	deep := "data" + strings.Repeat("[a]", 32) + "=x"
	for in, want := range map[string]string{
		"":                                      "",
		"data=":                                 "",
		"data=x":                                "x",
		"data=+%20a%0Ab%0D%0A":                  "  a\nb\r\n",
		"data={\"a\":1}":                        `{"a":1}`,
		"data[k]=v":                             `{"k":"v"}`,
		"data[b]=1&data[a]=2":                   `{"b":"1","a":"2"}`,
		"data[a][b]=c&data[a][d]=e":             `{"a":{"b":"c","d":"e"}}`,
		"data[]=a&data[]=b":                     `["a","b"]`,
		"data[0]=a&data[1]=b":                   `["a","b"]`,
		"data[0]=a&data[]=b":                    `["a","b"]`,
		"data[1]=a&data[0]=b":                   `{"1":"a","0":"b"}`,
		"data[1]=a":                             `{"1":"a"}`,
		"data[0]=a&data[2]=b":                   `{"0":"a","2":"b"}`,
		"data[5]=a&data[]=b":                    `{"5":"a","6":"b"}`,
		"data[x]=a&data[]=b":                    `{"x":"a","0":"b"}`,
		"data[00]=a":                            `{"00":"a"}`,
		"data[-1]=a&data[]=b":                   `{"-1":"a","0":"b"}`,
		"data[9223372036854775807]=a&data[]=b":  `{"9223372036854775807":"a","0":"b"}`,
		"data[list][][id]=1&data[list][][id]=2": `{"list":[{"id":"1"},{"id":"2"}]}`,
		"data[a][]=1&data[b]=2&data[a][]=3":     `{"a":["1","3"],"b":"2"}`,
		"data[q%22]=%3Ch%26%3E+%5C%C3%A9":       `{"q\"":"<h&> \\é"}`,
		"data[a[b]=x":                           `{"a[b":"x"}`,
		"data[ a ]=x":                           `{" a ":"x"}`,
		deep:                                    strings.Repeat(`{"a":`, 32) + `"x"` + strings.Repeat("}", 32),
	} {
		rec, p := decodeOne(t, posted(asForm, "", "user=u&"+in))
		if p != nil || string(rec.Data) != want {
			t.Errorf("%s: %v, %q; want %q", in, p, rec.Data, want)
		}
		// The same fields as parts.
		body := part("user", "u")
		for pair := range strings.SplitSeq(in, "&") {
			if pair == "" {
				continue
			}
			name, val, _ := strings.Cut(pair, "=")
			name, _ = url.QueryUnescape(name)
			val, _ = url.QueryUnescape(val)
			body += part(strings.ReplaceAll(name, `"`, `\"`), val)
		}
		rec, p = decodeOne(t, posted(asParts, "", body+"--XX--\r\n"))
		if p != nil || string(rec.Data) != want {
			t.Errorf("%s as parts: %v, %q; want %q", in, p, rec.Data, want)
		}
	}
}

func TestFormErrors(t *testing.T) {
	for _, c := range []struct{ body, field, detail string }{
		{"", "", "no target"},
		{"data=x", "", "no target: give user"},
		{"broadcast=0&data=x", "", "no target"},
		{"broadcast=", "broadcast", "must be 1, true, 0 or false"},
		{"broadcast=yes", "broadcast", "must be 1, true, 0 or false"},
		{"broadcast[]=1", "broadcast", "must be 1, true, 0 or false"},
		{"user=", "user", "must not be empty"},
		{"user", "user", "must not be empty"},
		{"topic=t&user=", "user", "must not be empty"},
		{"topic=t&users[]=", "users", "item 0 must not be empty"},
		{"users[0]=a&users[1]=", "users", "item 1 must not be empty"},
		{"users[x]=a", "users", `must be a list, but has the key "x"`},
		{"users[0][x]=a", "users", "item 0 must be a string, got an array"},
		{"user[]=a", "user", "must be a string, got an array"},
		{"topic[]=a", "topic", "must be a string, got an array"},
		{"user=" + strings.Repeat("u", 256), "user", "255"},
		{"topic=a/*", "topic", "not a pattern"},
		{"user=u&event=sse:x", "event", `"sse:"`},
		{"user=u&event=", "event", "must not be empty"},
		{"user=u&event[]=x", "event", "must be a string, got an array"},
		{"user=u&id=a%00", "id", "control characters"},
		{"user=u&id=a%0D", "id", "control characters"},
		{"user=u&retry=", "retry", "whole number"},
		{"user=u&retry=0", "retry", "must be 500 to 86400000"},
		{"user=u&retry=-5", "retry", "whole number"},
		{"user=u&retry=%2B5", "retry", "whole number"},
		{"user=u&retry=1.5", "retry", "whole number"},
		{"user=u&retry=99999999999999999999", "retry", "whole number"},
		{"user=u&ttl[]=5", "ttl", "must be a number, got an array"},
		{"user=u&exclude=", "exclude", "must not be empty"},
		{"user=u&idempotency_key=", "idempotency_key", "must not be empty"},

		{"user=a&user=b", "user", "is given twice"},
		{"user=a&user=a", "user", "is given twice"},
		{"users=a&users=b", "users", "is given twice"},
		{"user=u&data[a]=1&data[a]=2", "data", "is given twice"},
		{"user=u&data[0]=1&data[0]=2", "data", "is given twice"},
		{"user=u&data=1&data[a]=2", "data", "is given twice, as a text and as an array"},
		{"user=u&data[a]=2&data=1", "data", "is given twice, as a text and as an array"},
		{"user=u&data[a]=2&data[a][b]=1", "data", "is given twice, as a text and as an array"},
		{"user=u&data[a][b]=2&data[a]=1", "data", "is given twice, as a text and as an array"},
		{"user=u&data[a=1", "data", "broken brackets"},
		{"user=u&data[a]b=1", "data", "broken brackets"},
		{"user=u&data[a]b]=1", "data", "broken brackets"},
		{"user=u&data[a][=1", "data", "broken brackets"},
		{"user=u&data" + strings.Repeat("[a]", 33) + "=1", "data", "deeper than 32"},

		{"usr=u", "usr", "unknown field; the fields are user"},
		{"usr[a]=u", "usr", "unknown field"},
		{"hello", "hello", "unknown field"},
		{"user=u&=x", "", "unknown field"},
		{"user=u&x]=1", "x]", "unknown field"},
		{"user=%zz", "user", "percent-encoding"},
		{"user=u&data=100%", "data", "percent-encoding"},
		{"us%er=u", "us%er", "percent-encoding"},
		{"user=%FF", "user", "valid UTF-8"},
		{"user=u&data=a%C3", "data", "valid UTF-8"},
		{"user=u&data[%FF]=a", "data", "valid UTF-8"},
	} {
		t.Run(c.body, func(t *testing.T) {
			_, p := decodeOne(t, posted(asForm, "", c.body))
			wantProblem(t, p, 400, c.field, c.detail)
		})
	}
}

func TestFormFieldCount(t *testing.T) {
	for n, status := range map[int]int{maxFormFields: 0, maxFormFields + 1: http.StatusRequestEntityTooLarge} {
		var urlencoded, parts strings.Builder
		urlencoded.WriteString("user=u")
		parts.WriteString(part("user", "u"))
		for range n - 1 {
			urlencoded.WriteString("&data[]=")
			parts.WriteString(part("data[]", ""))
		}
		for _, r := range []*http.Request{posted(asForm, "", urlencoded.String()), posted(asParts, "", parts.String()+"--XX--\r\n")} {
			items, p := decodeAll(r, 1<<20)
			if status == 0 && (p != nil || items[0].p != nil) || status != 0 && (p == nil || p.Status != status) {
				t.Errorf("%d fields: %v, want %d", n, p, status)
			}
		}
	}
}

// What PHP itself makes of an array.
func TestFormFromPHP(t *testing.T) {
	for _, c := range []struct{ array, data string }{
		{`['user' => 'u', 'data' => 'x', 'topic' => 't', 'broadcast' => false]`, "x"},
		{`['user' => 'u', 'topics' => ['t'], 'data' => ['k' => 'v', 'n' => 5, 'yes' => true, 'no' => false, 'none' => null]]`, `{"k":"v","n":"5","yes":"1","no":"0"}`},
		{`['user' => 'u', 'topics' => array_filter([null, 't', null]), 'data' => ['a', ['b' => ['c', 'd']]]]`, `["a",{"b":["c","d"]}]`},
		{`['users' => array_unique(['u', 'u']), 'topic' => 't', 'event' => null, 'data' => ['é "q"' => "a\nb", 'x[y' => '&=+%']]`, `{"é \"q\"":"a\nb","x[y":"&=+%"}`},
	} {
		out, err := exec.Command("php", "-r", fmt.Sprintf("echo http_build_query(%s);", c.array)).Output()
		if err != nil {
			t.Fatalf("running PHP: %v", err)
		}
		rec, p := decodeOne(t, posted(asForm, "", string(out)))
		if p != nil || !reflect.DeepEqual(rec.Targets, []broker.Target{user("u"), topic("t")}) || string(rec.Data) != c.data {
			t.Errorf("%s: %v, %v, %s; want u, t and %s", out, p, rec.Targets, rec.Data, c.data)
		}
	}
}
