package guard

import (
	"errors"
	"fmt"

	"github.com/sse-push/caddy-sse-push/internal/placeholder"
	"github.com/sse-push/caddy-sse-push/internal/request"
	"github.com/sse-push/caddy-sse-push/internal/secret"
)

// Internal is the route on which apps publish and query the hub. It needs tokens, allow, or both; a request must satisfy each that is
// given.
type Internal struct {
	// The path prefix, such as `/_sse`. Nothing below it is passed on to the next handler.
	Prefix string `json:"prefix" placeholders:"none"`

	// Secrets, one of which a request must carry as `Authorization: Bearer <secret>`. Give several to rotate
	// them. Placeholders such as `{env.SSE_PUSH_TOKEN}` are filled in when the config is loaded, and must not come out empty.
	// Required unless `allow` is given. Default: none.
	Tokens []string `json:"tokens,omitempty"`

	// The direct peers that may call: `loopback`, `private_ranges`, or addresses in CIDR form. A request
	// with a header that proxies add is refused. Required unless `tokens` are given. Default: any.
	Allow []string `json:"allow,omitempty"`

	// Origins whose pages may call from a browser. Default: none, so that requests from browsers are refused.
	Origins []string `json:"origins,omitempty"`
}

// Check reports what is wrong with the settings.
func (i *Internal) Check() error {
	if err := request.CheckPrefix(i.Prefix); err != nil {
		return fmt.Errorf("prefix: %w", err)
	}
	if len(i.Tokens) == 0 && len(i.Allow) == 0 {
		return errors.New("needs token, allow, or both: with neither, anyone could publish")
	}
	for _, t := range i.Tokens {
		if err := secret.CheckTokenText(t); err != nil {
			return fmt.Errorf("tokens: %w", err)
		}
	}
	if _, err := request.ParsePrefixes(placeholder.Settled(i.Allow...)); err != nil {
		return fmt.Errorf("allow: %w", err)
	}
	for _, o := range placeholder.Settled(i.Origins...) {
		if err := request.CheckOrigin(o); err != nil {
			return fmt.Errorf("origins: %w", err)
		}
	}
	return nil
}
