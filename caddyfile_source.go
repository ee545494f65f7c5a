package ssepush

import "github.com/sse-push/caddy-sse-push/internal/source"

// sourceOption lets the route share streams of the site.
func sourceOption(h *Handler) option {
	s := new(source.Settings)
	return option{usage: "source {…}", set: func([]string) error {
		h.Source = s
		return nil
	}, block: []option{
		checked(textOption("share session|everyone", &s.Share), source.CheckShare),
		listOption("cookies <name...>", &s.Cookies), listOption("query <name...>", &s.Query),
		checked(textOption("replay last|<number>|off", &s.Replay), source.CheckReplay),
		durationOption("linger", &s.Linger), durationOption("first_answer", &s.FirstAnswer),
		numberOption("max", &s.Max), countOption("per_client", &s.PerClient),
		durationOption("max_age", &s.MaxAge), sizeOption("event", &s.Event),
	}, check: s.Check}
}
