package mercure

import (
	"encoding/json"
	"net/http"

	"github.com/sse-push/caddy-sse-push/internal/problem"
	"github.com/sse-push/caddy-sse-push/mercure/internal/access"
)

// metadata says what tokens the hub takes (RFC 9728).
type metadata struct {
	Resource             string   `json:"resource"`
	AuthorizationServers []string `json:"authorization_servers,omitempty"`
	DetailTypes          []string `json:"authorization_details_types_supported"`
	BearerMethods        []string `json:"bearer_methods_supported"`
	Cookie               string   `json:"mercure_cookie"`
	MatcherTypes         []string `json:"mercure_matcher_types_supported"`
	Subscriptions        bool     `json:"mercure_subscriptions,omitempty"`
}

// serveMetadata answers a request for the hub's metadata, which are for everyone.
func (e *endpoint) serveMetadata(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		e.refuse(w, access.V1, problem.MethodNotAllowed(http.MethodGet, http.MethodHead))
		return
	}
	body, err := json.Marshal(metadata{
		Resource: e.resource, AuthorizationServers: e.authorizationServers, DetailTypes: []string{access.DetailType},
		BearerMethods: []string{"header"}, Cookie: e.cookie(access.V1), MatcherTypes: []string{"exact", "urlpattern"},
		Subscriptions: e.tellsSubscriptions,
	})
	if err != nil { // texts only
		panic(err)
	}
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Cache-Control", "public, max-age=300")
	h.Set("Content-Type", "application/json")
	_, _ = w.Write(append(body, '\n'))
}
