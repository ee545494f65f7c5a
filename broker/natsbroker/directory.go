package natsbroker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"

	"github.com/sse-push/caddy-sse-push/broker"
)

// The directory is a stream with one message for each subject: a node's lease, and its counts in parts, so that a change
// writes only one part. A lease names the generation of the parts that belong to it. It lasts by the server's clock: a
// reader stores a message, too, and takes the server's time from that.

const (
	// tick is the name of the message that tells the time. No escaped name is the same.
	tick = "_tick"
	// together is how many messages are read at the same time.
	together = 16
)

// nodes holds the nodes that have reported by this broker.
type nodes struct {
	mu    sync.Mutex // held during a report
	known map[string]*node
}

// node is what one has reported.
type node struct {
	counts     [parts + 1]map[string]int
	dirty      [parts + 1]bool // parts that are not written yet
	generation string          // "" if all parts have to be written again
	lease      uint64          // the number of its newest lease message
	until      time.Time       // the end of that lease, by this node's clock
}

// Report implements broker.Directory.
func (b *Broker) Report(ctx context.Context, name string, lease time.Duration, fresh bool, counts map[string]int) error {
	ctx, cancel := b.within(ctx, 2*callTimeout)
	defer cancel()
	b.nodes.mu.Lock()
	defer b.nodes.mu.Unlock()
	n := b.nodes.known[name]
	if n == nil {
		n = new(node)
		b.nodes.known[name] = n
	}
	if fresh {
		n.forget()
	}
	for k, v := range counts {
		n.set(k, v)
	}
	s, err := b.connected(ctx)
	if err != nil {
		return err
	}
	if lease <= 0 {
		delete(b.nodes.known, name)
		return b.clear(ctx, s, escape(name), 0)
	}
	if time.Now().After(n.until) { // other nodes may have removed its parts
		n.generation = ""
	}
	for range 2 {
		if n.generation == "" && !fresh {
			return broker.ErrForgotten
		}
		if err = b.report(ctx, s, name, n, lease); err == nil {
			return nil
		}
		if errors.Is(err, errNoStream) {
			if failed := b.createNodes(ctx, s); failed != nil {
				return unavailable("making the directory", failed)
			}
		} else if !errors.Is(err, errNotOurs) {
			break
		}
	}
	return unavailable("reporting who is connected", err)
}

// forget makes report write all parts again. As long as the lease is the one that was written last, they keep their
// generation, so that each part counts while the others are replaced.
func (n *node) forget() {
	for i := range n.counts {
		n.dirty[i] = n.dirty[i] || len(n.counts[i]) > 0
	}
	clear(n.counts[:])
}

func (n *node) set(name string, count int) {
	i := partOf(name)
	if n.counts[i] == nil {
		n.counts[i] = map[string]int{}
	}
	if n.dirty[i] = true; count == 0 {
		delete(n.counts[i], name)
	} else {
		n.counts[i][name] = count
	}
}

// errNotOurs: the engine's newest lease is not the one that this node wrote.
var errNotOurs = errors.New("the lease is not the one that was written last")

// report writes the parts that have changed, and then the lease. After an error, the next report writes all parts.
func (b *Broker) report(ctx context.Context, s *session, name string, n *node, lease time.Duration) error {
	generation, all := n.generation, n.generation == ""
	if all {
		generation = nuid.Next()
	}
	var messages []*nats.Msg
	for i := range n.counts {
		if n.dirty[i] || all && len(n.counts[i]) > 0 {
			m := nats.NewMsg(b.names.counts + strconv.Itoa(i) + "." + escape(name))
			m.Data = encodePart(generation, n.counts[i])
			messages = append(messages, m)
		}
	}
	if err := b.put(ctx, s, messages); err != nil {
		if errors.Is(err, errNoStream) {
			n.generation = ""
		}
		return err
	}
	n.generation = "" // until the lease is answered
	m := nats.NewMsg(b.names.leases + escape(name))
	m.Data = fmt.Appendf(nil, "%s %d", generation, lease.Milliseconds())
	if !all {
		m.Header.Set(nats.ExpectedLastSubjSeqHdr, strconv.FormatUint(n.lease, 10))
	}
	now := time.Now()
	a := b.send(ctx, s, []*nats.Msg{m})[0]
	if err := a.err(); err != nil {
		return err
	}
	n.generation, n.lease, n.until, n.dirty = generation, a.Seq, now.Add(lease), [parts + 1]bool{}
	return nil
}

