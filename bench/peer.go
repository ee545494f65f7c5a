package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// peer is another project's server that Go builds. It is built as a program of its own, in a module of its own: nothing of it is
// linked into what this repository builds.
type peer struct {
	key     string   // in -servers
	program string   // its package
	modules []string // at their versions
	path    string   // of what was built
	err     error    // why it could not be
}

var builtPeers = []*peer{&mercureHub, &centrifugo}

// build sets path or err.
func (p *peer) build(ctx context.Context, b *bench) {
	progress("building %s", p.modules[0])
	if p.path, p.err = p.compile(ctx, filepath.Join(b.dir, p.key)); p.err != nil {
		p.err = fmt.Errorf("%w: it cannot be built: %w", errMissing, p.err)
		progress("%v", p.err)
	}
}

func (p *peer) compile(ctx context.Context, dir string) (string, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	for _, args := range [][]string{
		{"mod", "init", p.key},
		append([]string{"get"}, p.modules...),
		{"build", "-mod=mod", "-o", p.key, p.program},
	} {
		if _, err := output(ctx, dir, "go", args...); err != nil {
			return "", err
		}
	}
	return filepath.Join(dir, p.key), nil
}
