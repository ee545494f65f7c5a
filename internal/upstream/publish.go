package upstream

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

	"go.uber.org/zap"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/decode"
	"github.com/sse-push/caddy-sse-push/internal/instruction"
	"github.com/sse-push/caddy-sse-push/internal/pool"
	"github.com/sse-push/caddy-sse-push/internal/problem"
	"github.com/sse-push/caddy-sse-push/internal/publish"
	"github.com/sse-push/caddy-sse-push/internal/rules"
)

// PublishHeader lets the app behind the proxy publish by the header X-SSE-Publish of its answers: one event or several, as
// JSON or in the form of a query. Whatever answers on the route may publish, so use it only on routes that nothing but the app
// answers.
type PublishHeader struct {
	// The targets that such events may have: `user`, `topic`, `connection`, `broadcast`. At least one.
	Targets []string `json:"targets" placeholders:"none"`
	// The statuses of answers that count, each as a code such as `201` or a class such as `2xx`. 206 and 304 never count, since
	// the app did not make such an answer for this request. Default: 2xx, 3xx.
	Status []string `json:"status,omitempty" placeholders:"none"`
	// How many bytes the header may have. Default: 16 KiB.
	Size int64 `json:"size,omitempty"`
}

const defaultPublishHeader = 16 << 10

// Check reports what is wrong with the settings.
func (p *PublishHeader) Check() error {
	if len(p.Targets) == 0 {
		return errors.New("targets is missing; give user, topic, connection, broadcast, or several of them")
	}
	for _, name := range p.Targets {
		if err := CheckTarget(name); err != nil {
			return fmt.Errorf("targets: %w", err)
		}
	}
	for _, text := range p.Status {
		if err := CheckStatus(text); err != nil {
			return fmt.Errorf("status: %w", err)
		}
	}
	if p.Size < 0 {
		return errors.New("size: must not be negative")
	}
	return nil
}

// CheckTarget reports what is wrong with the name of a kind of target.
func CheckTarget(name string) error {
	if rules.TargetKind(name) == 0 {
		return fmt.Errorf("%q is unknown; it must be one of user, topic, connection, broadcast", name)
	}
	return nil
}

// CheckStatus reports what is wrong with a status, or a class of statuses, of answers that count.
func CheckStatus(text string) error {
	if text == "206" || text == "304" {
		return fmt.Errorf("%q never counts: such an answer is incomplete, or stands for an earlier one", text)
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

// publishAnswer publishes what an answer of the app asks for. If that fails, the answer is passed on all the same.
func (a *App) publishAnswer(ctx context.Context, texts []string, status int, header http.Header) {
	if reason := a.publish.whyNot(status, header); reason != "" {
		a.complain(zap.WarnLevel, "X-SSE-Publish is ignored: "+reason)
		return
	}
	most := a.publish.Size
	if most == 0 {
		most = defaultPublishHeader
	}
	var size int64
	for _, text := range texts {
		if size += int64(len(text)); size > most {
			a.complain(zap.ErrorLevel, "X-SSE-Publish is too large", zap.Int64("limit", most))
			return
		}
	}
	// The client may be gone already, but the app has done what it reports.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), publish.Timeout)
	defer cancel()
	theHub, err := a.hub.Get(ctx)
	if err == nil {
		if err = theHub.Available(); err == nil {
			for _, text := range texts {
				a.publishText(ctx, theHub, text)
			}
			return
		}
	}
	a.complain(zap.ErrorLevel, "X-SSE-Publish: nothing was published", zap.Error(err))
}

// publishText publishes the events in one line of X-SSE-Publish.
func (a *App) publishText(ctx context.Context, theHub *pool.Hub, text string) {
	kind := "application/x-www-form-urlencoded"
	if decode.LooksLikeJSON([]byte(text)) {
		kind = "application/json"
	}
	d, p := decode.New(&http.Request{
		Header: http.Header{"Content-Type": {kind}}, URL: new(url.URL),
		Body: io.NopCloser(strings.NewReader(text)), ContentLength: int64(len(text)),
	}, theHub.MaxEvent())
	if p != nil {
		a.complain(zap.ErrorLevel, "X-SSE-Publish cannot be read", zap.Error(p))
		return
	}
	defer d.Close()
	for _, result := range publish.All(ctx, theHub.Hub, d, a.publish.permits) {
		if result.Error != nil {
			a.complain(zap.ErrorLevel, "X-SSE-Publish: an event was not published", zap.Error(result.Error))
		}
	}
}
