package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// build is a Caddy with the module.
type build struct {
	path    string
	name    string // the commit that it was built from, or its path
	wrapper bool   // whether it has the listener wrapper
}

// buildNow builds Caddy from the directory above.
func (b *bench) buildNow(ctx context.Context) (*build, error) {
	progress("building Caddy")
	return compile(ctx, "..", filepath.Join(b.dir, "caddy"))
}

// buildBefore builds Caddy from a commit of this repository, in a clone of it.
func (b *bench) buildBefore(ctx context.Context, commit string) (*build, error) {
	top, err := output(ctx, "..", "git", "rev-parse", "--show-toplevel")
	if err != nil {
		return nil, err
	}
	hash, err := output(ctx, top, "git", "rev-parse", "--verify", commit+"^{commit}")
	if err != nil {
		return nil, err
	}
	progress("building Caddy of %.12s", hash)
	clone := filepath.Join(b.dir, "before")
	if _, err := output(ctx, top, "git", "clone", "--quiet", "--shared", "--no-checkout", top, clone); err != nil {
		return nil, err
	}
	if _, err := output(ctx, clone, "git", "checkout", "--quiet", "--detach", hash); err != nil {
		return nil, err
	}
	built, err := compile(ctx, clone, filepath.Join(b.dir, "caddy-before"))
	if err == nil {
		built.name = hash[:12]
	}
	return built, err
}

func compile(ctx context.Context, dir, path string) (*build, error) {
	if _, err := output(ctx, dir, "go", "build", "-o", path, "./cmd/caddy"); err != nil {
		return nil, err
	}
	return built(ctx, path)
}

// built returns an existing Caddy as a build.
func built(ctx context.Context, path string) (*build, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	modules, err := output(ctx, "", path, "list-modules")
	if err != nil {
		return nil, err
	}
	return &build{path: path, name: filepath.Base(path), wrapper: slices.Contains(strings.Fields(modules), "caddy.listeners.sse_push")}, nil
}

// isFile reports whether there is a file at a path, rather than a commit of that name.
func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// output runs a program, and returns what it wrote.
func output(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	var said strings.Builder
	cmd.Stderr = &said
	text, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, args[0], err, strings.TrimSpace(said.String()))
	}
	return strings.TrimSpace(string(text)), nil
}
