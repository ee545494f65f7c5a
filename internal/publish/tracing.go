package publish

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/hub"
)

const (
	// traceTime is how long a delivery is followed.
	traceTime = 10 * time.Second
	// maxTraced is how many deliveries are followed at once; those beyond have no span.
	maxTraced = 256
)

// traced holds an item for each delivery that is followed.
var traced = make(chan struct{}, maxTraced)

// store calls Hub.Publish. If Caddy's tracing has begun a span for the request, it adds spans: "sse_push publish" until the
// broker has the events, and below it "sse_push deliver" until every connection of this node that hears them has been given
// them.
func store(ctx context.Context, theHub *hub.Hub, records []broker.Record) []broker.Result {
	request := trace.SpanFromContext(ctx)
	if !request.IsRecording() {
		return theHub.Publish(ctx, records)
	}
	tracer := request.TracerProvider().Tracer("github.com/sse-push/caddy-sse-push")
	ctx, span := tracer.Start(ctx, "sse_push publish", trace.WithSpanKind(trace.SpanKindProducer),
		trace.WithAttributes(attribute.String("sse_push.hub", theHub.Name), attribute.Int("sse_push.events", len(records))))
	defer span.End()
	results := theHub.Publish(ctx, records)
	var last broker.Position
	for _, r := range results {
		if r.Err != nil {
			span.SetStatus(codes.Error, r.Err.Error())
		} else if !r.Repeated {
			last = r.Position
		}
	}
	if last.IsZero() {
		return results
	}
	select {
	case traced <- struct{}{}:
	default:
		return results
	}
	begin := time.Now()
	go func() {
		defer func() { <-traced }()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), traceTime)
		defer cancel()
		_, span := tracer.Start(ctx, "sse_push deliver", trace.WithTimestamp(begin), trace.WithSpanKind(trace.SpanKindConsumer),
			trace.WithAttributes(attribute.String("sse_push.hub", theHub.Name), attribute.String("sse_push.event", last.String())))
		defer span.End()
		if err := theHub.Taken(ctx, last); err != nil {
			span.SetStatus(codes.Error, err.Error())
		}
	}()
	return results
}
