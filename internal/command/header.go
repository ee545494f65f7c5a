package command

import (
	"errors"
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// parseHeaders reads the values of --header, each of the form "Name: value". Its error does not repeat them, as they may hold secrets.
func parseHeaders(lines []string) (http.Header, error) {
	h := http.Header{}
	for _, line := range lines {
		name, value, ok := strings.Cut(line, ":")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if !ok || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
			return nil, errors.New(`--header must be "Name: value", in one line`)
		}
		h.Add(name, value)
	}
	return h, nil
}
