package membroker

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sse-push/caddy-sse-push/broker"
)

func init() { caddy.RegisterModule(Module{}) }

// Module keeps events in the memory of this process. After a restart, clients that resume are told of a gap.
type Module struct{}

// CaddyModule returns the Caddy module information.
func (Module) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "sse_push.brokers.memory",
		New: func() caddy.Module { return new(Module) },
	}
}

// LogKey implements the broker module.
func (Module) LogKey() string { return "memory" }

// Open implements the broker module.
func (Module) Open(string) (broker.Broker, error) { return Open(), nil }

// UnmarshalCaddyfile sets up the broker from Caddyfile tokens. Syntax:
//
//	broker memory
func (*Module) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if d.NextArg() || d.NextBlock(d.Nesting()) {
		return d.ArgErr()
	}
	return nil
}

var _ caddyfile.Unmarshaler = (*Module)(nil)
