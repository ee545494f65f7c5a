package mercure_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// The metadata say what tokens the hub takes. They do not depend on the host name that a client sends.
func TestMetadata(t *testing.T) {
	s := serve(t, "anonymous\nsubscriptions\ncookie_name token")
	const target = "/.well-known/oauth-protected-resource" + hub
	a := send(t, s, http.MethodGet, target, "", "Host", "evil.example.com")
	var got claims
	if err := json.Unmarshal([]byte(a.body), &got); err != nil {
		t.Fatalf("%v in %d %s", err, a.status, a.body)
	}
	want := claims{
		"resource": resource, "authorization_details_types_supported": []any{"https://mercure.rocks/authorization-detail"},
		"bearer_methods_supported": []any{"header"}, "mercure_cookie": "token", "mercure_matcher_types_supported": []any{"exact", "urlpattern"},
		"mercure_subscriptions": true,
	}
	if toJSON(got) != toJSON(want) {
		t.Errorf("the metadata are %s", a.body)
	}
	if a := send(t, s, http.MethodPost, target, ""); a.status != http.StatusMethodNotAllowed {
		t.Errorf("POST: got %d", a.status)
	}
}

// All below the hub's path is the hub's, in any spelling: none of it is passed on to the app.
func TestPathsOfTheHub(t *testing.T) {
	s := serveWith(t, "", "respond app")
	for _, target := range []string{hub + "/", hub + "/x", hub + "/subscriptions", "/.well-known/MERCURE", "/.well-known//mercure", "/x/.." + hub,
		"/.well-known/oauth-protected-resource" + hub + "/x"} {
		if a := send(t, s, http.MethodGet, target, ""); a.status != http.StatusNotFound || !strings.HasPrefix(a.kind, "application/problem+json") {
			t.Errorf("%s: got %d %s %s", target, a.status, a.kind, a.body)
		}
	}
	for _, target := range []string{"/", hub + "s", "/.well-known", "/.well-known/oauth-protected-resource"} {
		if a := send(t, s, http.MethodGet, target, ""); a.body != "app" {
			t.Errorf("%s: got %d %s", target, a.status, a.body)
		}
	}
	resp := s.Do(http.MethodOptions, hub, "")
	if allow := strings.Split(resp.Header.Get("Allow"), ", "); resp.Status != http.StatusNoContent || !slices.Contains(allow, "QUERY") {
		t.Errorf("OPTIONS: got %d, Allow %q", resp.Status, allow)
	}
	if a := send(t, s, http.MethodDelete, hub, ""); a.status != http.StatusMethodNotAllowed {
		t.Errorf("DELETE: got %d", a.status)
	}
}
