package relay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"go.uber.org/zap"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/feed"
	"github.com/sse-push/caddy-sse-push/internal/problem"
	"github.com/sse-push/caddy-sse-push/internal/sse"
)

const (
	// logPatience is how long a log that lags or is away is waited for.
	logPatience = 30 * time.Second
	// stopPatience is how long the log is waited for when a relay has been stopped.
	stopPatience = time.Second
	// readSize is how much is read from an upstream at a time, in bytes.
	readSize = 16 << 10
	// maxErrorBody is how much of an answer that is an error is kept, in bytes.
	maxErrorBody = 4 << 10
	maxError     = 512
	// maxSecret is how much more is read of such an answer, so that a secret which it repeats is whole, and is found.
	maxSecret = 4 << 10
)

// Why a run ends, apart from what its upstream does.
var (
	errCancelled   = errors.New("it was stopped")
	errRevoked     = errors.New("the user's streams were ended")
	errInterrupted = errors.New("the proxy is ending")
	errOver        = errors.New("the log already has its end")
	errTimeout     = errors.New("it took longer than timeout")
	errSilence     = errors.New("the upstream sent nothing for longer than silence")
	errTooLong     = errors.New("the answer is longer than answer")
	errLongEvent   = errors.New("an event of the answer is longer than limits { event }")
	errEncoded     = errors.New("the answer is compressed")
	errOpenEnd     = errors.New("the answer's end could not be told from a broken connection: the answer needs chunks or a Content-Length")
)

// run is a relay that this node runs.
type run struct {
	config *Config
	call   *call
	ctx    context.Context
	cancel context.CancelCauseFunc
	over   chan struct{} // closed when nothing of it is left

	answered chan struct{}    // closed when it is known whether it has begun
	refusal  *problem.Problem // why it has not; nil if it has

	seen     bool // the index counts it; Registry.mu guards it
	attempts int  // how often the request was sent
	counts   feed.Counts
	bytes    uint64 // of the data of events that the log has taken; the Feed's
}

func newRun(ctx context.Context, c *Config, q *call) *run {
	x := &run{config: c, call: q, over: make(chan struct{}), answered: make(chan struct{})}
	x.ctx, x.cancel = context.WithCancelCause(ctx)
	return x
}

// answer returns what the call was answered that started the run.
func (x *run) answer(ctx context.Context) *problem.Problem {
	select {
	case <-x.answered:
		return x.refusal
	case <-ctx.Done():
		return problem.RetryLater(http.StatusServiceUnavailable, time.Second, "the log does not answer")
	}
}

// ending is how a run ends.
type ending struct {
	status Status
	cause  error          // why, unless it is complete
	answer *http.Response // nil if there was none; its body is closed
	body   string         // the beginning of an answer that is an error; longer than what is told of it
}

// run fetches what was asked for, into the log.
func (r *Registry) run(x *run) {
	defer r.drop(x)
	began := time.Now()
	r.log().Info("relay begins", zap.String("relay", x.call.id), zap.String("user", x.call.user), zap.String("topic", x.call.topic),
		zap.String("upstream", x.call.request.URL.Scheme+"://"+x.call.request.URL.Host))
	e := r.fetch(x)
	if cause := context.Cause(x.ctx); cause != nil {
		e.cause = cause
	}
	x.cancel(nil)
	switch {
	case errors.Is(e.cause, errOver):
		e.status = r.statusOf(x.call.id) // another node has written the end
	case errors.Is(e.cause, errCancelled), errors.Is(e.cause, errRevoked):
		e.status = Cancelled
	case errors.Is(e.cause, errInterrupted), errors.Is(e.cause, context.Canceled):
		e.status = Interrupted
	case e.cause != nil:
		e.status = Failed
	}
	o := x.outcome(e)
	if o.Node = r.node; !errors.Is(e.cause, errOver) {
		r.finish(x, e.status, o)
	}
	r.logEnd(x.call.id, x.call.user, e.status, began, x.counts.Events.Load(), x.counts.Bytes.Load(), o.Error)
}

