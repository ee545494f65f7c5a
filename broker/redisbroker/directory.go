package redisbroker

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/sse-push/caddy-sse-push/broker"
)

const (
	// countsAge is how old an answer of Counts may be.
	countsAge = time.Second
	// reportNames limits how many counts one script writes: a long script would block all other commands.
	reportNames = 1000
)

// directory caches the last answer of Counts.
type directory struct {
	mu    sync.Mutex // guards all below
	until time.Time
	all   map[string]int
}

// forgetScript removes a node's name, unless the node is alive again.
//
// KEYS: the nodes' names, the node's hash. ARGV: the node.
var forgetScript = newScript(`
if redis.call('EXISTS', KEYS[2]) == 0 then redis.call('SREM', KEYS[1], ARGV[1]) end
return 0
`)

func (b *Broker) node(name string) string { return b.keys.prefix + "node:" + name }

// staged returns the key of a report that is being written.
func (b *Broker) staged(name string) string { return b.keys.prefix + "next:" + name }

// Report implements broker.Directory.
func (b *Broker) Report(ctx context.Context, node string, lease time.Duration, fresh bool, counts map[string]int) error {
	ctx, done, err := b.enter(ctx)
	if err != nil {
		return err
	}
	defer done()
	names := slices.Collect(maps.Keys(counts))
	how := "add"
	if fresh {
		how = "replace"
	}
	for first := "1"; len(names) > reportNames; first = "0" {
		if fresh {
			how = "staged"
			err = b.stage(ctx, node, first, pairs(names[:reportNames], counts))
		} else {
			err = b.report(ctx, node, lease, how, pairs(names[:reportNames], counts))
		}
		if err != nil {
			return err
		}
		names = names[reportNames:]
	}
	if err := b.report(ctx, node, lease, how, pairs(names, counts)); err != nil {
		return err
	}
	b.names.mu.Lock()
	b.names.until = time.Time{}
	b.names.mu.Unlock()
	return nil
}

// pairs returns names, each followed by its count.
func pairs(names []string, counts map[string]int) (list []string) {
	for _, n := range names {
		list = append(list, n, strconv.Itoa(counts[n]))
	}
	return list
}

func (b *Broker) stage(ctx context.Context, node, first string, counts []string) error {
	_, err := b.main.read(ctx, stageScript, []string{b.staged(node)}, append([]string{first}, counts...))
	if err != nil {
		return unavailable(err)
	}
	return nil
}

func (b *Broker) report(ctx context.Context, node string, lease time.Duration, how string, counts []string) error {
	keys := []string{b.keys.nodes, b.node(node), b.keys.heard, b.staged(node)}
	args := []string{node, milliseconds(max(lease, 0)), how, milliseconds(broker.Silence)}
	run := b.main.read
	if how == "staged" { // this cannot be repeated
		run = b.main.exec
	}
	n, err := redis.Int(run(ctx, reportScript, keys, append(args, counts...)))
	switch {
	case err != nil:
		return unavailable(err)
	case n < 0:
		return broker.ErrForgotten
	}
	return nil
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// Counts implements broker.Directory.
func (b *Broker) Counts(ctx context.Context, names ...string) (map[string]int, error) {
	ctx, done, err := b.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	b.names.mu.Lock()
	defer b.names.mu.Unlock()
	now := time.Now()
	if now.Before(b.names.until) {
		if len(names) == 0 {
			return maps.Clone(b.names.all), nil
		}
		some := map[string]int{}
		for _, n := range names {
			if c, ok := b.names.all[n]; ok {
				some[n] = c
			}
		}
		return some, nil
	}
	nodes, err := b.list(ctx, names)
	if err != nil {
		return nil, unavailable(err)
	}
	sums := map[string]int{}
	for _, n := range nodes {
		for name, c := range n.Counts {
			sums[name] += c
		}
	}
	if len(names) == 0 {
		b.names.all, b.names.until = maps.Clone(sums), time.Now().Add(countsAge)
	}
	return sums, nil
}

// Nodes implements broker.Roster.
func (b *Broker) Nodes(ctx context.Context, names ...string) ([]broker.Node, error) {
	ctx, done, err := b.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	nodes, err := b.list(ctx, names)
	if err != nil {
		return nil, unavailable(err)
	}
	return nodes, nil
}

// list returns each node's counts, under the names given or under all.
func (b *Broker) list(ctx context.Context, names []string) ([]broker.Node, error) {
	ctx, cancel := context.WithTimeout(ctx, answer)
	defer cancel()
	known, err := redis.Strings(b.main.do(ctx, "SMEMBERS", b.keys.nodes))
	if err != nil {
		return nil, err
	}
	heard, err := redis.Strings(b.main.eval(ctx, heardScript, []string{b.keys.heard}, []string{milliseconds(broker.Silence)}))
	if err != nil {
		return nil, err
	}
	// A node of an older version is not in heard. A silent one is no longer in nodes.
	all := slices.Compact(slices.Sorted(slices.Values(slices.Concat(heard, known))))
	there, asked := make([]*call, len(all)), make([]*call, len(all))
	for i, n := range all {
		there[i] = b.main.start(ctx, "EXISTS", b.node(n))
		if len(names) == 0 {
			asked[i] = b.main.start(ctx, "HGETALL", b.node(n))
		} else {
			asked[i] = b.main.start(ctx, "HMGET", redis.Args{}.Add(b.node(n)).AddFlat(names)...)
		}
	}
	var nodes []broker.Node
	for i, name := range all {
		alive, err := redis.Bool(b.main.wait(ctx, there[i]))
		if err != nil {
			return nil, err
		}
		reply, err := redis.Strings(b.main.wait(ctx, asked[i]))
		if err != nil {
			return nil, err
		}
		n := broker.Node{Name: name, Silent: !alive, Counts: map[string]int{}}
		if !alive && slices.Contains(known, name) {
			if _, err := b.main.exec(ctx, forgetScript, []string{b.keys.nodes, b.node(name)}, []string{name}); err != nil {
				return nil, err
			}
		}
		switch {
		case !alive && !slices.Contains(heard, name):
			continue
		case !alive:
		case len(names) == 0:
			for pair := range slices.Chunk(reply, 2) {
				addCount(n.Counts, pair[0], pair[1])
			}
		default:
			for i, count := range reply {
				addCount(n.Counts, names[i], count)
			}
		}
		nodes = append(nodes, n)
	}
	return nodes, nil
}

// addCount adds a count. It skips the field without a name, and names that the node does not have.
func addCount(counts map[string]int, name, count string) {
	if n, err := strconv.Atoi(count); err == nil {
		counts[name] = n
	}
}
