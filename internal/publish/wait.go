package publish

import (
	"context"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/decode"
	"github.com/sse-push/caddy-sse-push/internal/hub"
)

// awaited is an event whose delivery is followed.
type awaited struct {
	wait    decode.Wait
	receipt *hub.Receipt
	end     time.Time
}

// follow begins to follow an event that is about to be published. It returns nil if w does not wait.
func follow(w decode.Wait, theHub *hub.Hub, record *broker.Record) *awaited {
	if w.Until == "" {
		return nil
	}
	return &awaited{wait: w, receipt: theHub.Receipt(record)}
}

// begin starts the wait once the broker has answered. It reports whether there is anything to wait for: the delivery of an
// event that was published before under the same idempotency key is no longer known.
func (a *awaited) begin(result broker.Result) bool {
	if a == nil {
		return false
	}
	if result.Err != nil || result.Repeated {
		a.receipt.Close()
		return false
	}
	a.end = time.Now().Add(a.wait.Timeout)
	return true
}

// Await waits for the deliveries that the answers ask for, at most until their timeouts, and fills them in.
func Await(ctx context.Context, theHub *hub.Hub, answers []Answer) {
	var list []hub.Awaited
	var places []int
	for i := range answers {
		if a := answers[i].awaited; a != nil {
			list = append(list, hub.Awaited{Receipt: a.receipt, Written: a.wait.Until == "written", Until: a.end})
			places = append(places, i)
		}
	}
	deliveries := theHub.Await(ctx, list)
	for i, place := range places {
		answers[place].Delivery = &deliveries[i]
	}
}
