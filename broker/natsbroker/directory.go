package natsbroker

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"
)

// The directory is a stream with one message for each subject: a node's lease, and its counts in parts, so that a
// change writes a part only. A lease names the generation of the parts that belong to it, and lasts by the server's
// clock: who reads stores a message too, and takes the server's time from that.

const (
	parts = 64
	// tick is the name of the message that tells the time. No escaped name is like it.
	tick = "_tick"
	// together is how many messages are read at once.
	together = 16
)

// nodes are those that have reported by this broker.
type nodes struct {
	mu    sync.Mutex // held during a report
	known map[string]*node
}

// node is what one has reported.
type node struct {
	counts     [parts]map[string]int
	dirty      [parts]bool // what the engine has not been told yet
	generation string      // "" when all has to be told again
	lease      uint64      // the number of its newest lease message
	until      time.Time   // when that ends by our own clock
}

// Report implements broker.Directory.
func (b *Broker) Report(ctx context.Context, name string, lease time.Duration, fresh bool, counts map[string]int) error {
	ctx, cancel := b.within(ctx, 2*callTimeout)
	defer cancel()
	b.nodes.mu.Lock()
	defer b.nodes.mu.Unlock()
	n := b.nodes.known[name]
	if n == nil || fresh {
		n = new(node)
		b.nodes.known[name] = n
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
	if time.Now().After(n.until) { // others may have taken it for dead, and its parts away
		n.generation = ""
	}
	for range 2 {
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

func partOf(name string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	return int(h.Sum32() % parts)
}

// errNotOurs: the engine's newest lease is not the one that we wrote.
var errNotOurs = errors.New("the lease is not the one that was written last")

// report writes the parts that have changed, and then the lease. After anything unexpected, all is written again.
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
	n.generation = "" // until all is answered
	if err := b.put(ctx, s, messages); err != nil {
		return err
	}
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
	n.generation, n.lease, n.until, n.dirty = generation, a.Seq, now.Add(lease), [parts]bool{}
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

// err is what went wrong with a publish.
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

// clear takes a node out, as far as it was written up to a number; 0 for all of it. The lease goes first: without
// it the rest does not count.
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
	sum, err := b.countAll(ctx, s, names)
	if errors.Is(err, errNoStream) {
		return map[string]int{}, nil // nobody has reported yet
	}
	if err != nil {
		return nil, unavailable("counting who is connected", err)
	}
	return sum, nil
}

func (b *Broker) countAll(ctx context.Context, s *session, names []string) (map[string]int, error) {
	generations, err := b.leases(ctx, s)
	if err != nil {
		return nil, err
	}
	wanted := map[int]bool{}
	for _, name := range names {
		wanted[partOf(name)] = true
	}
	var subjects []string
	for node := range generations {
		for i := range parts {
			if wanted[i] || len(names) == 0 {
				subjects = append(subjects, b.names.counts+strconv.Itoa(i)+"."+node)
			}
		}
	}
	found, err := b.newestOf(ctx, s, subjects)
	if err != nil {
		return nil, err
	}
	sum := map[string]int{}
	for _, m := range found {
		node := m.Subject[strings.LastIndexByte(m.Subject, '.')+1:]
		decodePart(m.Data, generations[node], func(name string, count int) {
			if len(names) == 0 || slices.Contains(names, name) {
				sum[name] += count
			}
		})
	}
	return sum, nil
}

// leases returns the generation of each node that is alive, and takes the others out.
func (b *Broker) leases(ctx context.Context, s *session) (map[string]string, error) {
	if err := b.put(ctx, s, []*nats.Msg{nats.NewMsg(b.names.leases + tick)}); errors.Is(err, errNoStream) {
		_, err = s.streamInfo(ctx, b.names.nodes) // is it so, or does it have no leader just now?
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
	alive := map[string]string{}
	for _, m := range found {
		node := strings.TrimPrefix(m.Subject, b.names.leases)
		generation, text, _ := strings.Cut(string(m.Data), " ")
		lease, err := strconv.ParseInt(text, 10, 64)
		switch {
		case node == tick:
		case err == nil && clock.Time.Before(m.Time.Add(time.Duration(lease)*time.Millisecond)):
			alive[node] = generation
		default:
			if err := b.clear(ctx, s, node, m.Sequence); err != nil {
				b.log.Warn("the directory keeps a node that is gone", "node", node, "error", err)
			}
		}
	}
	return alive, nil
}

// newestOf reads the last messages of subjects, several at once.
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

// A part is a generation and pairs of a name and its count, each with its length in front.

func encodePart(generation string, counts map[string]int) []byte {
	b := append(binary.AppendUvarint(nil, uint64(len(generation))), generation...)
	for name, count := range counts {
		b = append(binary.AppendUvarint(b, uint64(len(name))), name...)
		b = binary.AppendVarint(b, int64(count))
	}
	return b
}

// decodePart visits what encodePart wrote, if it is of that generation, as far as it can be read.
func decodePart(b []byte, generation string, visit func(name string, count int)) {
	text := func() (string, bool) {
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) {
			return "", false
		}
		s := string(b[n : n+int(size)])
		b = b[n+int(size):]
		return s, true
	}
	if g, ok := text(); !ok || g != generation {
		return
	}
	for len(b) > 0 {
		name, ok := text()
		count, n := binary.Varint(b)
		if !ok || n <= 0 {
			return
		}
		b = b[n:]
		visit(name, int(count))
	}
}
