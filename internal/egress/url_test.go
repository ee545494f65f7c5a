package egress

import (
	"strings"
	"testing"
)

// A URL is compared in the form in which it is dialled.
func TestParseURL(t *testing.T) {
	for raw, want := range map[string]string{
		"https://api.example.com":              "https://api.example.com",
		"HTTPS://API.Example.COM/v1?a=%2f":     "https://api.example.com",
		"https://api.example.com:443/":         "https://api.example.com",
		"http://api.example.com:80":            "http://api.example.com",
		"https://api.example.com:80":           "https://api.example.com:80",
		"http://api.example.com:443":           "http://api.example.com:443",
		"http://my_app-1:8080":                 "http://my_app-1:8080",
		"http://127.0.0.1:8080":                "http://127.0.0.1:8080",
		"http://[::1]":                         "http://[::1]",
		"http://[0:0:0:0:0:0:0:1]:80/":         "http://[::1]",
		"http://[2001:DB8::A]:8080":            "http://[2001:db8::a]:8080",
		"https://müller.example":               "https://xn--mller-kva.example",
		"https://M%C3%BCLLER.example":          "https://xn--mller-kva.example",
		"https://xn--mller-kva.example":        "https://xn--mller-kva.example",
		"https://api\u3002example.com":         "https://api.example.com", // a full stop that IDNA reads as a dot
		"https://\uff41pi.example.com/":        "https://api.example.com", // a full-width letter
		"https://api.example.com/a/../b;c=d?#": "",

		"": "", "api.example.com": "", "//api.example.com": "", "/v1": "",
		"ftp://api.example.com":                            "",
		"file:///etc/passwd":                               "",
		"unix:///run/app.sock":                             "",
		"unix//run/app.sock":                               "",
		"http+unix://%2Frun%2Fapp.sock/":                   "",
		"https:api.example.com":                            "",
		"https://":                                         "",
		"https:///v1":                                      "",
		"https://:443/":                                    "",
		"https://user@api.example.com":                     "",
		"https://user:pass@api.example.com":                "",
		"https://@api.example.com":                         "",
		"https://api.example.com@evil.example":             "",
		"https://api.example.com:443@evil":                 "",
		"https://api.example.com\\@evil.example":           "",
		"https://api.example.com#x":                        "",
		"https://api.example.com/#":                        "",
		"https://api.example.com.":                         "",
		"https://.api.example.com":                         "",
		"https://api..example.com":                         "",
		"https://api.example.com:":                         "",
		"https://api.example.com:0":                        "",
		"https://api.example.com:0443":                     "",
		"https://api.example.com:65536":                    "",
		"https://api.example.com:http":                     "",
		"https://api.example.com:443:443":                  "",
		"https://*.example.com":                            "",
		"https://api example.com":                          "",
		"https://api.example.com\r\nX: y":                  "",
		"https://api.example.com%2f.evil":                  "",
		"https://api.example.com%00.evil":                  "",
		"https://exa{env.X}mple.com":                       "",
		"http://[::1%25eth0]":                              "",
		"http://[fe80::1%eth0]":                            "",
		"http://[::ffff:127.0.0.1]":                        "",
		"http://[127.0.0.1]":                               "",
		"http://[::1":                                      "",
		"http://::1":                                       "",
		"http://127.1":                                     "",
		"http://127.0.0.01":                                "",
		"http://0x7f000001":                                "",
		"http://0x7f.0.0.1":                                "",
		"http://127.0.0.0x1":                               "",
		"http://2130706433":                                "",
		"http://017700000001":                              "",
		"http://１２７.0.0.1":                                 "http://127.0.0.1",
		"https://" + strings.Repeat("a.", 127) + "a":       "",
		"https://a.example/" + strings.Repeat("a", maxURL): "",
	} {
		u, err := ParseURL(raw)
		got := ""
		if err == nil {
			got = originOf(u)
		}
		if got != want {
			t.Errorf("%q: got %q (%v), want %q", raw, got, err, want)
		}
	}
}

// What follows the host goes on as it was written.
func TestParseURLKeepsPathAndQuery(t *testing.T) {
	for _, raw := range []string{
		"https://a.example/v1/chat%2Fcompletions?a=b%20c&d=+e", "https://a.example", "https://a.example/a//b/../c", "https://a.example/?",
	} {
		if u, err := ParseURL(raw); err != nil || u.String() != raw {
			t.Errorf("%s came out as %v, %v", raw, u, err)
		}
	}
}

func TestShown(t *testing.T) {
	for in, want := range map[string]string{
		"https://a.example/x":              "https://a.example/x",
		"https://user:secret@a.example/x":  "https://[hidden]@a.example/x",
		"https://user:se@ret@a.example":    "https://[hidden]@a.example",
		"user:secret@a.example":            "[hidden]@a.example",
		"https://a.example/x?by=b@example": "https://[hidden]@example",
	} {
		if got := Shown(in); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
	if err := (&Origin{URL: "https://user:secret@a.example"}).Check(); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
}