// put stores messages of the directory.
func (b *Broker) put(ctx context.Context, s *session, messages []*nats.Msg) error {
	for _, a := range b.send(ctx, s, messages) {
		if err := a.err(); err != nil {
			return err
		}
	}
	return nil
}

// err returns what went wrong with a publish.
func (a *answer) err() error {
	switch {
	case !a.came:
		return errors.New("no answer")
	case a.Error == nil:
		return nil
	case errors.Is(a.Error, errWrongLast) || errors.Is(a.Error, errWrongLastReplicated):
		return errNotOurs
	case a.Error.Code == 503 && a.Error.ErrorCode == 0:
		return errNoStream
	}
	return a.Error
}

func (b *Broker) createNodes(ctx context.Context, s *session) error {
	_, err := s.createStream(ctx, &streamConfig{
		Name: b.names.nodes, Subjects: []string{b.names.leases + "*", b.names.counts + "*.*"}, Description: "Who is connected to which node of sse_push.",
		Retention: "limits", Storage: "file", Discard: "old",
		MaxMsgs: -1, MaxBytes: -1, MaxMsgsPerSubject: 1, Replicas: max(b.options.Replicas, 1),
	})
	if errors.Is(err, errNameInUse) {
		return nil
	}
	return err
}

// clear removes what a node has written, up to a number; 0 for all of it. It removes the lease first: without it, the
// rest does not count.
func (b *Broker) clear(ctx context.Context, s *session, node string, seq uint64) error {
	var before uint64
	if seq > 0 {
		before = seq + 1
	}
	for _, subject := range []string{b.names.leases + node, b.names.counts + "*." + node} {
		err := s.purge(ctx, b.names.nodes, subject, before)
		if errors.Is(err, errNoStream) {
			return nil
		}
		if err != nil {
			return unavailable("taking a node out", err)
		}
	}
	return nil
}

// Counts implements broker.Directory.
func (b *Broker) Counts(ctx context.Context, names ...string) (map[string]int, error) {
	ctx, cancel := b.within(ctx, 2*callTimeout)
	defer cancel()
	s, err := b.connected(ctx)
	if err != nil {
		return nil, err
	}
	nodes, err := b.list(ctx, s, names)
	if err != nil {
		return nil, err
	}
	sums := map[string]int{}
	for _, n := range nodes {
		for name, count := range n.Counts {
			sums[name] += count
		}
	}
	return sums, nil
}

// Nodes implements broker.Roster.
func (b *Broker) Nodes(ctx context.Context, names ...string) ([]broker.Node, error) {
	ctx, cancel := b.within(ctx, 2*callTimeout)
	defer cancel()
	s, err := b.connected(ctx)
	if err != nil {
		return nil, err
	}
	return b.list(ctx, s, names)
}

// list returns each node's counts, under the names given or under all.
func (b *Broker) list(ctx context.Context, s *session, names []string) ([]broker.Node, error) {
	leases, err := b.leases(ctx, s)
	for err == nil {
		var nodes []broker.Node
		var stale bool // a part has another generation than its lease
		if nodes, stale, err = b.listBy(ctx, s, leases, names); err != nil || !stale {
			if err == nil {
				return nodes, nil
			}
			break
		}
		// It may be an old part without counts, or the node has begun a new generation meanwhile.
		var now map[string]lease
		if now, err = b.leases(ctx, s); err == nil && maps.Equal(now, leases) {
			return nodes, nil
		}
		leases = now
	}
	if errors.Is(err, errNoStream) {
		return nil, nil // nobody has reported yet
	}
	return nil, unavailable("reading who is connected", err)
}

