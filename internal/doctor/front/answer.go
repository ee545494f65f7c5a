package front

import (
	"bufio"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
)

// Answer is the beginning of an answer as it came: the order and case of its header names tell proxies apart.
type Answer string

// status returns the answer's status, or 0 if it is not an HTTP answer.
func (a Answer) status() int {
	version, rest, _ := strings.Cut(string(a), " ")
	code, _, _ := strings.Cut(rest, " ")
	n, err := strconv.Atoi(strings.TrimSpace(code[:min(len(code), 3)]))
	if err != nil || !strings.HasPrefix(version, "HTTP/") {
		return 0
	}
	return n
}

// header returns the answer's headers.
func (a Answer) header() http.Header {
	head, _, _ := strings.Cut(string(a), "\r\n\r\n")
	_, lines, _ := strings.Cut(head, "\r\n")
	h, _ := textproto.NewReader(bufio.NewReader(strings.NewReader(lines + "\r\n\r\n"))).ReadMIMEHeader() // as far as it can be read
	return http.Header(h)
}

// names returns the names of the answer's headers, in their order and case.
func (a Answer) names() (names []string) {
	head, _, _ := strings.Cut(string(a), "\r\n\r\n")
	_, lines, _ := strings.Cut(head, "\r\n")
	for line := range strings.SplitSeq(lines, "\r\n") {
		if name, _, ok := strings.Cut(line, ":"); ok {
			names = append(names, name)
		}
	}
	return names
}

// isGo reports whether Go's own server gave the answer, before it called any handler. Caddy, and so the hub, runs on it.
func (a Answer) isGo() bool {
	head, body, _ := strings.Cut(string(a), "\r\n\r\n")
	line, _, _ := strings.Cut(head, "\r\n")
	_, text, _ := strings.Cut(line, " ")
	return a.header().Get("Content-Type") == "text/plain; charset=utf-8" && strings.Contains(body, text)
}

// lowerCase reports whether an answer has headers and all their names are in lower case, as HAProxy writes them over HTTP/1.1.
func (a Answer) lowerCase() bool {
	names := strings.Join(a.names(), "")
	return names != "" && names == strings.ToLower(names)
}
