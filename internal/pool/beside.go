package pool

import (
	"fmt"
	"reflect"

	"go.uber.org/zap"

	"github.com/sse-push/caddy-sse-push/broker"
)

// beside is what a config has beside its hub.
type beside struct {
	settings any
	offer    func(*Hub) error
}

// Beside adds something to the config of the hub that lives beside it, with its settings. offer is called when the config is put in
// force, before Resident.Apply. Several handlers may add the same, with the same settings.
func (r *Ref) Beside(name string, settings any, offer func(*Hub) error) error {
	if other, ok := r.beside[name]; ok && !reflect.DeepEqual(other.settings, settings) {
		return fmt.Errorf("differs from the one in another handler of hub %q: give it in one of them", r.config.settings.Hub)
	}
	if r.beside == nil {
		r.beside = map[string]beside{}
	}
	r.beside[name] = beside{settings, offer}
	return nil
}

// offer offers the hub what the config has beside it.
func (r *Ref) offer() {
	for name, b := range r.beside {
		if err := b.offer(r.hub); err != nil {
			r.config.log.Error("cannot be used", zap.String("what", name), zap.Error(err))
		}
	}
}

// OpenLog opens another log on the engine of the hub's, for what lives beside the hub.
func (p *Hub) OpenLog(name string) (broker.Broker, error) { return p.engine.Open(p.Name + "." + name) }

// FindResident returns the hub's resident of a name, or nil if it has none.
func (p *Hub) FindResident(name string) Resident {
	p.residents.mu.Lock()
	defer p.residents.mu.Unlock()
	return p.residents.byName[name]
}
