package ssepush

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/decode"
	"github.com/sse-push/caddy-sse-push/internal/identity"
	"github.com/sse-push/caddy-sse-push/internal/instruction"
	"github.com/sse-push/caddy-sse-push/internal/problem"
	"github.com/sse-push/caddy-sse-push/internal/publish"
	"github.com/sse-push/caddy-sse-push/internal/rules"
)

// PublishHeader lets the app behind publish by a header of its answers, X-SSE-Publish: an event or many, as JSON or in the
// form of a query. It is trusted for where it comes from, so it is to stand only on routes of which the app alone answers.
type PublishHeader struct {
	// What such events may be sent to: `user`, `topic`, `connection`, `broadcast`. At least one.
	Targets []string `json:"targets"`
	// The statuses of answers that count, each as a code such as `201` or a class such as `2xx`. 206 and 304 never count: the
	// app has not made such an answer for the request. Default: 2xx, 3xx.
	Status []string `json:"status,omitempty"`
	// How many bytes the header may have. Default: 16 KiB.
	Size int64 `json:"size,omitempty"`
}

const defaultPublishHeader = 16 << 10

func (p *PublishHeader) check() error {
	if len(p.Targets) == 0 {
		return errors.New("targets is missing; give user, topic, connection, broadcast, or several of them")
	}
	if err := checkEach(p.Targets, checkTarget); err != nil {
		return fmt.Errorf("targets: %w", err)
	}
	if err := checkEach(p.Status, checkStatus); err != nil {
		return fmt.Errorf("status: %w", err)
	}
	if p.Size < 0 {
		return errors.New("size: must not be negative")
	}
	return nil
}

func checkTarget(name string) error {
	if rules.TargetKind(name) == 0 {
		return fmt.Errorf("%q is not known; known are user, topic, connection and broadcast", name)
	}
	return nil
}

func checkStatus(text string) error {
	if text == "206" || text == "304" {
		return fmt.Errorf("%q never counts: it is a part of an answer, or stands for an earlier one", text)
	}
	if len(text) == 3 && strings.HasSuffix(text, "xx") && text[0] >= '2' && text[0] <= '5' {
		return nil
	}
	if n, err := strconv.Atoi(text); err == nil && n >= 200 && n <= 599 {
		return nil
	}
	return fmt.Errorf("%q must be a status from 200 to 599, or a class such as 2xx", text)
}

// whyNot returns why an answer's X-SSE-Publish does not count, or "" if it does.
func (p *PublishHeader) whyNot(status int, h http.Header) string {
	text := strconv.Itoa(status)
	list := p.Status
	if len(list) == 0 {
		list = []string{"2xx", "3xx"}
	}
	if !slices.Contains(list, text) && !slices.Contains(list, text[:1]+"xx") {
		return "the status " + text + " does not count"
	}
	return instruction.WhyCached(status, h)
}

// permits reports whether an event has only targets that are listed.
func (p *PublishHeader) permits(r *broker.Record) *problem.Problem {
	for _, t := range r.Targets {
		if !slices.ContainsFunc(p.Targets, func(name string) bool { return rules.TargetKind(name) == t.Kind }) {
			return problem.New(http.StatusForbidden, "the header may be sent to %s only", strings.Join(p.Targets, ", "))
		}
	}
	return nil
}

// passOn hands a request to the app behind. Instructions travel one way: none goes in, and none comes out. A question of
// user authorize keeps its own.
func (h *Handler) passOn(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	switch {
	case !h.instructed():
		return next.ServeHTTP(w, r)
	case identity.IsSiteQuestion(r):
	case identity.IsQuestion(r):
		return h.refuseQuestion(w)
	default:
		stripRequest(r)
	}
	return h.forward(w, r, next)
}

// refuseQuestion answers a question that came back to this Caddy over the network.
func (h *Handler) refuseQuestion(w http.ResponseWriter) error {
	h.complain(zap.ErrorLevel, "a question of user authorize came back to this Caddy over the network, where its answer cannot be "+
		"told from a client's; give authorize a path of the same site that leads to the app, or the app's own address")
	problem.New(http.StatusLoopDetected, "this Caddy cannot be asked who a client is").Write(w)
	return nil
}

