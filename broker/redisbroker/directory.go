package redisbroker

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/gomodule/redigo/redis"
)

// countsAge is how old what Counts returns may be.
const countsAge = time.Second

// directory keeps the last answer for a while.
type directory struct {
	mu    sync.Mutex // guards all below
	until time.Time
	all   map[string]int
}

// forgetScript takes a node's name out, unless the node is alive again.
//
// KEYS: the nodes' names, the node's hash. ARGV: the node.
var forgetScript = newScript(`
if redis.call('EXISTS', KEYS[2]) == 0 then redis.call('SREM', KEYS[1], ARGV[1]) end
return 0
`)

func (b *Broker) node(name string) string { return b.keys.prefix + "node:" + name }

// Report implements broker.Directory.
func (b *Broker) Report(ctx context.Context, node string, lease time.Duration, fresh bool, counts map[string]int) error {
	ctx, done, err := b.enter(ctx)
	if err != nil {
		return err
	}
	defer done()
	first, ms := "0", max(lease.Milliseconds(), 0)
	if fresh {
		first = "1"
	}
	names := slices.Collect(maps.Keys(counts))
	// One script of any length would keep Redis from everything else.
	for {
		part := names[:min(len(names), 1000)]
		names = names[len(part):]
		args := []string{node, strconv.FormatInt(ms, 10), first}
		for _, n := range part {
			args = append(args, n, strconv.Itoa(counts[n]))
		}
		if _, err := b.main.read(ctx, reportScript, []string{b.keys.nodes, b.node(node)}, args); err != nil {
			return unavailable(err)
		}
		if first = "0"; len(names) == 0 {
			break
		}
	}
	b.names.mu.Lock()
	b.names.until = time.Time{}
	b.names.mu.Unlock()
	return nil
}

// Counts implements broker.Directory.
func (b *Broker) Counts(ctx context.Context, names ...string) (map[string]int, error) {
	ctx, done, err := b.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	b.names.mu.Lock()
	defer b.names.mu.Unlock()
	if len(names) == 0 {
		if time.Now().After(b.names.until) {
			all, err := b.sum(ctx, nil)
			if err != nil {
				return nil, unavailable(err)
			}
			b.names.all, b.names.until = all, time.Now().Add(countsAge)
		}
		return maps.Clone(b.names.all), nil
	}
	if time.Now().Before(b.names.until) {
		some := map[string]int{}
		for _, n := range names {
			if c, ok := b.names.all[n]; ok {
				some[n] = c
			}
		}
		return some, nil
	}
	some, err := b.sum(ctx, names)
	if err != nil {
		return nil, unavailable(err)
	}
	return some, nil
}

// sum asks for what all nodes have, under the names given or under all.
func (b *Broker) sum(ctx context.Context, names []string) (map[string]int, error) {
	ctx, cancel := context.WithTimeout(ctx, answer)
	defer cancel()
	nodes, err := redis.Strings(b.main.do(ctx, "SMEMBERS", b.keys.nodes))
	if err != nil {
		return nil, err
	}
	asked := make([]*call, len(nodes))
	for i, n := range nodes {
		if len(names) == 0 {
			asked[i] = b.main.start(ctx, "HGETALL", b.node(n))
		} else {
			asked[i] = b.main.start(ctx, "HMGET", redis.Args{}.Add(b.node(n)).AddFlat(names)...)
		}
	}
	sums := map[string]int{}
	var gone []string
	for i, c := range asked {
		reply, err := redis.Strings(b.main.wait(ctx, c))
		if err != nil {
			return nil, err
		}
		if len(names) == 0 {
			if len(reply) == 0 {
				gone = append(gone, nodes[i])
			}
			for pair := range slices.Chunk(reply, 2) {
				addCount(sums, pair[0], pair[1])
			}
			continue
		}
		for i, name := range names {
			addCount(sums, name, reply[i])
		}
	}
	for _, n := range gone {
		if _, err := b.main.exec(ctx, forgetScript, []string{b.keys.nodes, b.node(n)}, []string{n}); err != nil {
			return nil, err
		}
	}
	return sums, nil
}

// addCount leaves out what is no count, as of a node that does not have the name.
func addCount(sums map[string]int, name, count string) {
	if n, err := strconv.Atoi(count); err == nil {
		sums[name] += n
	}
}