func (b *Broker) listBy(ctx context.Context, s *session, leases map[string]lease, names []string) (nodes []broker.Node, stale bool, err error) {
	wanted := map[int]bool{}
	for _, name := range names {
		wanted[partOf(name)] = true
	}
	var subjects []string
	counts := map[string]map[string]int{}
	for node, l := range leases {
		counts[node] = map[string]int{}
		for i := range parts + 1 {
			if !l.silent && (wanted[i] || len(names) == 0) {
				subjects = append(subjects, b.names.counts+strconv.Itoa(i)+"."+node)
			}
		}
	}
	found, err := b.newestOf(ctx, s, subjects)
	if err != nil {
		return nil, false, err
	}
	for _, m := range found {
		node := m.Subject[strings.LastIndexByte(m.Subject, '.')+1:]
		if !decodePart(m.Data, leases[node].generation, func(name string, count int) {
			if len(names) == 0 || slices.Contains(names, name) {
				counts[node][name] = count
			}
		}) {
			stale = true
		}
	}
	for node, l := range leases {
		nodes = append(nodes, broker.Node{Name: unescape(node), Silent: l.silent, Counts: counts[node]})
	}
	return nodes, stale, nil
}

// lease is a node's newest lease.
type lease struct {
	generation string
	silent     bool // it is over
}

// leases returns the leases of nodes that are alive, or were until recently, and removes the others.
func (b *Broker) leases(ctx context.Context, s *session) (map[string]lease, error) {
	if err := b.put(ctx, s, []*nats.Msg{nats.NewMsg(b.names.leases + tick)}); errors.Is(err, errNoStream) {
		_, err = s.streamInfo(ctx, b.names.nodes) // is there no stream, or has it no leader at the moment?
		return nil, cmp.Or(err, errors.New("the stream has no leader"))
	} else if err != nil {
		return nil, err
	}
	clock, err := b.newest(ctx, s, b.names.nodes, b.names.leases+tick)
	if err != nil {
		return nil, err
	}
	if clock == nil {
		return nil, errors.New("the server's time is unknown")
	}
	subjects, err := s.subjects(ctx, b.names.nodes, b.names.leases+"*")
	if err != nil {
		return nil, err
	}
	found, err := b.newestOf(ctx, s, subjects)
	if err != nil {
		return nil, err
	}
	all := map[string]lease{}
	for _, m := range found {
		node := strings.TrimPrefix(m.Subject, b.names.leases)
		generation, text, _ := strings.Cut(string(m.Data), " ")
		ms, err := strconv.ParseInt(text, 10, 64)
		silence := clock.Time.Sub(m.Time)
		over := err != nil || silence >= time.Duration(ms)*time.Millisecond
		switch {
		case node == tick:
		case !over || err == nil && silence < broker.Silence:
			all[node] = lease{generation, over}
		default:
			if err := b.clear(ctx, s, node, m.Sequence); err != nil {
				b.logger.Warn("a node that is gone cannot be removed from the directory", "node", node, "error", err)
			}
		}
	}
	return all, nil
}

// newestOf reads the last messages of subjects, several at the same time.
func (b *Broker) newestOf(ctx context.Context, s *session, subjects []string) (found []*stored, err error) {
	var wait sync.WaitGroup
	var mu sync.Mutex // guards found and err
	next := make(chan string)
	for range min(together, len(subjects)) {
		wait.Go(func() {
			for subject := range next {
				m, e := b.newest(ctx, s, b.names.nodes, subject)
				mu.Lock()
				if e != nil {
					err = e
				} else if m != nil {
					found = append(found, m)
				}
				mu.Unlock()
			}
		})
	}
	for _, subject := range subjects {
		next <- subject
	}
	close(next)
	wait.Wait()
	return found, err
}
