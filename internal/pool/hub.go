package pool

import (
	"sync"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/asynclog"
	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/problem"
)

// Hub is a hub that outlives the configs that use it. It follows the config in force.
type Hub struct {
	*hub.Hub
	config     atomic.Pointer[config] // the config in force; never nil
	engine     BrokerModule           // that has opened the hub's log
	ownKey     []byte                 // for the ids of clients that name themselves, if the config has no key
	complaints problem.Complaints
	timings    sync.Map       // path → *stream.Timing of the streams that came by it
	endings    asynclog.Queue // lines about connections that have ended
	companions companions
	residents  residents
}

// MaxEvent returns how many bytes the data of an event may have.
func (p *Hub) MaxEvent() int64 { return p.config.Load().settings.maxEvent() }

// OpenLog opens another log on the hub's engine, for what lives beside the hub.
func (p *Hub) OpenLog(name string) (broker.Broker, error) { return p.engine.Open(p.Name + "." + name) }

// Log returns the log of the config in force. Its lines name the hub.
func (p *Hub) Log() *zap.Logger { return p.config.Load().log }

// AskAnew makes the routes ask the app anew about a user, or about every user if it is "".
func (p *Hub) AskAnew(user string) {
	for _, route := range p.config.Load().routes {
		route.Forget(user)
	}
}

// Explain answers a question according to the config in force.
func (p *Hub) Explain(q hub.Question) (hub.Explanation, error) {
	q.Granted = p.config.Load().grants
	return p.Hub.Explain(q)
}

// Destruct implements caddy.Destructor. It drains and closes the hub in the background, since Caddy holds the lock of its config
// meanwhile.
func (p *Hub) Destruct() error {
	go func() {
		p.residents.close()
		p.Drain(p.config.Load().settings.drain())
		_ = p.Close() // the hub is gone, whatever its broker says
	}()
	return nil
}
