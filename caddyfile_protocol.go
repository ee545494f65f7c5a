package ssepush

import (
	"maps"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sse-push/caddy-sse-push/internal/block"
)

// protocolOptions returns a line for each protocol: those that are linked in, and those that can be.
func protocolOptions(h *Handler) (options []block.Option) {
	known := slices.Collect(maps.Keys(protocolPlugins))
	for _, m := range caddy.GetModules("sse_push.protocols") {
		known = append(known, m.ID.Name())
	}
	slices.Sort(known)
	for _, name := range slices.Compact(known) {
		options = append(options, block.Option{Usage: name + " …", Guest: func(d *caddyfile.Dispenser) error {
			if _, err := caddy.GetModule(protocolNamespace + name); err != nil {
				return notLinked(d, name, protocolPlugins[name])
			}
			at := block.PlaceOf(d)
			guest, err := caddyfile.UnmarshalModule(d, protocolNamespace+name)
			if err != nil {
				return err
			}
			if h.ProtocolsRaw == nil {
				h.ProtocolsRaw = caddy.ModuleMap{}
			}
			h.ProtocolsRaw[name] = caddyconfig.JSON(guest, nil)
			h.keepPlace("protocols."+name, at)
			return h.protocols.add(guest)
		}})
	}
	return options
}
