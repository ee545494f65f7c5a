// Package pool keeps hubs across configs.
//
// A config refers to a hub by a Ref, which collects what the config says of it: settings, broker and subscribe routes. Hubs
// live in a pool of the process, by their name and log. When a config starts, each Ref takes its hub out of the pool or starts
// it; once the config is certain to be in force, Ref.Apply has the hub follow it, and rechecks the connections that earlier
// configs admitted. A hub that no config refers to any more is drained and closed.
//
// Beside a hub, its companions and its Residents live as long: what is opened for clients of all configs, such as shared sources.
//
// The package also admits clients to a hub within their grants and the process's file descriptors, ends their streams when
// the grants expire, and logs each stream's end. It sees a subscribe route through the interface Route, and a connection's
// request through what an Arrival keeps of it.
package pool
