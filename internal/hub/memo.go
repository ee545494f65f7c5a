package hub

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

const (
	// keepEvery is how often a hub stores a memo, and keptTime how long the directory keeps it.
	keepEvery = 10 * time.Second
	keptTime  = 7 * 24 * time.Hour
	// maxRecall bounds the records that are read to bring a memo up to date.
	maxRecall, recallPage = maxScan, 500
)

// A hub that starts learns from its window which users came and left, but not of users whose join is older. So a memo beside
// the log has the users who were present at some position of the log. It is in the directory, under the name of a node, or in a
// broker.Keeper.
const (
	memoName  = "presence~"
	memoUser  = "w:"
	memoPlace = broker.Brief + "at:"
	memoFile  = "presence"
)

// memo has the users who are present according to the log, up to a position.
type memo struct {
	Topic string   `json:"topic"`
	Place string   `json:"place"`
	Users []string `json:"users"`
}

// keep stores a memo if the users have changed. Of several nodes, only the one whose name comes first does.
func (a *attendance) keep(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, reportEvery)
	defer cancel()
	_, end, _ := a.hub.window.end() // before the users are read: what comes in between is taken twice
	a.mu.Lock()
	changed := a.changed
	m := memo{Topic: a.presence.Topic, Place: end.String(), Users: a.joined()}
	a.mu.Unlock()
	if !changed || m.Topic == "" || a.hub.isLed(ctx) {
		return
	}
	if a.hub.keepMemo(ctx, &m) == nil {
		a.mu.Lock()
		a.changed = false
		a.mu.Unlock()
	}
}

// isLed reports whether another node has a name that comes first, or may have.
func (h *Hub) isLed(ctx context.Context) bool {
	if h.nodes == nil {
		return false
	}
	nodes, err := h.nodes.ask(ctx)
	for _, o := range nodes {
		if able(o) && o.Name < h.nodes.name {
			return true
		}
	}
	return err != nil && ctx.Err() == nil && !errors.Is(err, broker.ErrClosed)
}

func (h *Hub) keepMemo(ctx context.Context, m *memo) error {
	if h.nodes != nil {
		counts := map[string]int{memoPlace + m.Place + " " + m.Topic: 1}
		for _, user := range m.Users {
			counts[memoUser+user] = 1
		}
		return h.nodes.directory.Report(ctx, memoName, keptTime, true, counts)
	}
	k, ok := h.broker.(broker.Keeper)
	if !ok {
		return nil
	}
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return k.Keep(memoFile, text)
}

// kept returns the memo that keepMemo has stored, or nil.
func (h *Hub) kept(ctx context.Context) (*memo, error) {
	if h.nodes != nil {
		return h.nodes.memo(ctx)
	}
	k, ok := h.broker.(broker.Keeper)
	if !ok {
		return nil, nil
	}
	text, err := k.Kept(memoFile)
	m := new(memo)
	if err != nil || json.Unmarshal(text, m) != nil { // without a memo, the hub knows what is in its window
		return nil, nil
	}
	return m, nil
}

// memo returns the memo in the directory, or nil.
func (n *nodes) memo(ctx context.Context) (*memo, error) {
	roster, ok := n.directory.(broker.Roster)
	if !ok {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, renewEvery)
	defer cancel()
	nodes, err := roster.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(nodes, func(o broker.Node) bool { return o.Name == memoName && !o.Silent })
	if i < 0 {
		return nil, nil
	}
	m := new(memo)
	for name := range nodes[i].Counts {
		if user, ok := strings.CutPrefix(name, memoUser); ok {
			m.Users = append(m.Users, user)
		} else if place, ok := strings.CutPrefix(name, memoPlace); ok {
			m.Place, m.Topic, _ = strings.Cut(place, " ")
		}
	}
	return m, nil
}

// recall takes over the users of the memo, except those that the window tells of.
func (a *attendance) recall() error {
	m, err := a.hub.kept(a.ctx)
	if err != nil || m == nil {
		return err
	}
	a.mu.Lock()
	topic := a.presence.Topic
	a.mu.Unlock()
	if m.Topic != topic {
		return nil
	}
	here := map[string]bool{}
	for _, user := range m.Users {
		here[user] = true
	}
	if place, ok := broker.ParsePosition(m.Place); ok {
		if err := a.readOn(place, here); err != nil {
			return err
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for user, is := range here {
		if is && a.look(user).logged == nothingLogged {
			a.of(user).logged = joinLogged
		}
	}
	return nil
}

// readOn brings a memo's users up to date, from the memo's position to the start of the window.
func (a *attendance) readOn(at broker.Position, here map[string]bool) error {
	for range maxRecall / recallPage {
		_, start := a.hub.window.oldest()
		if _, where := a.hub.window.locate(at); where == within || where == between || at == start {
			return nil
		}
		ctx, cancel := context.WithTimeout(a.ctx, readTimeout)
		entries, err := a.hub.broker.Read(ctx, at, start, recallPage)
		cancel()
		switch {
		case errors.Is(err, broker.ErrUnavailable) || errors.Is(err, broker.ErrClosed):
			return err
		case err != nil || len(entries) == 0: // trimmed or lost: the memo is the best there is
			return nil
		}
		a.mu.Lock()
		for i := range entries {
			if e := a.event(&entries[i].Record); e != nil {
				here[e.User] = e.State == "join"
			}
		}
		a.mu.Unlock()
		at = entries[len(entries)-1].Position
	}
	return nil
}