// logEnd logs the end of a relay.
func (r *Registry) logEnd(id, user string, status Status, began time.Time, events, bytes uint64, reason string) {
	r.log().Info("relay ended", zap.String("relay", id), zap.String("user", user), zap.String("status", string(status)),
		zap.Duration("duration", time.Since(began)), zap.Uint64("events", events), zap.Uint64("bytes", bytes), zap.String("reason", reason))
}

// statusOf returns the status of a relay as the log tells of it.
func (r *Registry) statusOf(id string) Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	if k := r.index.relays[id]; k != nil {
		return k.end
	}
	return Interrupted
}

// fetch sends the request, again if the call asks for that, and reads the answer.
func (r *Registry) fetch(x *run) ending {
	settings := &x.config.settings
	ctx, cancel := context.WithTimeoutCause(x.ctx, time.Duration(settings.Timeout), errTimeout)
	defer cancel()
	ctx, quiet := context.WithCancelCause(ctx)
	defer quiet(nil)
	silence := time.AfterFunc(time.Duration(settings.Silence), func() { quiet(errSilence) })
	defer silence.Stop()
	for {
		silence.Reset(time.Duration(settings.Silence))
		answer, err := x.config.gate.Send(ctx, &x.call.request)
		x.attempts++
		wait, ok := again(x.attempts, 1+x.call.retry, answer, err)
		if !ok {
			x.call.request.Body = nil // it may be large, and is not needed any more
			return r.take(ctx, x, answer, err, silence)
		}
		silence.Stop()
		if answer != nil {
			answer.Body.Close()
		}
		if !sleep(ctx, wait) {
			return ending{cause: context.Cause(ctx)}
		}
		r.retries()
	}
}

// retries counts a request that is sent again.
func (r *Registry) retries() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.totals.Retries++
}

// take reads what has come of a request. silence runs.
func (r *Registry) take(ctx context.Context, x *run, answer *http.Response, err error, silence *time.Timer) ending {
	if err != nil {
		return ending{cause: because(ctx, err)}
	}
	defer answer.Body.Close()
	e := ending{answer: answer}
	mediaType := mediaTypeOf(answer.Header.Get(contentType))
	format, readable := formatOf(x.call.as, mediaType)
	encoding := answer.Header.Get("Content-Encoding")
	switch {
	case encoding != "" && !strings.EqualFold(encoding, "identity"):
		e.cause = errEncoded
	case answer.StatusCode != http.StatusOK || !readable:
		e.cause = fmt.Errorf("the upstream answered %d, %s", answer.StatusCode, cmp.Or(mediaType, "without a Content-Type"))
		b, _ := io.ReadAll(io.LimitReader(answer.Body, maxErrorBody+maxSecret))
		e.body = string(b)
	default:
		silence.Stop() // the log may take its time
		if e.cause = because(ctx, r.announce(ctx, x, e)); e.cause == nil {
			e.cause = because(ctx, r.read(ctx, x, answer, format, silence))
		}
	}
	if e.cause == nil {
		e.status = Complete
	}
	return e
}

// mediaTypeOf returns what a Content-Type names.
func mediaTypeOf(contentType string) string {
	mediaType, _, _ := mime.ParseMediaType(contentType)
	return mediaType
}

// read reads an answer to its end. What was read before ctx was done is stored all the same.
func (r *Registry) read(ctx context.Context, x *run, answer *http.Response, format feed.Format, silence *time.Timer) (err error) {
	settings := &x.config.settings
	stored, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(stopPatience, cancel) })()
	f := feed.New(stored, feed.Config{
		Log: r.hub, Topic: x.call.id, Format: format, Type: x.call.event, Event: int(r.pool.MaxEvent()), Wait: logPatience, Counts: &x.counts,
		Stored: func(r *broker.Record, _ broker.Position) { x.bytes += uint64(len(r.Data)) },
	})
	defer func() {
		if closed := f.Close(); err == nil {
			err = closed
		}
	}()
	left := settings.Answer
	buf := make([]byte, readSize)
	for {
		silence.Reset(time.Duration(settings.Silence))
		n, err := answer.Body.Read(buf)
		silence.Stop()
		fits := min(int64(n), left)
		switch _, err := f.Write(buf[:fits]); {
		case errors.Is(err, sse.ErrTooLong):
			return errLongEvent
		case err != nil:
			return err
		}
		if left -= fits; fits < int64(n) {
			return errTooLong
		}
		switch {
		case errors.Is(err, io.EOF) && endsOpen(answer):
			return errOpenEnd
		case errors.Is(err, io.EOF):
			return f.End()
		case err != nil:
			return err
		}
	}
}

