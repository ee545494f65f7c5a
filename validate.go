package ssepush

import (
	"errors"
	"fmt"
	"strings"

	"github.com/sse-push/caddy-sse-push/internal/guard"
	"github.com/sse-push/caddy-sse-push/internal/identity"
	"github.com/sse-push/caddy-sse-push/internal/placeholder"
	"github.com/sse-push/caddy-sse-push/internal/request"
)

// check reports what is wrong with the options, alone and together. It makes no difference whether defaults have been filled in.
func (h *Handler) check() error {
	if h.Path == "" && h.Internal == nil && h.PublishHeader == nil && h.Inspector == nil && len(h.ProtocolsRaw) == 0 {
		return errors.New("the directive does nothing: give a subscribe path, internal, publish_header, inspector or mercure")
	}
	if err := h.Settings.Check(); err != nil {
		return err
	}
	if h.Path == "" {
		if name := h.routeSetting(); name != "" {
			return fmt.Errorf("%s: has no effect without a subscribe path", name)
		}
	} else {
		if err := request.CheckPath(h.Path); err != nil {
			return fmt.Errorf("path: %w", err)
		}
		if len(h.Users) == 0 && !h.Anonymous && !h.Upstream {
			return fmt.Errorf("path %s has neither a user source nor anonymous: every client would be refused", h.Path)
		}
	}
	for i := range h.Users {
		if err := h.Users[i].Check(); err != nil {
			return fmt.Errorf("users[%d]: %w", i, err)
		}
		if a := h.Users[i].Authorize; a != nil && (a.Target == h.Path || h.Internal != nil && request.IsBelow(a.Target, h.Internal.Prefix)) {
			return fmt.Errorf("users[%d]: authorize: %s is this directive's own", i, a.Target)
		}
	}
	for i, t := range h.Topics {
		if err := identity.CheckRouteTopic(t); err != nil {
			return fmt.Errorf("topics[%d]: %w", i, err)
		}
	}
	if h.Internal != nil {
		if err := h.Internal.Check(); err != nil {
			return fmt.Errorf("internal: %w", err)
		}
		if h.Path != "" && request.IsBelow(h.Path, h.Internal.Prefix) {
			return fmt.Errorf("path %s lies in the internal prefix %s", h.Path, h.Internal.Prefix)
		}
	}
	if err := h.Relay.CheckBeside(h.Internal); err != nil {
		return fmt.Errorf("relay: %w", err)
	}
	if h.Inspector != nil {
		if err := h.checkInspector(); err != nil {
			return fmt.Errorf("inspector: %w", err)
		}
	}
	if err := h.protocols.check(h.Path, h.Internal, h.Inspector); err != nil {
		return err
	}
	if h.Upstream && (len(h.Users) > 0 || h.Anonymous || len(h.Topics) > 0) {
		return errors.New("upstream: the app says who a client is and what it hears, so users, anonymous and topics must not be given")
	}
	if h.TwoWay {
		switch {
		case h.Upstream:
			return errors.New("two_way: cannot be combined with upstream, with which only the app knows who the callers are")
		case strings.HasSuffix(h.Path, "/"):
			return fmt.Errorf("two_way: the path %s must not end in /", h.Path)
		}
	}
	if h.Source != nil {
		if err := h.Source.CheckBeside(h.Upstream, h.TwoWay, h.Topics); err != nil {
			return fmt.Errorf("source: %w", err)
		}
	}
	if h.PublishHeader != nil {
		if err := h.PublishHeader.Check(); err != nil {
			return fmt.Errorf("publish_header: %w", err)
		}
	}
	if err := guard.CheckCORS(placeholder.Settled(h.CORSOrigins...)); err != nil {
		return fmt.Errorf("cors_origins: %w", err)
	}
	return h.Timing.Check()
}

// checkInspector reports what is wrong with the inspector, alone and together with the other routes.
func (h *Handler) checkInspector() error {
	i := h.Inspector
	if err := i.Check(); err != nil {
		return err
	}
	if h.Path != "" && request.IsBelow(h.Path, i.Path) {
		return fmt.Errorf("the subscribe path %s lies at or below %s", h.Path, i.Path)
	}
	if in := h.Internal; in != nil && (request.IsBelow(in.Prefix, i.Path) || request.IsBelow(i.Path, in.Prefix)) {
		return fmt.Errorf("path: %s and the internal prefix %s must not hold each other", i.Path, in.Prefix)
	}
	return nil
}

// routeSetting returns the name of an option that is given and has an effect on the subscribe route only. It leaves out options
// with a default, which may have been filled in.
func (h *Handler) routeSetting() string {
	switch {
	case len(h.Users) > 0:
		return "users"
	case h.Anonymous:
		return "anonymous"
	case len(h.Topics) > 0:
		return "topics"
	case h.Upstream:
		return "upstream"
	case h.TwoWay:
		return "two_way"
	case h.Source != nil:
		return "source"
	case len(h.CORSOrigins) > 0:
		return "cors_origins"
	}
	return ""
}
