package upstream

import (
	"context"
	"io"
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/sse-push/caddy-sse-push/internal/identity"
	"github.com/sse-push/caddy-sse-push/internal/instruction"
	"github.com/sse-push/caddy-sse-push/internal/problem"
)

// PassOn passes on a request that no route answers. The app gets no instructions with it, and the client none of the app's. A
// question of user authorize keeps its own.
func (a *App) PassOn(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	switch {
	case identity.IsSiteQuestion(r):
	case identity.IsQuestion(r):
		return a.refuseQuestion(w)
	default:
		stripRequest(r)
	}
	return a.forward(w, r, next)
}

// forward passes on a request that has only instructions for the app, and heeds those of the answer.
func (a *App) forward(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	answer := &answerWriter{
		ResponseWriterWrapper: &caddyhttp.ResponseWriterWrapper{ResponseWriter: w}, app: a, ctx: r.Context(), inner: identity.IsSiteQuestion(r) || isInner(r),
	}
	err := next.ServeHTTP(answer, enclosed(r))
	if !answer.begun && err == nil {
		answer.begin(http.StatusOK) // as net/http does
	}
	answer.take() // of an error, or trailers
	return err
}

// answerWriter removes the instructions from an answer, and publishes what they ask for, before the first byte is sent.
type answerWriter struct {
	*caddyhttp.ResponseWriterWrapper
	app   *App
	ctx   context.Context
	inner bool // others wait for the answer's instructions: a directive around this one, or a question of user authorize
	begun bool
}

// take removes from the answer the instructions that this directive deals with, and returns them: of an answer that others
// wait for, X-SSE-Publish if this directive publishes; of any other, all.
func (a *answerWriter) take() (taken http.Header) {
	if !a.inner {
		return instruction.Strip(a.Header())
	}
	taken = http.Header{}
	if header := a.Header(); a.app.publish != nil {
		taken[instruction.Publish] = header[instruction.Publish]
		delete(header, instruction.Publish)
	}
	return taken
}

// begin deals with the header of an answer, or of an informational response before it.
func (a *answerWriter) begin(status int) {
	taken := a.take() // of 103 as well
	if a.begun || status < 200 {
		return
	}
	a.begun = true
	if texts := taken[instruction.Publish]; len(texts) > 0 && a.app.publish != nil {
		a.app.publishAnswer(a.ctx, texts, status, a.Header())
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

// FlushError is called by http.ResponseController.
func (a *answerWriter) FlushError() error {
	a.begin(http.StatusOK)
	return http.NewResponseController(a.ResponseWriter).Flush()
}

// refuseQuestion answers a question that came back to this Caddy over the network.
func (a *App) refuseQuestion(w http.ResponseWriter) error {
	a.complain(zap.ErrorLevel, "a question of user authorize came back to this Caddy over the network, where its answer cannot be "+
		"told from a client's; give authorize a path of the same site that leads to the app, or the app's own address")
	problem.New(http.StatusLoopDetected, "this Caddy cannot say who a client is").Write(w)
	return nil
}
