package identity

import (
	"fmt"
	"net/textproto"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/sse-push/caddy-sse-push/internal/placeholder"
	"github.com/sse-push/caddy-sse-push/internal/request"
)

// Carrier is a place in a request that may hold a ticket or a token.
type Carrier struct {
	// `header`, `query` or `cookie`.
	In string `json:"in" placeholders:"none"`
	// The name of the header, query parameter or cookie. In `Authorization` it follows `Bearer`.
	Name string `json:"name"`
}

// checkCarriers reports what is wrong with carriers.
func checkCarriers(from []Carrier) error {
	for _, c := range from {
		if !slices.Contains([]string{"header", "query", "cookie"}, c.In) {
			return fmt.Errorf("from: %q must be header, query or cookie", c.In)
		}
		if placeholder.AtLoad.MatchString(c.Name) {
			continue
		}
		if c.In == "query" && c.Name == "" || c.In != "query" && !httpguts.ValidHeaderFieldName(c.Name) {
			return fmt.Errorf("from: %q is not the name of a %s", c.Name, c.In)
		}
	}
	return nil
}

// carried returns what the first carrier that holds anything holds; "" if none does.
func carried(from []Carrier, r *attempt) (string, error) {
	for _, c := range from {
		var values []string
		switch c.In {
		case "query":
			values = r.params[c.Name]
		case "cookie":
			values = request.Cookies(r.Request, c.Name)
		case "header":
			values = r.Header[textproto.CanonicalMIMEHeaderKey(c.Name)]
			if strings.EqualFold(c.Name, "Authorization") {
				values = Bearer(values)
			}
		}
		switch {
		case !slices.ContainsFunc(values, func(v string) bool { return v != "" }):
		case len(values) > 1:
			return "", invalid("given more than once")
		default:
			return values[0], nil
		}
	}
	return "", nil
}

// carryingHeaders returns the names of the headers among the carriers.
func carryingHeaders(from []Carrier) (names []string) {
	for _, c := range from {
		if c.In == "header" {
			names = append(names, c.Name)
		}
	}
	return names
}

// Bearer returns the tokens of Authorization headers; "" for one without a token. Other schemes are not ours.
func Bearer(lines []string) (tokens []string) {
	for _, line := range lines {
		if scheme, token, _ := strings.Cut(line, " "); strings.EqualFold(scheme, "Bearer") {
			tokens = append(tokens, strings.TrimSpace(token))
		}
	}
	return tokens
}
