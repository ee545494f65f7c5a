package api

import (
	"github.com/sse-push/caddy-sse-push/internal/hub"
)

// HubInfo is what a list says of a hub. What is counted goes up from its start.
type HubInfo struct {
	Hub           string `json:"hub"`
	Status        string `json:"status"` // ready, unavailable or draining
	Reason        string `json:"reason,omitempty"`
	Connections   int    `json:"connections"` // here, as are the users
	Users         int    `json:"users"`
	Published     uint64 `json:"published"`
	Delivered     uint64 `json:"delivered"`
	Pending       int64  `json:"pending"` // bytes
	Lag           int64  `json:"lag"`     // bytes
	HistoryEvents int    `json:"history_events"`
	HistoryBytes  int64  `json:"history_bytes"`
}

// HubList is a page of the hubs of a process.
type HubList struct {
	Hubs  []HubInfo `json:"hubs"`
	Total int       `json:"total"`
	Next  string    `json:"next,omitempty"`
}

// ViewHub describes a hub.
func ViewHub(h *hub.Hub) HubInfo {
	s := h.Stats()
	info := HubInfo{
		Hub: h.Name, Status: "ready", Users: s.Users, Published: s.Published, Delivered: s.Delivered,
		Pending: s.Pending, Lag: s.Lag, HistoryEvents: s.HistoryEvents, HistoryBytes: s.HistoryBytes,
	}
	for _, open := range s.Open {
		info.Connections += open.Held + open.Goroutine
	}
	if err := h.Health(); err != nil {
		info.Status, info.Reason = "unavailable", err.Error()
	}
	if s.Draining {
		info.Status = "draining"
	}
	return info
}
