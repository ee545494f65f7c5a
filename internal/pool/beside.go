package pool

import (
	"fmt"
	"reflect"

	"go.uber.org/zap"
)

// beside is what a config has beside its hub.
type beside struct {
	settings any
	offer    func(*Hub) error
}

// Beside adds to the hub's config something that lives beside the hub, with its settings. offer is called when the config is put in
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

// Has reports whether the config has something of that name beside the hub, though it may not be in force yet.
func (r *Ref) Has(name string) bool {
	_, ok := r.beside[name]
	return ok
}

// offer calls the offers of everything that the config has beside the hub.
func (r *Ref) offer() {
	for name, b := range r.beside {
		if err := b.offer(r.hub); err != nil {
			r.config.log.Error("cannot be used", zap.String("what", name), zap.Error(err))
		}
	}
}
