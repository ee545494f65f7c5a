package subscribe

import (
	"net/http"
	"net/url"
	"strconv"

	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/pool"
	"github.com/sse-push/caddy-sse-push/internal/problem"
)

// ReadResume reads from a request where the stream begins: the name that the client gives itself, the ids that it resumes from,
// and how many past events it asks for. It sets these fields of sub.
func ReadResume(sub *hub.Subscription, header http.Header, params url.Values) *problem.Problem {
	if client, ok := params["client"]; ok {
		if err := pool.CheckClient(client); err != nil {
			return problem.Field("client", "%v", err)
		}
		sub.ID = client[0]
	}
	if ids := LastEventIDs(header, params); len(ids) > 0 {
		sub.LastEventID, sub.OtherIDs = ids[0], ids[1:]
	}
	if text := params.Get("replay"); text != "" {
		n, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			return problem.Field("replay", "must be a whole number, got %q", problem.Clip(text))
		}
		sub.Replay = int(n)
	}
	return nil
}
