package subscribe

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"testing"

	"github.com/sse-push/caddy-sse-push/internal/hub"
)

// The header's ids come before the parameters'. If there are too many, the first and the newest ones are kept.
func TestLastEventIDs(t *testing.T) {
	var many []string
	for i := range hub.MaxIDs + 3 {
		many = append(many, fmt.Sprint(i))
	}
	kept := append([]string{"header"}, many[4:]...)
	for _, test := range []struct {
		name   string
		header []string
		params url.Values
		want   []string
	}{
		{"none", nil, url.Values{"topic": {"a"}}, nil},
		{"header first", []string{"h"}, url.Values{"last_event_id": {"p"}}, []string{"h", "p"}},
		{"each once", []string{"x"}, url.Values{"lastEventId": {"x", "", "y"}}, []string{"x", "y"}},
		{"spellings by name", nil, url.Values{"last_event_id": {"2"}, "Last-Event-ID": {"1"}}, []string{"1", "2"}},
		{"another parameter", nil, url.Values{"last_event_ids": {"1"}}, nil},
		{"too many", []string{"header"}, url.Values{"last_event_id": many}, kept},
	} {
		got := LastEventIDs(http.Header{"Last-Event-Id": test.header}, test.params)
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}
