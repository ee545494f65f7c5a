package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sse-push/caddy-sse-push/internal/pool"
)

var (
	relaysMetric           = metric("relays", "Relays that this node runs.")
	relaysEndedMetric      = metric("relays_ended_total", "Relays that have ended on this node, by how they ended.", "status")
	relayEventsMetric      = metric("relay_events_total", "Events that relays have read and stored.")
	relayBytesMetric       = metric("relay_bytes_total", "Bytes that relays have read.")
	relayDroppedMetric     = metric("relay_dropped_total", "Events of relays that were dropped because their names are reserved, too long or have control characters.")
	relayDroppedIDsMetric  = metric("relay_dropped_ids_total", "Ids of relays' events that were left out, because no client could send them back.")
	relayRetriesMetric     = metric("relay_retries_total", "Requests of relays that were sent to the upstream again.")
	relayDoneCallsMetric   = metric("relay_done_calls_total", "Calls of done, by outcome; given_up counts relays for which the app is no longer called.", "outcome")
	relayDonePendingMetric = metric("relay_done_pending", "Relays that have ended and whose call of done the app has yet to accept.")
)

// collectRelays sends the counts of the relays of the hubs of one name.
func collectRelays(out chan<- prometheus.Metric, name string, s *pool.RelayStats) {
	send := sender(out, name)
	send(relaysMetric, prometheus.GaugeValue, float64(s.Running))
	send(relayEventsMetric, prometheus.CounterValue, float64(s.Events))
	send(relayBytesMetric, prometheus.CounterValue, float64(s.Bytes))
	send(relayDroppedMetric, prometheus.CounterValue, float64(s.Dropped))
	send(relayDroppedIDsMetric, prometheus.CounterValue, float64(s.DroppedIDs))
	send(relayRetriesMetric, prometheus.CounterValue, float64(s.Retries))
	send(relayDonePendingMetric, prometheus.GaugeValue, float64(s.Untold))
	for status, n := range s.Ended {
		send(relaysEndedMetric, prometheus.CounterValue, float64(n), status)
	}
	for outcome, n := range s.Calls {
		send(relayDoneCallsMetric, prometheus.CounterValue, float64(n), outcome)
	}
}
