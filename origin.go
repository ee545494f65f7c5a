package ssepush

import (
	"errors"
	"slices"

	"github.com/sse-push/caddy-sse-push/internal/request"
)

func checkCORS(origins []string) error {
	if slices.Contains(origins, "*") {
		if len(origins) > 1 {
			return errors.New("* must stand alone: it allows every origin, without credentials")
		}
		return nil
	}
	for _, o := range origins {
		if err := request.CheckOrigin(o); err != nil {
			return err
		}
	}
	return nil
}
