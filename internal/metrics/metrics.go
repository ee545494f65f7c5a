// Package metrics shows Prometheus what hubs have counted.
package metrics

import (
	"errors"
	"maps"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/pool"
)

// Register adds the metrics of the hubs that live returns to a config's registry. Each config has a registry of its own,
// while the counts live in the hubs, so they go on through a reload.
func Register(registry prometheus.Registerer, live func() []*pool.Hub) error {
	err := registry.Register(collector{live})
	if errors.As(err, &prometheus.AlreadyRegisteredError{}) {
		return nil
	}
	return err
}

// collector reads the hubs when Prometheus asks.
type collector struct{ live func() []*pool.Hub }

// metric describes a metric whose first label is the hub's name.
func metric(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("sse_push_"+name, help, append([]string{"hub"}, labels...), nil)
}

var (
	connectionsMetric  = metric("connections", "Open connections, by HTTP version; held connections take no goroutine.", "protocol", "mode")
	usersMetric        = metric("users", "Users with at least one connection.")
	publishedMetric    = metric("events_published_total", "Events that were published on this node and stored in the log.")
	deliveredMetric    = metric("events_delivered_total", "Events that were handed to streams, counted once for each connection.")
	bytesMetric        = metric("delivered_bytes_total", "Bytes of the events that were handed to streams.")
	delayMetric        = metric("delivery_delay_seconds", "Time from when an event is stored until it is handed to a stream; for a batch, the time of its oldest event.")
	catchupsMetric     = metric("catchups_total", "Connections that began to catch up, because they were new, had resumed or were slow.", "cause")
	gapsMetric         = metric("gaps_total", "Gaps that clients were told about.", "reason")
	coalescedMetric    = metric("coalesced_total", "Events not sent to a connection because a newer one with the same key took their place.")
	expiredMetric      = metric("expired_total", "Events not sent to a connection because their ttl had passed.")
	rejectedMetric     = metric("rejected_total", "Clients that were refused and told to try again later.", "reason")
	skippedMetric      = metric("records_skipped_total", "Records of the log that could not be read, or that cannot come from a hub.")
	pendingMetric      = metric("pending_bytes", "Bytes that wait for connections; an event that waits for several counts for each.")
	lagMetric          = metric("lag_bytes", "Bytes of events that the hub has yet to hand to connections. Above 32 MiB, the node reads no further in the log.")
	historyMetric      = metric("history_events", "Events in the history.")
	historyBytesMetric = metric("history_bytes", "Bytes of the history in memory.")
	drainingMetric     = metric("draining", "1 while the hub closes its streams before it ends, otherwise 0.")
)

// Describe implements prometheus.Collector.
func (collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		connectionsMetric, usersMetric, publishedMetric, deliveredMetric, bytesMetric, delayMetric, catchupsMetric, gapsMetric,
		coalescedMetric, expiredMetric, rejectedMetric, skippedMetric, pendingMetric, lagMetric, historyMetric, historyBytesMetric, drainingMetric,
		sourcesMetric, sourcesFailingMetric, sourceEventsMetric, sourceBytesMetric, sourceUpstreamsMetric, sourceDroppedMetric, sourceDroppedIDsMetric,
		relaysMetric, relaysEndedMetric, relayEventsMetric, relayBytesMetric, relayDroppedMetric, relayDroppedIDsMetric, relayRetriesMetric, relayDoneCallsMetric, relayDonePendingMetric,
	} {
		out <- d
	}
}

// Collect implements prometheus.Collector. While a reload changes a hub's broker there are two hubs of its name: their
// counts are added up.
func (c collector) Collect(out chan<- prometheus.Metric) {
	byName := map[string]*stats{}
	for _, p := range c.live() {
		hub, sources, relays := p.Stats(), p.SourceStats(), p.Relays().Stats()
		if other := byName[p.Name]; other != nil {
			other.hub.Add(hub)
			other.sources.Add(sources)
			other.relays.Add(relays)
		} else {
			byName[p.Name] = &stats{hub, sources, relays}
		}
	}
	for name, s := range byName {
		collect(out, name, &s.hub)
		collectSources(out, name, &s.sources)
		collectRelays(out, name, &s.relays)
	}
}

// stats are the counts of the hubs of one name.
type stats struct {
	hub     hub.Stats
	sources pool.SourceStats
	relays  pool.RelayStats
}

// sender returns a function that sends a metric of the hubs of one name.
func sender(out chan<- prometheus.Metric, name string) func(d *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) {
	return func(d *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, kind, value, append([]string{name}, labels...)...)
	}
}

// collect sends the counts of the hubs of one name.
func collect(out chan<- prometheus.Metric, name string, s *hub.Stats) {
	send := sender(out, name)
	counter := func(d *prometheus.Desc, n uint64) { send(d, prometheus.CounterValue, float64(n)) }
	counters := func(d *prometheus.Desc, counts map[string]uint64) {
		for _, label := range slices.Sorted(maps.Keys(counts)) {
			send(d, prometheus.CounterValue, float64(counts[label]), label)
		}
	}
	gauge := func(d *prometheus.Desc, value float64) { send(d, prometheus.GaugeValue, value) }

	for i, protocol := range []string{1: "h1", 2: "h2", 3: "h3"} {
		if protocol == "" {
			continue
		}
		send(connectionsMetric, prometheus.GaugeValue, float64(s.Open[i].Held), protocol, "held")
		send(connectionsMetric, prometheus.GaugeValue, float64(s.Open[i].Goroutine), protocol, "goroutine")
	}
	gauge(usersMetric, float64(s.Users))
	counter(publishedMetric, s.Published)
	counter(deliveredMetric, s.Delivered)
	counter(bytesMetric, s.Bytes)
	out <- delayHistogram(&s.Delay, name)
	counters(catchupsMetric, s.Catchups)
	counters(gapsMetric, s.Gaps)
	counter(coalescedMetric, s.Coalesced)
	counter(expiredMetric, s.Expired)
	counters(rejectedMetric, s.Rejected)
	counter(skippedMetric, s.Skipped)
	gauge(pendingMetric, float64(s.Pending))
	gauge(lagMetric, float64(s.Lag))
	gauge(historyMetric, float64(s.HistoryEvents))
	gauge(historyBytesMetric, float64(s.HistoryBytes))
	draining := 0.0
	if s.Draining {
		draining = 1
	}
	gauge(drainingMetric, draining)
}

// delayHistogram returns the delays as Prometheus counts them: each bucket includes the smaller ones.
func delayHistogram(d *hub.Delays, name string) prometheus.Metric {
	buckets := make(map[float64]uint64, len(hub.DelayBounds))
	var total uint64
	for i, bound := range hub.DelayBounds {
		total += d.Counts[i]
		buckets[bound.Seconds()] = total
	}
	total += d.Counts[len(hub.DelayBounds)]
	return prometheus.MustNewConstHistogram(delayMetric, total, d.Sum.Seconds(), buckets, name)
}

// Interface guards.
var _ prometheus.Collector = collector{}
