package egress

import (
	"strings"
	"testing"
)

func TestCheckHeaders(t *testing.T) {
	many := map[string]string{}
	for i := range maxHeaders + 1 {
		many["X-"+strings.Repeat("a", i+1)] = ""
	}
	for _, c := range []struct {
		headers map[string]string
		ok      bool
	}{
		{nil, true},
		{map[string]string{"Authorization": "Bearer x", "x-lower": "a b\tc", "Anthropic-Version": "2023-06-01"}, true},
		{map[string]string{"X-Umlaut": "müller"}, true},
		{map[string]string{"X-Empty": ""}, true},
		{map[string]string{"": "x"}, false},
		{map[string]string{"X Y": "x"}, false},
		{map[string]string{"X:": "x"}, false},
		{map[string]string{":authority": "x"}, false},
		{map[string]string{"X\r\nY": "x"}, false},
		{map[string]string{"X-A": "a\r\nHost: b"}, false},
		{map[string]string{"X-A": "a\nb"}, false},
		{map[string]string{"X-A": "a\x00"}, false},
		{map[string]string{"X-A": "1", "x-a": "2"}, false},
		{map[string]string{"Host": "x"}, false},
		{map[string]string{"host": "x"}, false},
		{map[string]string{"Content-Length": "1"}, false},
		{map[string]string{"Connection": "close"}, false},
		{map[string]string{"keep-alive": "x"}, false},
		{map[string]string{"Transfer-Encoding": "chunked"}, false},
		{map[string]string{"TE": "trailers"}, false},
		{map[string]string{"Trailer": "x"}, false},
		{map[string]string{"Upgrade": "websocket"}, false},
		{map[string]string{"Expect": "100-continue"}, false},
		{map[string]string{"Proxy-Authorization": "x"}, false},
		{map[string]string{"proxy-connection": "x"}, false},
		{map[string]string{"Accept-Encoding": "gzip"}, false},
		{map[string]string{"Content-Encoding": "gzip"}, false},
		{map[string]string{"X-Long": strings.Repeat("a", maxHeaderBytes)}, false},
		{many, false},
	} {
		if err := CheckHeaders(c.headers); (err == nil) != c.ok {
			t.Errorf("%.100q: %v", c.headers, err)
		}
	}
	if err := CheckHeader("X-Key", "secret\n"); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("the error is %v", err)
	}
}

func TestOriginCheck(t *testing.T) {
	for _, c := range []struct {
		origin Origin
		want   string // part of the error; "": none
	}{
		{Origin{URL: "https://api.example.com"}, ""},
		{Origin{URL: "https://api.example.com/"}, ""},
		{Origin{URL: "{env.API}"}, ""},
		{Origin{URL: "http://ollama:11434", Private: true, Headers: []Header{{"Authorization", "Bearer {env.KEY}"}}}, ""},
		{Origin{}, "must begin with"},
		{Origin{URL: "https://api.example.com/v1"}, "nothing after it"},
		{Origin{URL: "https://api.example.com?"}, "nothing after it"},
		{Origin{URL: "https://u:p@api.example.com"}, "user or a password"},
		{Origin{URL: "https://*.example.com"}, "not a DNS name"},
		{Origin{URL: "https://a.example", Headers: []Header{{"Host", "b"}}}, "set by the proxy"},
		{Origin{URL: "https://a.example", Headers: []Header{{"X-A", ""}}}, "must not be empty"},
		{Origin{URL: "https://a.example", Headers: []Header{{"X-A", "1"}, {"x-a", "2"}}}, "given twice"},
		{Origin{URL: "https://a.example", Headers: []Header{{"X-A", "{env.KEY}"}, {"X A", "2"}}}, "name of a header"},
	} {
		err := c.origin.Check()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want %q", c.origin, err, c.want)
		}
	}
}
