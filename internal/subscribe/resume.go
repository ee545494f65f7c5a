package subscribe

import (
	"net/http"
	"net/url"
	"strconv"

	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/pool"
	"github.com/sse-push/caddy-sse-push/internal/problem"
)

// ReadResume reads into sub what a client that resumes says: the name that it gives itself, the ids that it goes on from, and how
// many past events it asks for.
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
