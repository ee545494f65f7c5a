package inspector

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/api"
	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/pool"
	"github.com/sse-push/caddy-sse-push/internal/problem"
	"github.com/sse-push/caddy-sse-push/internal/request"
	"github.com/sse-push/caddy-sse-push/internal/rules"
	"github.com/sse-push/caddy-sse-push/internal/sse"
	"github.com/sse-push/caddy-sse-push/internal/stream"
)

const (
	// snapshotInterval is how often a page gets a snapshot.
	snapshotInterval = time.Second
	// tailInterval is how often a page gets events, at most.
	tailInterval = 200 * time.Millisecond
	// maxViewers is how many pages may be open at once.
	maxViewers = 32
	// maxSlowest is how many of the slowest clients a page shows.
	maxSlowest = 10
	// slowestShare bounds the work of finding them: it pauses this many times as long as it takes.
	slowestShare = 50
	// viewerPatience is how long a page may read nothing before its stream is closed.
	viewerPatience = 10 * time.Second
)

// snapshot is what a page gets each second. Counts go up for as long as the hub lives; the page computes rates from them.
type snapshot struct {
	Hub         string            `json:"hub"`
	Time        int64             `json:"time"` // ms
	Health      string            `json:"health,omitempty"`
	Draining    bool              `json:"draining"`
	Connections int               `json:"connections"`
	Held        int               `json:"held"`
	Users       int               `json:"users"`
	Published   uint64            `json:"published"`
	Delivered   uint64            `json:"delivered"`
	Bytes       uint64            `json:"bytes"`
	Coalesced   uint64            `json:"coalesced"`
	Expired     uint64            `json:"expired"`
	Catchups    map[string]uint64 `json:"catchups"`
	Gaps        map[string]uint64 `json:"gaps"`
	Rejected    map[string]uint64 `json:"rejected"`
	Pending     int64             `json:"pending"` // bytes
	Lag         int64             `json:"lag"`     // bytes
	History     int               `json:"history"`
	Sources     int               `json:"sources"` // on this node, like the relays
	Failing     int               `json:"failing"` // sources
	Relays      int               `json:"relays"`  // that run
	Bounds      []float64         `json:"bounds"`  // ms, of Delays; the last of those has no bound
	Delays      []uint64          `json:"delays"`
	Slowest     []slowClient      `json:"slowest"`
}

type slowClient struct {
	hub.ConnectionInfo
	Pending    int64 `json:"pending"` // bytes
	Events     int   `json:"events"`
	Delay      int64 `json:"delay"` // ms
	CatchingUp bool  `json:"catching_up"`
}

// serveStream sends the page what its hub does, until the page leaves, the session ends, or the config is replaced.
func (p *Page) serveStream(w http.ResponseWriter, r *http.Request, theHub *pool.Hub, expires time.Time) *problem.Problem {
	if refused := api.CheckCall(r, []string{http.MethodGet}, []string{"event", "user", "topic", "text"}); refused != nil {
		return refused
	}
	q := r.URL.Query()
	if topic := q.Get("topic"); topic != "" {
		if err := rules.CheckPattern(topic); err != nil {
			return problem.Field("topic", "%v", err)
		}
	}
	if p.viewers.Add(1) > maxViewers {
		p.viewers.Add(-1)
		return problem.RetryLater(http.StatusServiceUnavailable, time.Second, "%d pages are open already", maxViewers)
	}
	defer p.viewers.Add(-1)
	tap := theHub.Tap(hub.TapFilter{Type: q.Get("event"), User: q.Get("user"), Topic: q.Get("topic"), Text: q.Get("text")})
	defer tap.Close()

	request.LiftTimeouts(w, r)
	stream.SetHeaders(w)
	w.WriteHeader(http.StatusOK)
	rc := http.NewResponseController(w)
	send := func(event string, v any) error {
		data, err := json.Marshal(v)
		if err != nil { // no value of these types fails
			panic(err)
		}
		_ = rc.SetWriteDeadline(time.Now().Add(viewerPatience)) // if it is not supported, the server's own timeouts apply
		if _, err = w.Write(sse.Event{Type: event, Data: data, Retry: time.Second}.Append(nil)); err != nil {
			return err
		}
		return rc.Flush()
	}
	var slowest []slowClient
	var look time.Time // when to look at all connections again
	snapshotNow := func() snapshot {
		s := snapshotOf(theHub)
		if begin := time.Now(); !begin.Before(look) {
			slowest = slowestOf(theHub.Hub)
			look = time.Now().Add(slowestShare * time.Since(begin))
		}
		s.Slowest = slowest
		return s
	}
	tick := time.NewTicker(snapshotInterval)
	defer tick.Stop()
	var again <-chan time.Time // when the tail may be sent again
	news := tap.C
	err := send("snapshot", snapshotNow())
	for err == nil {
		select {
		case <-r.Context().Done():
			return nil
		case <-p.replaced:
			return nil
		case <-tick.C:
			s := snapshotNow()
			if err = send("snapshot", s); s.Draining || time.Now().After(expires) {
				return nil
			}
		case <-again:
			again, news = nil, tap.C
		case <-news:
			again, news = time.After(tailInterval), nil
			err = send("tail", tailOf(tap))
		}
	}
	return nil
}

// snapshotOf returns a snapshot without the slowest clients.
func snapshotOf(theHub *pool.Hub) snapshot {
	stats, sources := theHub.Stats(), theHub.SourceStats()
	s := snapshot{
		Hub: theHub.Name, Time: time.Now().UnixMilli(), Draining: stats.Draining, Users: stats.Users,
		Published: stats.Published, Delivered: stats.Delivered, Bytes: stats.Bytes, Coalesced: stats.Coalesced, Expired: stats.Expired,
		Catchups: stats.Catchups, Gaps: stats.Gaps, Rejected: stats.Rejected,
		Pending: stats.Pending, Lag: stats.Lag, History: stats.HistoryEvents, Delays: stats.Delay.Counts[:],
		Sources: sources.Open, Failing: sources.Failing, Relays: theHub.Relays().Stats().Running,
	}
	if err := theHub.Health(); err != nil {
		s.Health = err.Error()
	}
	for _, open := range stats.Open {
		s.Connections += open.Held + open.Goroutine
		s.Held += open.Held
	}
	for _, bound := range hub.DelayBounds {
		s.Bounds = append(s.Bounds, float64(bound)/float64(time.Millisecond))
	}
	return s
}

// slowestOf returns the slowest clients.
func slowestOf(theHub *hub.Hub) []slowClient {
	list := []slowClient{}
	for _, b := range theHub.Slowest(maxSlowest) {
		list = append(list, slowClient{b.Connection, b.Pending, b.Events, b.Delay.Milliseconds(), b.CatchingUp})
	}
	return list
}

// tail is what the hub has delivered since the last tail.
type tail struct {
	Events []api.TailEvent `json:"events"`
	Missed uint64          `json:"missed"` // events that came too fast to show
}

// tailOf takes what the tap has.
func tailOf(tap *hub.Tap) tail {
	events, missed := tap.Take()
	t := tail{make([]api.TailEvent, len(events)), missed}
	for i := range events {
		t.Events[i] = api.Tailed(&events[i])
	}
	return t
}
