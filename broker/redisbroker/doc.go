// Package redisbroker keeps a hub's log in a Redis stream (Redis or Valkey, 7.0 or newer), which any number of
// nodes share.
//
// All keys of a hub are under one hash tag, sse:{<hub>}:…, so that a cluster has them in one place:
//
//	log      the stream
//	epochs   a list of the log's lives: "<epoch> <id of its first entry>", oldest first
//	floor    where the log began again after all of it had been trimmed
//	by:…     the outcome of each append, for as long as it can be retried
//	key:…    the outcome of each idempotency key, for 10 minutes
//	nodes, node:…   the directory: the nodes' names, and what each has reported
//
// An entry that a node appends has two fields: "r", the record as broker.Record.Encode writes it, and "by", a token of the
// append. If it cannot be read, a hole stands for it. An entry with the field "epoch" opens a new life of the log. Any other
// entry was published by an app with its own Redis client; plain.go lists its fields.
//
// If a log loses entries, for example because it was restored from a snapshot, the nodes that saw them notice: a tail does not
// find the entry that it read last, or a node's append was acknowledged and never comes. That node opens a new epoch, whose
// first entry is a hole for all nodes. continuity.go decides.
//
// A user of an ACL needs the keys sse:* and these commands: EVAL, EVALSHA, EXISTS, XREAD, SMEMBERS, HGETALL, HMGET, and those
// that the scripts call (scripts.go). RENAME is optional: it saves a copy if a node has more than 1,000 names to report. SELECT
// is needed for a database other than 0, ROLE with Sentinels, and INFO only for the warning about eviction.
//
// A node has two connections, one for its tail and one for everything else (link.go). Commands of all callers are pipelined on
// them. If a server answers that another one has the log, the node connects to that one (engine.go).
//
// # Caveats
//
// Remove entries by trimming only: after an XDEL, tails that had come to the entry report a gap. In a crash, Redis may lose
// entries that it has acknowledged, depending on its settings (appendfsync, replicas). All clients that may have missed
// something are told. While a cluster moves the log's slot to another node, appends wait: the scripts need all their keys in one
// place. Name several nodes of a cluster: one of them, or the one that had the log last, has to be up. Redis needs the
// maxmemory policy noeviction: allkeys-* may drop the whole log, and volatile-* the keys that have an expiry (by:…, key:…,
// node:…), so that events are stored twice and presence is wrong.
package redisbroker
