// Package hub is the in-process core of sse_push. It reads a broker's log, keeps the newest part of it as a window, and takes
// each event to the connections that hear it. It knows neither HTTP nor Caddy.
//
// Events travel one way:
//
//  1. Publish appends records to the broker.
//  2. The broker's Tail brings them back in the order of the log, on every node (sink.Deliver). The memory broker does so on the
//     publisher's goroutine if no shard is behind (sink.Prompt).
//  3. They become entries of the window (window.add), and each shard takes them to its live connections (shard.deliver).
//  4. The writer of each connection fetches its own with Conn.Next. It is woken, or, if there are few, writes on the goroutine
//     that delivers (Conn.OnWake). A connection that is not live reads the window or the log instead, until it has caught up
//     (catchUp).
//
// The hub never waits for a client.
//
// A companion (Hub.Companion) is a second hub beside a hub. Its window, shards and log are its own, and it shares what common
// holds: limits, denials, memory.
//
// # Glossary
//
//   - log: what the broker stores, a list of records. A life of the log (epoch) ends when the broker loses records or starts
//     anew; positions of two lives cannot be compared by number.
//   - position: a place in the log, as a client has it in an event's id (broker.Position).
//   - place, seq: the same in this hub's own count. It has no holes, and starts anew with the process. Places are what is
//     compared inside of the hub.
//   - window: the entries that the hub holds in memory, the history of the config.
//   - archive: the log before the window, read page by page from the broker.
//   - cursor: the place up to which a connection has been given entries to write, or has read them. A shard's cursor is the
//     place up to which it has taken entries to its live connections.
//   - live: a connection to which new entries are handed as they come. Others catch up.
//   - pending: the entries that wait for a live connection's writer.
//   - head: frames of the proxy's own that go out before anything that is pending.
//   - behind: how far a connection is from the end of the window.
//   - held: of a connection, that no goroutine serves it; of memory, the bytes that wait, each shared entry counted once.
//   - keep: the memory that a connection takes for as long as it lives. It is charged to the hub's budget.
//   - gap: what a client is told when events that it hears may be missing, from one position to another.
//   - hole: an entry of the log that stands for lost or unreadable records. It becomes a gap.
//   - steer: to end streams, or to add or take away topics, by a record of the log (control).
//   - heed, obey: a node heeds what steers connections when it reads it; a shard obeys it in its turn.
//   - addition: a topic that the app has added to a connection or a user. The keeper repeats it in the log before the history
//     loses it.
//   - receipt: follows one event to the connections of this node, for a publisher that waits.
//   - tap: shows an operator the events that the hub delivers.
//   - trace: what is remembered of ended connections, to explain later why an event did or did not come.
//   - claim: a connection's right to an id that an older stream may have.
//   - attendance: which users are present, on any node.
//   - companion: a hub on a log of its own whose connections count as those of another hub, the main one.
//   - circle: a hub and its companions.
//   - matchers: what a connection of another protocol, such as Mercure's, listens to; such a connection also needs a grant for what
//     is not public.
//   - opening: how a stream begins that cannot go on from an id of its client.
//
// # Locks
//
// A goroutine that holds one of these locks may take another only further down the list:
//
//  1. circle.mu
//  2. memory.mu
//  3. shard.mu
//  4. admission.mu, additions.mu, chatter.mu
//  5. window.mu
//  6. attendance.mu
//  7. nodes.mu
//
// All others are taken last, and held for a few lines: shard.qmu, archive.mu, keeper.mu, Receipt.mu, receipts.mu, trace.mu,
// census.mu and those of probes, rate, denials, intake, taps and stats. Two locks of the same kind are never held together.
package hub
