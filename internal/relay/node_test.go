package relay

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	logtest "go.uber.org/zap/zaptest/observer"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/broker/membroker"
	"github.com/sse-push/caddy-sse-push/internal/api"
	"github.com/sse-push/caddy-sse-push/internal/egress"
	"github.com/sse-push/caddy-sse-push/internal/pool"
	"github.com/sse-push/caddy-sse-push/internal/problem"
	"github.com/sse-push/caddy-sse-push/internal/sharedlog"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// engine is a log of relays that several nodes share.
type engine struct {
	harness brokertest.Harness

	mu     sync.Mutex // guards leases
	leases map[string]time.Time
}

// node is a node on the engine, as its broker module and its log.
type node struct {
	broker.Broker
	*pool.Hub
	engine *engine
	config *Config
	t      *testing.T
	name   string
	dead   atomic.Bool           // it has lost the engine, as if its machine were off
	logs   *logtest.ObservedLogs // its errors
	full   atomic.Bool           // the log has no space left
	unsure atomic.Int32          // what becomes of the next append: one of the constants below
}

// What becomes of an append whose outcome the node does not learn.
const (
	sure = iota
	unsureStored
	unsureLost
)

var nodes atomic.Int64

// newNode starts a node.
func newNode(t *testing.T, e *engine, s Settings) *node {
	t.Helper()
	n := &node{engine: e, t: t, name: fmt.Sprintf("relays-test-%d", nodes.Add(1))}
	core, logs := logtest.New(zap.ErrorLevel)
	n.logs = logs
	ref := pool.NewRef(n.name, n, zap.New(core))
	var err error
	if n.config, err = New(&s, ref); err != nil {
		t.Fatal(err)
	}
	if err := ref.Open(); err != nil {
		t.Fatal(err)
	}
	ref.Apply()
	if n.Hub, err = ref.Get(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		n.dead.Store(false)
		ref.Drain()
		if err := ref.Release(); err != nil { // which closes the hub
			t.Error(err)
		}
	})
	return n
}

func (n *node) LogKey() string { return "test" }

// Open opens the hub's log, which is the node's own, or that of the relays.
func (n *node) Open(hub string) (broker.Broker, error) {
	if !strings.HasSuffix(hub, "."+name) {
		return membroker.Open(), nil
	}
	n.Broker = n.engine.harness.Open(n.t, nil)
	return relayLog{n}, nil
}

// relayLog is the log of relays of a node.
type relayLog struct{ *node }

func (l relayLog) Close() error { return l.Broker.Close() }

func (l relayLog) Append(ctx context.Context, records []broker.Record) []broker.Result {
	fails := func(err error) []broker.Result {
		results := make([]broker.Result, len(records))
		for i := range results {
			results[i].Err = err
		}
		return results
	}
	if l.dead.Load() {
		return fails(broker.ErrUnavailable)
	}
	if l.full.Load() {
		return fails(broker.ErrFull)
	}
	switch l.unsure.Swap(sure) {
	case unsureStored:
		l.Broker.Append(ctx, records)
		return fails(broker.ErrUnknownOutcome)
	case unsureLost:
		return fails(broker.ErrUnknownOutcome)
	}
	return l.Broker.Append(ctx, records)
}

func (l relayLog) Report(_ context.Context, name string, lease time.Duration, _ bool, _ map[string]int) error {
	if l.dead.Load() {
		return broker.ErrUnavailable
	}
	l.engine.mu.Lock()
	defer l.engine.mu.Unlock()
	l.engine.leases[nodeName(name)] = time.Now().Add(lease)
	return nil
}

func (l relayLog) Counts(_ context.Context, names ...string) (map[string]int, error) {
	l.engine.mu.Lock()
	defer l.engine.mu.Unlock()
	counts := map[string]int{}
	for _, name := range names {
		if time.Now().Before(l.engine.leases[name]) {
			counts[name] = 1
		}
	}
	return counts, nil
}

// call makes a call of the internal route.
func (n *node) call(method, path, body string) *httptest.ResponseRecorder {
	n.t.Helper()
	w, r := httptest.NewRecorder(), httptest.NewRequest(method, "/"+path, strings.NewReader(body))
	if !n.config.Answer(w, r, n.Hub, path) {
		api.Serve(w, r, n.Hub, api.Call{Path: path, Escaped: path, Log: zap.NewNop()})
	}
	return w
}

