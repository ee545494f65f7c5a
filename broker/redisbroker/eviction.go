package redisbroker

import (
	"context"
	"strings"

	"github.com/gomodule/redigo/redis"
)

// policyScript asks the server that has the log for its memory settings. KEYS: log.
var policyScript = newScript(`return redis.call('INFO', 'memory')`)

// warnOfEviction logs a warning if the server may remove keys of the hub to make room. If the server does not tell its policy,
// it logs nothing.
func (t *tail) warnOfEviction(ctx context.Context) {
	info, err := redis.String(t.b.tail.exec(ctx, policyScript, []string{t.b.keys.log}, nil))
	if err != nil {
		return
	}
	_, rest, _ := strings.Cut(info, "maxmemory_policy:")
	policy, _, _ := strings.Cut(rest, "\r\n")
	if harm := harmOf(policy); policy != t.policy && harm != "" {
		t.b.logger.Warn("redis: when memory runs short, maxmemory-policy "+policy+" "+harm+"; set it to noeviction", "policy", policy)
	}
	t.policy = policy
}

// harmOf returns what an eviction policy may do to a hub; "" if nothing.
func harmOf(policy string) string {
	switch {
	case strings.HasPrefix(policy, "allkeys-"):
		return "may drop the whole log, so that clients miss events and are told of a gap"
	case strings.HasPrefix(policy, "volatile-"):
		return "may drop idempotency keys, so that a repeated publish is stored twice, and the nodes' leases, so that connected users seem to be offline"
	}
	return ""
}
