package ssepush

import (
	"github.com/sse-push/caddy-sse-push/internal/block"
	"github.com/sse-push/caddy-sse-push/internal/source"
)

// sourceOption lets the route share streams of the site.
func sourceOption(h *Handler) block.Option {
	s := new(source.Settings)
	return block.Option{Usage: "source {…}", Set: func([]string) error {
		h.Source = s
		return nil
	}, Block: []block.Option{
		block.Checked(block.Text("share session|everyone", &s.Share), source.CheckShare),
		block.List("cookies <name...>", &s.Cookies), block.List("query <name...>", &s.Query),
		block.Checked(block.Text("replay last|<number>|off", &s.Replay), source.CheckReplay),
		block.Duration("linger", &s.Linger), block.Duration("first_answer", &s.FirstAnswer),
		block.Number("max", &s.Max), block.Count("per_client", &s.PerClient),
		block.Duration("max_age", &s.MaxAge), block.Size("event", &s.Event),
	}, Check: s.Check}
}
