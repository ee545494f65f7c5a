package ssepush

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"

	"github.com/caddyserver/caddy/v2"

	"github.com/sse-push/caddy-sse-push/internal/guard"
	"github.com/sse-push/caddy-sse-push/internal/inspector"
	"github.com/sse-push/caddy-sse-push/internal/reach"
	"github.com/sse-push/caddy-sse-push/internal/request"
	"github.com/sse-push/caddy-sse-push/internal/subscribe"
)

const protocolNamespace = "sse_push.protocols."

// protocols are the protocols of a handler, each with the paths that it answers.
type protocols []struct {
	subscribe.Protocol
	paths []reach.Path
}

// add adds a module that has been set up.
func (ps *protocols) add(guest any) error {
	p, ok := guest.(subscribe.Protocol)
	if !ok {
		return fmt.Errorf("%T is not a protocol", guest)
	}
	*ps = append(*ps, struct {
		subscribe.Protocol
		paths []reach.Path
	}{p, p.Paths()})
	return nil
}

// load loads the protocols that a config names. With an error it returns the name of the one at fault.
func (ps *protocols) load(ctx caddy.Context, raw caddy.ModuleMap) (string, error) {
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		guest, err := ctx.LoadModuleByID(protocolNamespace+name, raw[name])
		if err == nil {
			err = ps.add(guest)
		}
		if err != nil {
			return name, err
		}
	}
	return "", nil
}

// check reports a path that takes requests from another route, or that another route takes requests from.
func (ps protocols) check(path string, in *guard.Internal, look *inspector.Settings) error {
	for _, p := range ps {
		for _, own := range p.paths {
			switch {
			case path != "" && request.IsBelow(path, own.Path):
				return fmt.Errorf("%s: the subscribe path %s lies at or below %s", own.Name, path, own.Path)
			case in != nil && overlap(in.Prefix, own.Path):
				return fmt.Errorf("%s: %s and the internal prefix %s must not hold each other", own.Name, own.Path, in.Prefix)
			case look != nil && overlap(look.Path, own.Path):
				return fmt.Errorf("%s: %s and the inspector's path %s must not hold each other", own.Name, own.Path, look.Path)
			}
		}
	}
	return nil
}

func overlap(a, b string) bool { return request.IsBelow(a, b) || request.IsBelow(b, a) }

// attach joins the protocols to a hub.
func (ps protocols) attach(s subscribe.Site) error {
	for _, p := range ps {
		if err := p.Attach(s); err != nil {
			return fmt.Errorf("%s: %w", p.CaddyModule().ID.Name(), err)
		}
	}
	return nil
}

// of returns the protocol that a request belongs to, nil if there is none, and the URL by which it does.
func (ps protocols) of(r *http.Request) (subscribe.Protocol, *url.URL) {
	if len(ps) == 0 {
		return nil, nil
	}
	for _, u := range request.URLs(r) {
		for _, p := range ps {
			if slices.ContainsFunc(p.paths, func(own reach.Path) bool { return request.URLIsBelow(u, own.Path) }) {
				return p.Protocol, u
			}
		}
	}
	return nil, nil
}