// info is what a node says of a relay.
type info struct {
	ID, Done string
	Status   Status
	Events   uint64
}

func (n *node) info(id string) (i info) {
	n.t.Helper()
	w := n.call(http.MethodGet, "relays/"+id, "")
	if w.Code == http.StatusNotFound { // this node does not know it yet
		return i
	}
	if err := json.Unmarshal(w.Body.Bytes(), &i); err != nil {
		n.t.Fatalf("%d %s", w.Code, w.Body)
	}
	return i
}

func (n *node) start(id, url, more string) int {
	n.t.Helper()
	return n.call(http.MethodPost, "relays", fmt.Sprintf(`{"id": %q, "user": "u1", "request": {"url": %q, "body": {}}%s}`, id, url, more)).Code
}

func twoNodes(t *testing.T, m *sitetest.Model, app string) (a, b *node) {
	t.Helper()
	e := &engine{harness: sharedlog.New(sharedlog.Fault{}).Harness(t), leases: map[string]time.Time{}}
	s := Settings{To: []egress.Origin{{URL: m.URL, Private: true}}, PerUser: 100}
	if app != "" {
		s.Done, s.Secret = []string{app}, strings.Repeat("s3cret-", 5)
	}
	return newNode(t, e, s), newNode(t, e, s)
}

// Of the same call on two nodes at once, one starts the relay. Either knows it, and stops it.
func TestSameCallOnTwoNodes(t *testing.T) {
	m := sitetest.StartModel(t)
	a, b := twoNodes(t, m, "")
	const relays = 20
	for i := range relays {
		var work sync.WaitGroup
		for _, n := range []*node{a, b, a, b} {
			work.Go(func() {
				if status := n.start(fmt.Sprint("chat-", i), m.URL, ""); status != http.StatusAccepted {
					t.Errorf("got %d", status)
				}
			})
		}
		work.Wait()
	}
	for range relays {
		m.Next().Answer(200, "text/event-stream").Tokens("x")
	}
	select {
	case <-m.Requests:
		t.Error("a relay was started twice")
	case <-time.After(100 * time.Millisecond):
	}
	for _, n := range []*node{a, b} {
		brokertest.Eventually(t, "the node knows them all", func() bool {
			for i := range relays {
				if info := n.info(fmt.Sprint("chat-", i)); info.Status != Running || info.Events != 1 {
					return false
				}
			}
			return true
		})
		if status := n.start("chat-0", m.URL+"/other", ""); status != http.StatusUnprocessableEntity {
			t.Errorf("another call with the id: %d", status)
		}
	}
	for i := range relays { // by one node, whichever runs it
		if w := a.call(http.MethodDelete, fmt.Sprint("relays/chat-", i), ""); w.Code != http.StatusNoContent {
			t.Errorf("got %d %s", w.Code, w.Body)
		}
	}
	brokertest.Eventually(t, "all upstreams are closed", func() bool { return m.Gone.Load() == relays })
	brokertest.Eventually(t, "the other node knows", func() bool { return b.info("chat-7").Status == Cancelled })
}

// The relays of a node that is gone are interrupted by another, which also calls done for it. The node itself stops when it comes
// back.
func TestNodeThatIsGone(t *testing.T) {
	m := sitetest.StartModel(t)
	calls := make(chan string, 100)
	var refuse atomic.Bool
	refuse.Store(true)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if refuse.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		var body Report
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		calls <- body.ID + " " + string(body.Status)
	}))
	defer app.Close()
	a, b := twoNodes(t, m, app.URL)
	done := fmt.Sprintf(`, "done": %q`, app.URL)
	a.start("over", m.URL, done)
	m.Next().Answer(200, "text/event-stream").End()
	brokertest.Eventually(t, "the other node knows its end", func() bool { return b.info("over").Status == Complete })
	a.start("running", m.URL, done)
	q := m.Next().Answer(200, "text/event-stream")
	q.Tokens("x")
	brokertest.Eventually(t, "the other node knows it", func() bool { return b.info("running").Events == 1 })
	refuse.Store(false)
	a.dead.Store(true)
	begun := time.Now()
	brokertest.Eventually(t, "it is interrupted", func() bool { return b.info("running").Status == Interrupted })
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
	got := map[string]bool{}
	for len(got) < 2 { // at least once each
		select {
		case c := <-calls:
			got[c] = true
		case <-time.After(sitetest.Limit):
			t.Fatalf("got only %v", got)
		}
	}
	if !got["running interrupted"] || !got["over complete"] {
		t.Errorf("got %v", got)
	}
	a.dead.Store(false)
	brokertest.Eventually(t, "its upstream is closed", func() bool { return m.Gone.Load() == 1 })
	brokertest.Eventually(t, "they are taken", func() bool { return b.info("running").Done == "taken" && b.info("over").Done == "taken" })
}

