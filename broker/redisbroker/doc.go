// Package redisbroker keeps a hub's log in a Redis stream (Redis or Valkey, 7.0 or newer), which any number of
// nodes share.
//
// All keys of a hub are under one hash tag, sse:{<hub>}:…, so that a cluster has them in one place:
//
//	log      the stream
//	epochs   a list of the log's lives: "<epoch> <id of its first entry>", oldest first
//	floor    where the log began anew after it had been trimmed empty
//	by:…     what became of each append, for as long as it can be retried
//	key:…    what became of each idempotency key, for 10 minutes
//	nodes, node:…   the directory: the nodes' names, and what each has reported
//
// An entry of ours has two fields: "r", the record as broker.Record.Encode writes it, and "by", a token of the append
// that stored it. An entry with the field "epoch" opens a new life of the log. Any other entry is one that an app
// has published with its own Redis client; see plain.go for its fields. Where an entry of ours cannot be read, a hole stands for it.
//
// A log that lost entries, as one that was restored from a snapshot, is noticed by those who saw them: a tail that
// does not find the entry it read last, and a node whose append was acknowledged and never comes. It opens a new
// epoch, whose first entry is a hole for everybody.
//
// A user of an ACL needs the keys sse:* and the commands EVAL, EVALSHA, those that the scripts call (scripts.go; RENAME is optional, and spares a
// copy where a node has more than 1,000 names to report), EXISTS, XREAD,
// SMEMBERS, HGETALL, HMGET; SELECT for another database than 0, and ROLE behind Sentinels; INFO only for the warning of a
// policy that evicts.
//
// A node has two connections, one for its tail and one for all else (link.go), on which commands of all callers are
// pipelined. Where a server answers that another one has the log, they go there (engine.go).
//
// # Caveats
//
// Entries must be removed by trimming only: after an XDEL, tails that stood on the entry say gap. What Redis has
// acknowledged it may lose in a crash, as its own settings say (appendfsync, replicas); such a loss is told to all
// clients that could have missed something. While a cluster moves the log's slot to another node, appends wait: its scripts
// need all their keys in one place. Of a cluster, name several nodes: one of them, or the one that had the log last, has to
// be there. Redis needs the maxmemory policy noeviction: allkeys-* may drop the whole log, and
// volatile-* the keys that have an expiry (by:…, key:…, node:…), so that events are stored twice and presence is wrong.
package redisbroker
