package filebroker

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/sse-push/caddy-sse-push/broker"
)

func TestProvision(t *testing.T) {
	data := t.TempDir()
	t.Setenv("FILEBROKER_DATA", data)
	m := &Module{Dir: "{env.FILEBROKER_DATA}/x/../events", Sync: "never"}
	if err := m.provision(slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(data, "events")
	if m.LogKey() != "file:"+dir {
		t.Errorf("the log's key is %q", m.LogKey())
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("provisioning has made the directory")
	}
	log, err := m.Open("Main/../x")
	if err != nil {
		t.Fatal(err)
	}
	if r := log.Append(t.Context(), []broker.Record{{}}); r[0].Err != nil {
		t.Error(r[0].Err)
	}
	if err := log.Close(); err != nil {
		t.Error(err)
	}
	for path, mode := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, "%4dain%2f%2e%2e%2fx", "lock"): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
}

func TestProvisionRefuses(t *testing.T) {
	t.Parallel()
	for want, m := range map[string]*Module{
		"dir is missing": {},
		"dir: ":          {Dir: "{env.FILEBROKER_IS_NOT_SET}"},
		"sync: ":         {Dir: "x", Sync: "1"},
		"max_bytes ":     {Dir: "x", MaxBytes: -1},
		"max_age ":       {Dir: "x", MaxAge: caddy.Duration(1)},
	} {
		if err := m.provision(nil); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestDirName(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, hub := range []string{"default", "a", "A", "é", ".", "..", "a/b", "a%2fb", `a\b`, strings.Repeat("a", 255), strings.Repeat("/", 255), strings.Repeat("/", 254)} {
		name := dirName(hub)
		if other, ok := seen[strings.ToLower(name)]; ok {
			t.Errorf("%q and %q are both %q", hub, other, name)
		}
		seen[strings.ToLower(name)] = hub
		if len(name) > 200 || strings.ContainsAny(name, `/\.:`) {
			t.Errorf("%q is %q", hub, name)
		}
	}
}