// A node that does not learn whether the log has a begin answers 503. The call may be made again: a begin that was lost stands in
// nobody's way, and one that was stored is ended by the node, although it lives.
func TestBeginOfUnknownOutcome(t *testing.T) {
	m := sitetest.StartModel(t)
	a, b := twoNodes(t, m, "")

	a.unsure.Store(unsureLost)
	if status := a.start("lost", m.URL, ""); status != http.StatusServiceUnavailable {
		t.Errorf("got %d", status)
	}
	if status := a.start("lost", m.URL, ""); status != http.StatusAccepted {
		t.Errorf("again: got %d", status)
	}
	m.Next().Answer(200, "text/event-stream").End()
	for _, n := range []*node{a, b} {
		brokertest.Eventually(t, "the second call's relay ends", func() bool { return n.info("lost").Status == Complete })
	}

	a.unsure.Store(unsureStored)
	if status := a.start("stored", m.URL, ""); status != http.StatusServiceUnavailable {
		t.Errorf("got %d", status)
	}
	for _, n := range []*node{a, b} {
		brokertest.Eventually(t, "it is interrupted", func() bool { return n.info("stored").Status == Interrupted })
	}
	a.mustIdle()
}

// A call that comes again while the first one is being stored gets the same answer.
func TestSameCallAtOnce(t *testing.T) {
	m := sitetest.StartModel(t)
	a, _ := twoNodes(t, m, "")
	r := find(a.Hub)
	q := &call{id: "chat", user: "u1"}
	first, isNew, p := r.reserve(a.config, q)
	if !isNew || p != nil {
		t.Fatalf("got %v, %v", isNew, p)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if p := r.start(ctx, a.config, q); p == nil || p.Status != http.StatusServiceUnavailable {
		t.Errorf("before the first has an answer: got %v", p)
	}
	first.refusal = problem.New(http.StatusInsufficientStorage, "full")
	close(first.answered)
	if p := r.start(t.Context(), a.config, q); p != first.refusal {
		t.Errorf("got %v", p)
	}
	if p := r.start(t.Context(), a.config, &call{id: "chat", user: "u1", digest: [16]byte{1}}); p == nil || p.Status != http.StatusUnprocessableEntity {
		t.Errorf("another call: got %v", p)
	}
	r.drop(first)
	a.mustIdle()
}

// mustIdle checks that nothing counts as running.
func (n *node) mustIdle() {
	n.t.Helper()
	r := find(n.Hub)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.index.open != 0 || len(r.index.users) != 0 || len(r.runs) != 0 || len(r.starting) != 0 {
		n.t.Errorf("%d relays are open, of users %v; %d run, starting %v", r.index.open, r.index.users, len(r.runs), r.starting)
	}
}

// The log tells of an end that the app has never taken, once, when it is given up.
func TestDoneThatIsGivenUp(t *testing.T) {
	m := sitetest.StartModel(t)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }))
	defer app.Close()
	a, b := twoNodes(t, m, app.URL)
	a.start("chat", m.URL, fmt.Sprintf(`, "done": %q`, app.URL))
	m.Next().Answer(200, "text/event-stream").End()
	for _, n := range []*node{a, b} {
		brokertest.Eventually(t, "it ends", func() bool { return n.info("chat").Status == Complete })
		r := find(n.Hub)
		r.mu.Lock()
		r.index.relays["chat"].at = time.Now().Add(-kept)
		r.mu.Unlock()
		brokertest.Eventually(t, "it is forgotten", func() bool { return n.info("chat").ID == "" })
	}
	brokertest.Eventually(t, "the log tells of it", func() bool { return a.logs.Len() == 1 })
	if line := a.logs.All()[0].ContextMap(); line["relay"] != "chat" || line["user"] != "u1" || line["status"] != "complete" {
		t.Errorf("got %v", line)
	}
	if b.logs.Len() != 0 {
		t.Errorf("the other node has logged %v", b.logs.All())
	}
}