// endsOpen reports whether an answer ends with its connection, however that ends.
func endsOpen(answer *http.Response) bool {
	return answer.ProtoMajor == 1 && answer.ContentLength < 0 && !slices.Contains(answer.TransferEncoding, "chunked")
}

// because returns why ctx is done, if it is, and otherwise err.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && err != nil {
		return cause
	}
	return err
}

// outcome returns what the log is told of an ending. The values of the config's headers are hidden in it.
func (x *run) outcome(e ending) outcome {
	show := func(text string, most int) string { return clip(x.config.gate.Hide(x.call.request.URL, text), most) }
	o := outcome{Body: show(e.body, maxErrorBody), Attempts: x.attempts}
	if e.cause != nil {
		o.Error = show(e.cause.Error(), maxError)
	}
	if e.answer != nil {
		o.Status, o.Headers = e.answer.StatusCode, told(e.answer.Header)
		for name, value := range o.Headers {
			o.Headers[name] = show(value, maxError)
		}
	}
	return o
}

// finish writes the end of a run to the log. It tries until the log takes it, or the registry closes, or for as long as relays are known
// after their end. If the log takes something again only after that, keep ends the relay as interrupted.
func (r *Registry) finish(x *run, status Status, o outcome) {
	ctx, cancel := context.WithTimeout(r.ctx, kept)
	defer cancel()
	data := end{Relay: x.call.id, Status: status, Events: x.counts.Events.Load(), Bytes: x.bytes}
	_ = r.persist(ctx, data.Relay, endRecords(data, o)...)
}

// announce tells the log of an answer that is about to be read.
func (r *Registry) announce(ctx context.Context, x *run, e ending) error {
	ctx, cancel := context.WithTimeout(ctx, logPatience)
	defer cancel()
	if err := r.persist(ctx, x.call.id, answerRecord(x.call.id, x.outcome(e))); err != nil {
		return fmt.Errorf("storing the headers of the answer: %w", err)
	}
	return nil
}

// persist stores records of a relay that belong together. It tries until the log takes them or is closed, or ctx is done.
func (r *Registry) persist(ctx context.Context, id string, records ...broker.Record) error {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 10*time.Second) {
		once, cancel := context.WithTimeout(ctx, logPatience)
		err := r.write(once, records)
		cancel()
		if err == nil || errors.Is(err, broker.ErrClosed) || errors.Is(err, broker.ErrTooLarge) {
			return err
		}
		r.complaints.Log(r.log(), zap.WarnLevel, "the result of a relay cannot be stored yet", zap.String("relay", id), zap.Error(err))
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return err
		}
	}
}

// toldHeaders are the headers of an answer that the app is told, beside those that begin with sdkHeader.
var toldHeaders = []string{"Content-Type", "Retry-After", "Request-Id", "X-Request-Id"}

const (
	// sdkHeader begins the headers by which an AI SDK names the protocol of an answer. Plain streams have them as well.
	sdkHeader = "X-Vercel-"
	// maxSDKHeaders is how many of them are told on.
	maxSDKHeaders = 8
)

// told returns the headers of an answer that are told on.
func told(h http.Header) map[string]string {
	names := slices.Clone(toldHeaders)
	for _, name := range slices.Sorted(maps.Keys(h)) {
		if strings.HasPrefix(name, sdkHeader) && len(names) < len(toldHeaders)+maxSDKHeaders {
			names = append(names, name)
		}
	}
	headers := map[string]string{}
	for _, name := range names {
		if value := h.Get(name); value != "" {
			headers[name] = value
		}
	}
	return headers
}

// clip returns a text as UTF-8 of at most so many bytes.
func clip(s string, most int) string {
	for s = strings.ToValidUTF8(s, "\uFFFD"); len(s) > most; {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return s
}
