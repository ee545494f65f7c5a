package pool

import "github.com/sse-push/caddy-sse-push/internal/hub"

// apply puts a config in force. Connections keep only the topics that it grants them; those that it would not let in are
// closed over a while.
func (p *Hub) apply(cfg *config) {
	p.Configure(cfg.settings.hub())
	p.config.Store(cfg)
	p.Forbid(cfg.forbidden)
	p.retime(cfg.routes)
	p.residents.apply(cfg.routes)
	var leave []*hub.Conn
	p.Each(func(c *hub.Conn) {
		if !cfg.recheck(c) {
			leave = append(leave, c)
		}
	})
	if len(leave) > 0 {
		go hub.Release(leave, hub.Reloaded, cfg.settings.drain())
	}
}

// recheck applies the config in force to a new connection that was admitted under an earlier one, whose servers go on for a
// moment.
func (p *Hub) recheck(c *hub.Conn, admittedUnder *config) {
	if cfg := p.config.Load(); cfg.generation > admittedUnder.generation && !cfg.recheck(c) {
		c.End(hub.Reloaded, 0)
	}
}