// forward is passOn for a request that bears only what is to reach the app.
func (h *Handler) forward(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	a := &answerWriter{
		ResponseWriterWrapper: &caddyhttp.ResponseWriterWrapper{ResponseWriter: w}, handler: h, ctx: r.Context(), inner: identity.IsSiteQuestion(r) || isInner(r),
	}
	err := next.ServeHTTP(a, enclosed(r))
	if !a.begun && err == nil {
		a.begin(http.StatusOK) // as net/http does it
	}
	a.take() // of an error, or trailers
	return err
}

// instructed reports whether an app behind may steer the proxy.
func (h *Handler) instructed() bool { return h.PublishHeader != nil || h.Upstream || h.TwoWay }

// answerWriter takes instructions out of an answer, and publishes what they ask for, before the first byte is sent.
type answerWriter struct {
	*caddyhttp.ResponseWriterWrapper
	handler *Handler
	ctx     context.Context
	inner   bool // others wait for the answer's instructions: a directive around this one, or a question of user authorize
	begun   bool
}

// take removes the instructions that are the directive's own, and returns them.
func (a *answerWriter) take() http.Header { return a.handler.takeInstructions(a.Header(), a.inner) }

func (a *answerWriter) begin(status int) {
	taken := a.take() // of 103 as well
	if a.begun || status < 200 {
		return
	}
	a.begun = true
	if texts := taken[instruction.Publish]; len(texts) > 0 && a.handler.PublishHeader != nil {
		a.handler.publishAnswer(a.ctx, texts, status, a.Header())
	}
}

// WriteHeader implements http.ResponseWriter.
func (a *answerWriter) WriteHeader(status int) {
	a.begin(status)
	a.ResponseWriterWrapper.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (a *answerWriter) Write(b []byte) (int, error) {
	a.begin(http.StatusOK)
	return a.ResponseWriterWrapper.Write(b)
}

// ReadFrom implements io.ReaderFrom.
func (a *answerWriter) ReadFrom(r io.Reader) (int64, error) {
	a.begin(http.StatusOK)
	return a.ResponseWriterWrapper.ReadFrom(r)
}

// FlushError is what http.ResponseController calls.
func (a *answerWriter) FlushError() error {
	a.begin(http.StatusOK)
	return http.NewResponseController(a.ResponseWriter).Flush()
}

// publishAnswer publishes what an answer of the app asks for. Whatever becomes of it, the answer stays as it is.
func (h *Handler) publishAnswer(ctx context.Context, texts []string, status int, header http.Header) {
	if reason := h.PublishHeader.whyNot(status, header); reason != "" {
		h.complain(zap.WarnLevel, "X-SSE-Publish is ignored: "+reason)
		return
	}
	most := h.PublishHeader.Size
	if most == 0 {
		most = defaultPublishHeader
	}
	var size int64
	for _, text := range texts {
		if size += int64(len(text)); size > most {
			h.complain(zap.ErrorLevel, "X-SSE-Publish is too large", zap.Int64("limit", most))
			return
		}
	}
	// The client may be gone already: what the app has done is to be told all the same.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), publish.Timeout)
	defer cancel()
	theHub, err := h.hub.Get(ctx)
	if err == nil {
		if err = theHub.Available(); err == nil {
			for _, text := range texts {
				h.publishText(ctx, theHub, text)
			}
			return
		}
	}
	h.complain(zap.ErrorLevel, "X-SSE-Publish: nothing was published", zap.Error(err))
}

func (h *Handler) publishText(ctx context.Context, theHub *pooledHub, text string) {
	kind := "application/x-www-form-urlencoded"
	if decode.LooksLikeJSON([]byte(text)) {
		kind = "application/json"
	}
	d, p := decode.New(&http.Request{
		Header: http.Header{"Content-Type": {kind}}, URL: new(url.URL),
		Body: io.NopCloser(strings.NewReader(text)), ContentLength: int64(len(text)),
	}, theHub.MaxEvent())
	if p != nil {
		h.complain(zap.ErrorLevel, "X-SSE-Publish cannot be read", zap.Error(p))
		return
	}
	for _, answer := range publish.All(ctx, theHub.Hub, d, h.PublishHeader.permits) {
		if answer.Error != nil {
			h.complain(zap.ErrorLevel, "X-SSE-Publish: an event was not published", zap.Error(answer.Error))
		}
	}
}
