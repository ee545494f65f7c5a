package listener

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
)

// Wrapper makes streams over HTTPS cheaper. Connections with TLS get a transport whose writes do not
// wait, so that a stream needs no goroutine. It comes last in the list, and has no options. It changes nothing for connections
// without TLS, and nothing on systems other than Linux.
type Wrapper struct {
	server *caddyhttp.Server
	ctx    caddy.Context
}

// CaddyModule returns the Caddy module information.
func (Wrapper) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "caddy.listeners.sse_push",
		New: func() caddy.Module { return new(Wrapper) },
	}
}

// Provision finds the server that the wrapper belongs to.
func (w *Wrapper) Provision(ctx caddy.Context) error {
	server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok {
		return errors.New("the listener wrapper sse_push is for HTTP servers only")
	}
	if err := checkPlace(wrapperNames(server), len(server.TLSConnPolicies) > 0); err != nil {
		return err
	}
	app, err := ctx.App("sse_push")
	if err != nil {
		return err
	}
	if k, ok := app.(keeper); ok {
		k.Wrapped(server)
	}
	w.server, w.ctx = server, ctx
	return nil
}

// keeper is the app, which logs advice about servers that lack the wrapper.
type keeper interface {
	Wrapped(*caddyhttp.Server)
}

// checkPlace returns an error if sse_push cannot do its work among the wrappers of a server. Before tls, it would see no TLS. A wrapper
// after it would hide its connections. So would a wrapper before it on a server with TLS if the list lacks tls: Caddy then puts TLS first.
func checkPlace(names []string, secure bool) error {
	i, last := slices.Index(names, "sse_push"), len(names)-1
	switch {
	case i < last && names[last] == "sse_push":
		return errors.New("listener_wrappers: sse_push is there twice")
	case i < last:
		return fmt.Errorf("listener_wrappers: sse_push must come last, after %s", names[last])
	case secure && i > 0 && !slices.Contains(names, "tls"):
		return fmt.Errorf("listener_wrappers: tls is missing, so TLS comes before %s; write %[1]s, tls, sse_push", strings.Join(names[:i], ", "))
	}
	return nil
}

// wrapperNames returns the names of a server's listener wrappers. Caddy forgets them once they are loaded.
func wrapperNames(s *caddyhttp.Server) (names []string) {
	for _, raw := range s.ListenerWrappersRaw {
		var wrapper struct {
			Name string `json:"wrapper"`
		}
		_ = json.Unmarshal(raw, &wrapper) // Caddy has done so before
		names = append(names, wrapper.Name)
	}
	return names
}

// WrapListener implements caddy.ListenerWrapper.
func (w *Wrapper) WrapListener(ln net.Listener) net.Listener {
	if len(w.server.TLSConnPolicies) == 0 {
		return ln
	}
	return Wrap(ln, Config{
		TLS:     w.server.TLSConnPolicies.TLSConfig(w.ctx),
		Timeout: shortest(w.server.ReadHeaderTimeout, w.server.ReadTimeout, w.server.WriteTimeout),
		Linger:  w.linger(),
	})
}

// lingerAfterClose is for how long net/http, too, lets a connection without a request live on after its listener was closed.
const lingerAfterClose = caddy.Duration(5 * time.Second)

// linger returns for how long handshakes may go on after the listener was closed.
func (w *Wrapper) linger() time.Duration {
	app, err := w.ctx.AppIfConfigured("http")
	if err != nil {
		return time.Duration(lingerAfterClose)
	}
	return shortest(app.(*caddyhttp.App).GracePeriod, lingerAfterClose)
}

// shortest returns the shortest of the durations that are greater than 0; 0 if none is.
func shortest(durations ...caddy.Duration) (d time.Duration) {
	for _, other := range durations {
		if other > 0 {
			d = min(cmp.Or(d, time.Duration(other)), time.Duration(other))
		}
	}
	return d
}

// Advise logs that a server without the wrapper may have streams over HTTPS that it would make cheaper.
func Advise(s *caddyhttp.Server, log *zap.Logger) {
	if runtime.GOOS == "linux" && len(s.TLSConnPolicies) > 0 {
		log.Info("streams over HTTPS take more memory and CPU than with the listener wrapper sse_push: "+
			"make it the last of listener_wrappers in the global option servers (docs/reference/directive.md, Over HTTPS)", zap.String("server", s.Name()))
	}
}

// UnmarshalCaddyfile sets up the wrapper from Caddyfile tokens. Syntax:
//
//	sse_push
func (w *Wrapper) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the wrapper's name
	if d.NextArg() || d.NextBlock(0) {
		return d.Errf("sse_push has no options here: the directive in the site has them")
	}
	return nil
}

// Interface guards.
var (
	_ caddy.Provisioner     = (*Wrapper)(nil)
	_ caddy.ListenerWrapper = (*Wrapper)(nil)
	_ caddyfile.Unmarshaler = (*Wrapper)(nil)
)
