package api

import (
	"net/http"

	"github.com/sse-push/caddy-sse-push/internal/pool"
	"github.com/sse-push/caddy-sse-push/internal/problem"
)

// HubInfo describes a hub. Counts go up from the hub's start.
type HubInfo struct {
	Hub            string `json:"hub"`
	Status         string `json:"status"` // ready, unavailable or draining
	Reason         string `json:"reason,omitempty"`
	Connections    int    `json:"connections"` // on this node, like the users
	Users          int    `json:"users"`
	Published      uint64 `json:"published"`
	Delivered      uint64 `json:"delivered"`
	Pending        int64  `json:"pending"` // bytes
	Lag            int64  `json:"lag"`     // bytes
	HistoryEvents  int    `json:"history_events"`
	HistoryBytes   int64  `json:"history_bytes"`
	Sources        int    `json:"sources"`         // on this node, like the relays
	SourcesFailing int    `json:"sources_failing"` // whose last request to the app failed
	Relays         int    `json:"relays"`          // that run
}

// HubList is a page of the hubs of a process.
type HubList struct {
	Hubs  []HubInfo `json:"hubs"`
	Total int       `json:"total"`
	Next  string    `json:"next,omitempty"`
}

// viewHub returns the description of a hub.
func viewHub(p *pool.Hub) HubInfo {
	s, sources := p.Stats(), p.SourceStats()
	info := HubInfo{
		Hub: p.Name, Status: "ready", Users: s.Users, Published: s.Published, Delivered: s.Delivered,
		Pending: s.Pending, Lag: s.Lag, HistoryEvents: s.HistoryEvents, HistoryBytes: s.HistoryBytes,
		Sources: sources.Open, SourcesFailing: sources.Failing, Relays: p.Relays().Stats().Running,
	}
	for _, open := range s.Open {
		info.Connections += open.Held + open.Goroutine
	}
	if err := p.Health(); err != nil {
		info.Status, info.Reason = "unavailable", err.Error()
	}
	if s.Draining {
		info.Status = "draining"
	}
	return info
}

// serveHubs answers with a page of the hubs.
func serveHubs(w http.ResponseWriter, r *http.Request, live []*pool.Hub) *problem.Problem {
	if p := CheckCall(r, []string{http.MethodGet, http.MethodHead}, []string{"limit", "after"}); p != nil {
		return p
	}
	query := r.URL.Query()
	limit, p := limitOf(query)
	if p != nil {
		return p
	}
	list := HubList{Hubs: []HubInfo{}, Total: len(live)}
	for _, p := range live {
		if p.Name <= query.Get("after") {
			continue
		}
		if len(list.Hubs) == limit {
			list.Next = list.Hubs[limit-1].Hub
			break
		}
		list.Hubs = append(list.Hubs, viewHub(p))
	}
	writeJSON(w, http.StatusOK, list)
	return nil
}
