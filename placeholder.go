package ssepush

import (
	"fmt"

	"github.com/caddyserver/caddy/v2"

	"github.com/sse-push/caddy-sse-push/internal/block"
	"github.com/sse-push/caddy-sse-push/internal/placeholder"
)

// options calls visit with the texts of all options, until it returns an error.
func (h *Handler) options(visit func(placeholder.Option) error) error {
	return placeholder.Each(h, func(o placeholder.Option) error {
		for i := range h.Users {
			if h.Users[i].Source == "placeholder" && o.Is(&h.Users[i].Name) {
				o.Treatment = placeholder.Request
			}
		}
		return visit(o)
	})
}

// checkPlaceholders reports the first placeholder that its option does not take, and the option. It keeps at as the place in
// the Caddyfile of new options with placeholders that are filled in when the config is loaded.
func (h *Handler) checkPlaceholders(at block.Place) (name string, err error) {
	err = h.options(func(o placeholder.Option) error {
		for _, text := range o.Texts() {
			if name, err = o.Name, o.Check(text); err != nil {
				return err
			}
			if at != "" && placeholder.AtLoad.MatchString(text) {
				h.keepPlace(o.Name, at)
			}
		}
		return nil
	})
	return name, err
}

// fillIn fills in the placeholders that are filled in when the config is loaded. One without a value is an error.
func (h *Handler) fillIn(repl *caddy.Replacer) error {
	if name, err := h.checkPlaceholders(""); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return h.options(func(o placeholder.Option) error {
		if err := o.FillIn(repl); err != nil {
			return h.placed(o.Name, err)
		}
		return nil
	})
}

// keepPlace notes where the Caddyfile first has an option whose value is checked when the config is loaded.
func (h *Handler) keepPlace(name string, at block.Place) {
	if h.Places == nil {
		h.Places = map[string]string{}
	}
	if h.Places[name] == "" {
		h.Places[name] = string(at)
	}
}

// placed adds to an error where the Caddyfile has an option, if that is known.
func (h *Handler) placed(name string, err error) error {
	if at := h.Places[name]; at != "" {
		return block.Place(at).Wrap(err)
	}
	return err
}
