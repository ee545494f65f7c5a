package upstream

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/decode"
	"github.com/sse-push/caddy-sse-push/internal/rules"
)

// Whatever stands in X-SSE-Publish, what comes of it is an event for the targets that are listed, and fit to be sent.
func FuzzPublishHeader(f *testing.F) {
	for _, seed := range []string{"user=u1&data=x", `{"user": "u1", "event": "x", "data": {"a": 1}}`, `[{"user":"u1"},{"broadcast":true}]`, "broadcast=1&user=u1",
		"users[]=a&topic=b", `{"user": null, "topic": "x"}`, "{", "data", "user=u1&event=sse:gap", "user=u1&wait=written", strings.Repeat("[", 100)} {
		f.Add(seed)
	}
	config := PublishHeader{Targets: []string{"user", "topic"}}
	f.Fuzz(func(t *testing.T, text string) {
		kind := "application/x-www-form-urlencoded"
		if decode.LooksLikeJSON([]byte(text)) {
			kind = "application/json"
		}
		d, p := decode.New(&http.Request{
			Header: http.Header{"Content-Type": {kind}}, URL: new(url.URL),
			Body: io.NopCloser(strings.NewReader(text)), ContentLength: int64(len(text)),
		}, 1<<20)
		if p != nil {
			return
		}
		for {
			r, p, ok := d.Next()
			if !ok {
				return
			}
			if p != nil || config.permits(&r) != nil {
				continue
			}
			if len(r.Targets) == 0 || r.Type != "" && rules.CheckType(r.Type) != nil || r.ID != "" && rules.CheckID(r.ID) != nil || d.Wait.Until != "" {
				t.Errorf("%q becomes %+v", text, r)
			}
			for _, target := range r.Targets {
				bad := rules.CheckName(target.Name)
				if target.Kind == broker.Topic {
					bad = rules.CheckTopic(target.Name)
				}
				if bad != nil || target.Kind != broker.User && target.Kind != broker.Topic {
					t.Errorf("%q goes to %+v: %v", text, target, bad)
				}
			}
		}
	})
}
