package ssepush

import (
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sse-push/caddy-sse-push/internal/block"
)

// brokerPlugins and protocolPlugins name what is linked in only on request, with the packages to link.
var (
	brokerPlugins   = map[string]string{"nats": "broker/natsbroker", "redis": "broker/redisbroker"}
	protocolPlugins = map[string]string{"mercure": "mercure"}
)

// notLinked returns an error that says how to link in what a line needs.
func notLinked(d *caddyfile.Dispenser, name, pkg string) error {
	const module = "github.com/sse-push/caddy-sse-push"
	return d.Errf("%s is not linked in; build with: xcaddy build --with %s --with %s/%s", name, module, module, pkg)
}

// parseBroker passes `<name> [<args...>] {…}` on to the broker of that name.
func parseBroker(d *caddyfile.Dispenser, h *Handler) error {
	if !d.NextArg() {
		return d.Errf("broker: missing argument; write: broker <name> [<args...>]")
	}
	const namespace = "sse_push.brokers."
	name, at := d.Val(), block.PlaceOf(d)
	if _, err := caddy.GetModule(namespace + name); err != nil {
		if pkg := brokerPlugins[name]; pkg != "" {
			return notLinked(d, "broker: "+name, pkg)
		}
		return d.Errf("broker: %q is unknown; these are linked in: %s", name, strings.Join(brokerNames(), ", "))
	}
	broker, err := caddyfile.UnmarshalModule(d, namespace+name)
	if err != nil {
		return err
	}
	h.BrokerRaw = caddyconfig.JSONModuleObject(broker, "name", name, nil)
	h.keepPlace("broker", at)
	return nil
}

func brokerNames() (names []string) {
	for _, m := range caddy.GetModules("sse_push.brokers") {
		names = append(names, m.ID.Name())
	}
	return names
}
