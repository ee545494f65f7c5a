package ssepush

import (
	"encoding/json"
	"strings"
	"testing"
)

// The rules hold for JSON as for the Caddyfile; the goldens have the latter.
func TestCheck(t *testing.T) {
	const subscribe = `"path": "/events", "anonymous": true`
	for _, test := range []struct{ config, want string }{
		{`{` + subscribe + `}`, ""},
		{`{"internal": {"prefix": "/_sse", "allow": ["loopback"]}}`, ""},
		{`{` + subscribe + `, "hub": "main", "history": {"events": -1}, "limits": {"connections": -1, "per_user": -1, "per_ip": -1}}`, ""},
		{`{` + subscribe + `, "retry_min": "500ms"}`, ""},
		{`{` + subscribe + `, "retry_min": "5s"}`, ""},
		{`{` + subscribe + `, "internal": {"prefix": "/events/_sse", "tokens": ["{env.T}"]}}`, ""},

		{`{` + subscribe + `, "source": {}}`, ""},
		{`{"path": "/events", "upstream": true, "source": {}}`, "source: cannot be combined with upstream"},
		{`{"source": {}, "internal": {"prefix": "/_sse", "allow": ["loopback"]}}`, "source: has no effect without a subscribe path"},
		{`{` + subscribe + `, "source": {"linger": -1}}`, "source: linger: must be at most"},
		{`{` + subscribe + `, "source": {"max": -1}}`, "source: max: must be at least 1"},
		{`{` + subscribe + `, "source": {"per_client": -2}}`, "source: per_client: must be at least 1, or -1 for no limit"},
		{`{` + subscribe + `, "source": {"replay": "0"}}`, `source: replay: "0" must be last, off, or a number`},
		{`{` + subscribe + `, "source": {"share": "all"}}`, `source: share: "all" must be session or everyone`},

		{`{}`, "the directive does nothing: give a subscribe path, internal, publish_header, inspector or mercure"},
		{`{"anonymous": true, "internal": {"prefix": "/_sse", "allow": ["loopback"]}}`, "anonymous: has no effect without a subscribe path"},
		{`{"users": [{"source": "query", "name": "u"}], "internal": {"prefix": "/_sse", "allow": ["loopback"]}}`, "users: has no effect without a subscribe path"},
		{`{"topics": ["a"], "internal": {"prefix": "/_sse", "allow": ["loopback"]}}`, "topics: has no effect without a subscribe path"},
		{`{"publish_header": {"targets": ["user"], "status": ["2xx", "206"]}}`, `publish_header: status: "206" never counts`},
		{`{"publish_header": {"targets": ["user"], "status": ["6xx"]}}`, `publish_header: status: "6xx" must be a status from 200 to 599`},
		{`{"cors_origins": ["*"], "internal": {"prefix": "/_sse", "allow": ["loopback"]}}`, "cors_origins: has no effect without a subscribe path"},
		{`{"path": "events", "anonymous": true}`, `path: "events" must start with /`},
		{`{"path": "/events"}`, "neither a user source nor anonymous"},
		{`{"path": "/_SSE/events", "anonymous": true, "internal": {"prefix": "/_sse", "allow": ["loopback"]}}`, "lies in the internal prefix"},
		{`{` + subscribe + `, "hub": "a\nb"}`, "hub: must not hold control characters"},

		{`{"path": "/events", "users": [{"source": "query", "name": "u"}, {"source": "session", "name": "x"}]}`, `users[1]: source: "session" must be one of ticket, jwt, authorize, header, query, cookie, placeholder`},
		{`{"path": "/events", "users": [{"source": "jwt"}]}`, "users[0]: jwt: is missing"},
		{`{"path": "/events", "users": [{"source": "query", "name": "u", "ticket": {"secrets": ["x"]}}]}`, `users[0]: ticket: has no effect with the source "query"`},
		{`{"path": "/events", "users": [{"source": "jwt", "name": "x", "jwt": {"jwks": "https://a.example"}}]}`, "users[0]: name: applies to a header"},
		{`{"path": "/events", "users": [{"source": "authorize", "authorize": {"target": "/events"}}]}`, "authorize: /events is this directive's own"},
		{`{"path": "/events", "users": [{"source": "authorize", "authorize": {"target": "/_SSE/x"}}], "internal": {"prefix": "/_sse", "allow": ["loopback"]}}`, "authorize: /_SSE/x is this directive's own"},
		{`{"path": "/events", "users": [{"source": "header", "name": ""}]}`, `users[0]: name: "" is not the name of a header`},
		{`{"path": "/events", "users": [{"source": "query", "name": ""}]}`, "users[0]: name: must not be empty"},
		{`{"path": "/events", "users": [{"source": "cookie", "name": "a b"}]}`, `users[0]: name: "a b" is not the name of a cookie`},
		{`{"path": "/events", "users": [{"source": "placeholder", "name": "u1"}]}`, "users[0]: name: \"u1\" holds no placeholder"},
		{`{"path": "/events", "users": [{"source": "query", "name": "u", "from": ["10.0.0.0/8"]}]}`, "users[0]: from: applies to a header"},
		{`{"path": "/events", "users": [{"source": "header", "name": "X-U", "from": ["10.0.0.0/99"]}]}`, `users[0]: from: "10.0.0.0/99"`},

		{`{` + subscribe + `, "topics": ["a", "b*"]}`, `topics[1]: "b*": * must stand alone`},
		{`{` + subscribe + `, "topics": ["{user}*"]}`, `topics[0]: "{user}*": * must stand alone`},
		{`{` + subscribe + `, "internal": {"prefix": "/", "allow": ["loopback"]}}`, "internal: prefix: must not be /"},
		{`{` + subscribe + `, "internal": {"prefix": "", "allow": ["loopback"]}}`, `internal: prefix: "" must start with /`},
		{`{` + subscribe + `, "internal": {"prefix": "/_sse"}}`, "internal: needs token, allow, or both"},
		{`{` + subscribe + `, "internal": {"prefix": "/_sse", "tokens": [""]}}`, "internal: tokens: a secret must not be empty"},
		{`{` + subscribe + `, "internal": {"prefix": "/_sse", "allow": ["all"]}}`, `internal: allow: "all"`},
		{`{` + subscribe + `, "internal": {"prefix": "/_sse", "allow": ["loopback"], "origins": ["*"]}}`, `internal: origins: "*" must be of the form`},

		{`{` + subscribe + `, "cors_origins": ["https://a.example", "*"]}`, "cors_origins: * must stand alone"},
		{`{` + subscribe + `, "heartbeat": "500ms"}`, "heartbeat: must be at least 1s; is 500ms"},
		{`{` + subscribe + `, "heartbeat": "-1s"}`, "heartbeat: must be at least 1s; is -1s"},
		{`{` + subscribe + `, "retry_min": "1ms"}`, "retry: must be at least 500ms; is 1ms"},
		{`{` + subscribe + `, "retry_min": "2s", "retry_max": "1s"}`, "retry: the shortest, 2s, must not be more than the longest, 1s"},
		{`{` + subscribe + `, "retry_max": "500ms"}`, "retry: the shortest, 1s, must not be more than the longest, 500ms"},
		{`{` + subscribe + `, "history": {"events": -2}}`, "history: events: must not be less than -1"},
		{`{` + subscribe + `, "history": {"age": "-1s"}}`, "history: age: must not be negative"},
		{`{` + subscribe + `, "history": {"bytes": -1}}`, "history: bytes: must not be negative"},
		{`{` + subscribe + `, "limits": {"connections": -2}}`, "limits: connections: must not be less than -1"},
		{`{` + subscribe + `, "limits": {"per_user": -2}}`, "limits: per_user: must not be less than -1"},
		{`{` + subscribe + `, "limits": {"per_ip": -2}}`, "limits: per_ip: must not be less than -1"},
		{`{` + subscribe + `, "limits": {"event": -1}}`, "limits: event: must not be negative"},
		{`{` + subscribe + `, "limits": {"pending": -1}}`, "limits: pending: must not be negative"},
		{`{` + subscribe + `, "limits": {"rate": -2}}`, "limits: rate: must not be less than -1"},
		{`{` + subscribe + `, "limits": {"rate": -1}, "drain": 0, "write_timeout": "1s"}`, ""},
		{`{` + subscribe + `, "drain": "-1s"}`, "drain: must be from 0s to 1h0m0s; is -1s"},
		{`{` + subscribe + `, "drain": "2h"}`, "drain: must be from 0s to 1h0m0s; is 2h0m0s"},
		{`{` + subscribe + `, "write_timeout": "500ms"}`, "write_timeout: must be from 1s to 24h0m0s; is 500ms"},
		{`{` + subscribe + `, "write_timeout": "-1s"}`, "write_timeout: must be from 1s"},
		{`{` + subscribe + `, "write_timeout": "25h"}`, "write_timeout: must be from 1s"},
	} {
		var h Handler
		if err := json.Unmarshal([]byte(test.config), &h); err != nil {
			t.Fatalf("%s: %v", test.config, err)
		}
		switch err := h.check(); {
		case test.want == "" && err != nil:
			t.Errorf("%s: %v", test.config, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: got %v, want %s", test.config, err, test.want)
		}
	}
}
