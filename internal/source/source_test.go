package source

import (
	"bytes"
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/membroker"
	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/identity"
	"github.com/sse-push/caddy-sse-push/internal/problem"
)

// reading returns a source that has read something of the app's stream. It does not run.
func reading(t *testing.T, settings Settings) *source {
	h := hub.New("test", membroker.Open(), hub.Settings{Limits: hub.Limits{Pending: 1 << 20}})
	t.Cleanup(func() { _ = h.Close() })
	settings.SetDefaults()
	log := h.Companion("test.sources", membroker.Open(), hub.History{Events: 10, Age: time.Minute, Bytes: 1 << 20})
	s := &source{log: log, id: "s1", state: Open, known: true, terms: &terms{settings: settings, log: zap.NewNop(), complaints: &problem.Complaints{}}}
	s.ctx, s.stop = context.WithCancel(t.Context())
	if err := s.begin(); err != nil {
		t.Fatal(err)
	}
	return s
}

// joined returns a client that has joined a source.
func joined(t *testing.T, s *source) *asker {
	t.Helper()
	a := &asker{visitor: &visitor{terms: s.terms}, outcome: make(chan outcome, 1)}
	if !s.join(a) {
		t.Fatal("the source has ended")
	}
	return a
}

// A client that is about to listen when the source ends is told to come again, rather than hear nothing for ever.
func TestEndWhileClientJoins(t *testing.T) {
	s := reading(t, Settings{})
	a := joined(t, s)
	s.finish(errLoggedOut)
	c, err := s.log.Subscribe(t.Context(), hub.Subscription{Topics: []string{s.id}, Opening: s.opening(a)})
	if err != nil {
		t.Fatal(err)
	}
	s.heard(a, c)
	s.leave(a)
	if !c.Ended() {
		t.Error("the stream goes on")
	}
	c.Close(nil)
}

// A source whose upstream was closed because nobody listened goes on if somebody has joined meanwhile. Otherwise nobody can join it
// any more.
func TestJoinWhileUpstreamEnds(t *testing.T) {
	for _, joins := range []bool{true, false} {
		s := reading(t, Settings{})
		if joins {
			joined(t, s)
		}
		failures := 0
		if _, goesOn := s.next(&ending{cause: errUnheard, streams: true, status: 200}, &failures); goesOn != joins {
			t.Errorf("with a client that joins: %v, goes on: %v", joins, goesOn)
		}
		if s.join(&asker{visitor: &visitor{}, outcome: make(chan outcome, 1)}) != joins {
			t.Errorf("with a client that joins: %v, another one can do the opposite", joins)
		}
	}
}

// The time for the first answer is that for its headers: what else goes to a client may take longer.
func TestFirstAnswerIsNotCutOff(t *testing.T) {
	s := reading(t, Settings{})
	a := joined(t, s)
	var cut error
	s.state, s.known, s.cancel = Opening, false, func(err error) { cut = err }
	s.answerTo = a
	now := time.Now()
	s.opened = now.Add(-time.Hour)
	if s.takeCare(now); cut != nil {
		t.Errorf("an answer on its way to a client is cut off: %v", cut)
	}
	s.answerTo = nil
	waits := joined(t, s)
	if s.takeCare(now); !errors.Is(cut, errSlow) {
		t.Errorf("got %v", cut)
	}
	select {
	case o := <-waits.outcome: // although the next handlers have not returned
		if o.kind != rejected {
			t.Errorf("the client that waits gets %v", o)
		}
	default:
		t.Error("the client that waits is told nothing")
	}
	if s.join(&asker{visitor: &visitor{}, outcome: make(chan outcome, 1)}) {
		t.Error("another client waits for the same answer")
	}
}

// A source that is for everyone is not its first listener's, and so does not end with that one's logout.
func TestWhoseSource(t *testing.T) {
	for share, want := range map[string]string{Session: "u1", Everyone: ""} {
		v := &visitor{terms: &terms{settings: Settings{Share: share}}}
		v.asked = &url.URL{Path: "/clock"}
		s := newSource(&Registry{}, key{}, v, identity.Identity{User: "u1", Grant: &identity.Grant{User: "u1"}}, "")
		if s.stop(); s.user != want {
			t.Errorf("shared with %s: it is the user %q's", share, s.user)
		}
	}
}

// A client that has waited for the first answer hears all that has followed, even if it takes its time to subscribe. A newcomer hears
// what is replayed.
func TestFirstListenersHearAll(t *testing.T) {
	s := reading(t, Settings{})
	s.known = false
	first := joined(t, s)
	s.known, s.askers = true, nil // as answered does
	for _, data := range []string{"one", "two"} {
		r := broker.Record{Targets: []broker.Target{{Kind: broker.Topic, Name: s.id}}, Data: []byte(data)}
		s.stored(&r, s.log.Publish(t.Context(), []broker.Record{r})[0].Position)
	}
	for a, want := range map[*asker]string{first: "one two", joined(t, s): "two"} {
		c, err := s.log.Subscribe(t.Context(), hub.Subscription{Topics: []string{s.id}, Opening: s.opening(a)})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for {
			frames, err := c.Next(nil, 1<<20)
			if err != nil || len(frames) == 0 {
				break
			}
			for line := range strings.Lines(string(bytes.Join(frames, nil))) {
				if data, ok := strings.CutPrefix(line, "data: "); ok && !strings.HasPrefix(data, "{") {
					got = append(got, strings.TrimSpace(data))
				}
			}
		}
		if text := strings.Join(got, " "); text != want {
			t.Errorf("got %q, want %q", text, want)
		}
		c.Close(nil)
	}
}
