package filebroker

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/dustin/go-humanize"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/asynclog"
)

func init() { caddy.RegisterModule(new(Module)) }

// Module keeps events in files, so that clients resume where they were after a crash or a restart. The files belong
// to one process. A change of the options, other than the directory, applies from the next start of the process.
type Module struct {
	// The directory. It is made if there is none, and each hub has its own below it. Placeholders such as `{env.DATA}` are filled in when the config is loaded.
	Dir string `json:"dir"`
	// How often events are synced to disk: `always` before a publish is answered, `never`, or an interval such as
	// `100ms`. A crash of the machine loses events that were not synced. A crash of the process alone loses nothing.
	// Default: 100ms.
	Sync string `json:"sync,omitempty"`
	// Bytes of the disk that the log of one hub may take, at least 1 MiB. When they are reached, the oldest events are
	// removed, a 32nd of this (at most 32 MiB) at a time. Default: 1 GiB.
	MaxBytes int64 `json:"max_bytes,omitempty"`
	// How long events are kept. They may be kept up to a 32nd longer. Default: 24h.
	MaxAge caddy.Duration `json:"max_age,omitempty"`

	options Options
}

const defaultSync = 100 * time.Millisecond

// CaddyModule returns the Caddy module information.
func (*Module) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "sse_push.brokers.file",
		New: func() caddy.Module { return new(Module) },
	}
}

// UnmarshalCaddyfile sets up the broker from Caddyfile tokens. Syntax:
//
//	broker file <dir> {
//	    sync      always|never|<duration>
//	    max_bytes <size>
//	    max_age   <duration>
//	}
func (m *Module) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if !d.AllArgs(&m.Dir) {
		return d.Errf("broker file: write: broker file <dir>")
	}
	seen := map[string]bool{}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		name, value := d.Val(), ""
		if seen[name] {
			return d.Errf("broker file: %s is given twice", name)
		}
		seen[name] = true
		if !d.AllArgs(&value) {
			return d.Errf("broker file: %s takes one argument", name)
		}
		if err := m.set(name, value); err != nil {
			return d.Errf("broker file: %w", err)
		}
	}
	return nil
}

func (m *Module) set(name, value string) error {
	switch name {
	case "sync":
		m.Sync = value
	case "max_bytes":
		size, err := humanize.ParseBytes(value)
		if err != nil || size < 1 || size > math.MaxInt64 {
			return fmt.Errorf("max_bytes: %q must be a size, such as 10GiB", value)
		}
		m.MaxBytes = int64(size)
	case "max_age":
		age, err := caddy.ParseDuration(value)
		if err != nil || age <= 0 {
			return fmt.Errorf("max_age: %q must be a duration of more than 0, such as 7d", value)
		}
		m.MaxAge = caddy.Duration(age)
	default:
		return fmt.Errorf("%q is not an option here; the options are sync, max_bytes, max_age", name)
	}
	_, err := m.check()
	return err
}

// Provision sets up the broker. It touches no file.
func (m *Module) Provision(ctx caddy.Context) (err error) {
	return m.provision(asynclog.Logger(ctx.Slogger()))
}

func (m *Module) provision(logger *slog.Logger) (err error) {
	if m.Dir, err = caddy.NewReplacer().ReplaceOrErr(m.Dir, true, true); err != nil {
		return fmt.Errorf("dir: %w", err)
	}
	if m.Dir == "" {
		return errors.New("dir is missing or empty")
	}
	if m.Dir, err = filepath.Abs(m.Dir); err != nil {
		return fmt.Errorf("dir: %w", err)
	}
	m.options, err = m.check()
	m.options.Logger = logger
	return err
}

// check returns the options for Open.
func (m *Module) check() (o Options, err error) {
	switch m.Sync {
	case "":
		o.Sync = defaultSync
	case "always":
		o.Sync = Always
	case "never":
		o.Sync = Never
	default:
		if o.Sync, err = caddy.ParseDuration(m.Sync); err != nil || o.Sync < time.Millisecond {
			return o, fmt.Errorf("sync: %q must be always, never, or a duration of at least 1ms", m.Sync)
		}
	}
	if o.MaxBytes = m.MaxBytes; o.MaxBytes != 0 && o.MaxBytes < MinMaxBytes {
		return o, errors.New("max_bytes must be at least 1MiB")
	}
	if o.MaxAge = time.Duration(m.MaxAge); o.MaxAge != 0 && o.MaxAge < time.Second {
		return o, errors.New("max_age must be at least 1s")
	}
	return o, nil
}

// LogKey implements the broker module.
func (m *Module) LogKey() string { return "file:" + m.Dir }

// Open implements the broker module.
func (m *Module) Open(hub string) (broker.Broker, error) {
	return Open(filepath.Join(m.Dir, dirName(hub)), m.options)
}

// dirName returns the name of a hub's directory. Two hubs have different names on any file system.
func dirName(hub string) string {
	var name strings.Builder
	for _, c := range []byte(hub) {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_' {
			name.WriteByte(c)
		} else {
			fmt.Fprintf(&name, "%%%02x", c)
		}
	}
	if name.Len() > 200 {
		return fmt.Sprintf("%%%x", sha256.Sum256([]byte(hub)))
	}
	return name.String()
}

// Interface guards.
var (
	_ caddy.Module          = (*Module)(nil)
	_ caddy.Provisioner     = (*Module)(nil)
	_ caddyfile.Unmarshaler = (*Module)(nil)
)
