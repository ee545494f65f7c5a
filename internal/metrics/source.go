package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sse-push/caddy-sse-push/internal/pool"
)

var (
	sourcesMetric          = metric("sources", "Shared streams of the app.")
	sourcesFailingMetric   = metric("sources_failing", "Shared streams whose last request to the app failed, and which wait to try again.")
	sourceEventsMetric     = metric("source_events_total", "Events that shared sources have read from the app and stored.")
	sourceBytesMetric      = metric("source_bytes_total", "Bytes that shared sources have read from the app.")
	sourceUpstreamsMetric  = metric("source_upstreams_total", "Requests of shared sources to the app, by how they ended.", "outcome")
	sourceDroppedMetric    = metric("source_dropped_total", "Events of the app that were dropped because their names are reserved, too long or have control characters.")
	sourceDroppedIDsMetric = metric("source_dropped_ids_total", "Ids of the app's events that were left out, because no client could send them back.")
)

// collectSources sends the counts of the shared sources of the hubs of one name.
func collectSources(out chan<- prometheus.Metric, name string, s *pool.SourceStats) {
	send := sender(out, name)
	send(sourcesMetric, prometheus.GaugeValue, float64(s.Open))
	send(sourcesFailingMetric, prometheus.GaugeValue, float64(s.Failing))
	send(sourceEventsMetric, prometheus.CounterValue, float64(s.Events))
	send(sourceBytesMetric, prometheus.CounterValue, float64(s.Bytes))
	send(sourceDroppedMetric, prometheus.CounterValue, float64(s.Dropped))
	send(sourceDroppedIDsMetric, prometheus.CounterValue, float64(s.DroppedIDs))
	for outcome, n := range s.Upstreams {
		send(sourceUpstreamsMetric, prometheus.CounterValue, float64(n), outcome)
	}
}
