package ssepush

import (
	"net/http"

	"github.com/sse-push/caddy-sse-push/internal/api"
	"github.com/sse-push/caddy-sse-push/internal/pool"
	"github.com/sse-push/caddy-sse-push/internal/problem"
)

func serveHubs(w http.ResponseWriter, r *http.Request, live []*pool.Hub) *problem.Problem {
	if p := api.CheckCall(r, []string{http.MethodGet, http.MethodHead}, []string{"limit", "after"}); p != nil {
		return p
	}
	query := r.URL.Query()
	limit, p := api.LimitOf(query)
	if p != nil {
		return p
	}
	list := api.HubList{Hubs: []api.HubInfo{}, Total: len(live)}
	for _, p := range live {
		if p.Name <= query.Get("after") {
			continue
		}
		if len(list.Hubs) == limit {
			list.Next = list.Hubs[limit-1].Hub
			break
		}
		list.Hubs = append(list.Hubs, api.ViewHub(p.Hub))
	}
	api.WriteJSON(w, http.StatusOK, list)
	return nil
}
