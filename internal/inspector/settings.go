package inspector

import (
	"errors"
	"fmt"

	"github.com/sse-push/caddy-sse-push/internal/request"
	"github.com/sse-push/caddy-sse-push/internal/secret"
)

// Settings describe a page on which an operator sees what a hub does, publishes by hand, and disconnects clients.
type Settings struct {
	// The page's path, such as `/_inspect`. Nothing at or below it is passed on to the next handler.
	Path string `json:"path" placeholders:"none"`

	// Secrets, one of which an operator gives to sign in. Give several to rotate them: removing one ends the sessions that
	// began with it. Placeholders such as `{env.SSE_PUSH_INSPECTOR}` are filled in when the config is loaded, and must not
	// come out empty.
	Tokens []string `json:"tokens"`
}

// Check reports what is wrong with the settings.
func (s *Settings) Check() error {
	if err := request.CheckPrefix(s.Path); err != nil {
		return fmt.Errorf("path: %w", err)
	}
	if len(s.Tokens) == 0 {
		return errors.New("needs token: without one, anyone could look, publish and disconnect")
	}
	for _, t := range s.Tokens {
		if err := secret.CheckTokenText(t); err != nil {
			return fmt.Errorf("tokens: %w", err)
		}
	}
	return nil
}
