package ssepush_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/standard"

	_ "github.com/sse-push/caddy-sse-push"
	_ "github.com/sse-push/caddy-sse-push/mercure"
)

func init() { caddy.RegisterModule(testBroker{}) }

var update = flag.Bool("update", false, "rewrite the JSON in testdata")

// A golden file is a Caddyfile, a line of dashes, and the JSON that it becomes or a part of the error.
func TestCaddyfile(t *testing.T) {
	files, err := filepath.Glob("testdata/caddyfile/*.caddyfiletest")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	const separator = "----------\n"
	place := regexp.MustCompile(` at Caddyfile:\d+`)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".caddyfiletest"), func(t *testing.T) {
			golden, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			source, want, found := strings.Cut(string(golden), separator)
			if !found {
				t.Fatal("no separator")
			}
			config, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(source), nil)

			if !strings.HasPrefix(want, "{") {
				switch {
				case err == nil:
					t.Fatalf("got no error, but\n%s", config)
				case !strings.Contains(err.Error(), strings.TrimSpace(want)):
					t.Errorf("got error\n%v\nwant\n%s", err, want)
				case !place.MatchString(err.Error()):
					t.Errorf("error without file and line: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range warnings {
				t.Errorf("warning: %s", w)
			}
			var got bytes.Buffer
			if err := json.Indent(&got, config, "", "\t"); err != nil {
				t.Fatal(err)
			}
			got.WriteByte('\n')
			if *update {
				if err := os.WriteFile(file, []byte(source+separator+got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got.String() != want {
				t.Errorf("got\n%s\nwant\n%s", got.String(), want)
			}
		})
	}
}

// testBroker shows what a directive hands on to a broker.
type testBroker struct {
	Args    []string `json:"args,omitempty"`
	Options []string `json:"options,omitempty"`
}

func (testBroker) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sse_push.brokers.test", New: func() caddy.Module { return new(testBroker) }}
}

// Provision refuses what only Caddy's own check of the config can find.
func (b *testBroker) Provision(caddy.Context) error {
	if slices.Contains(b.Args, "late") {
		return errors.New("url: has no scheme")
	}
	return nil
}

func (b *testBroker) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the broker's name
	b.Args = d.RemainingArgs()
	for d.NextBlock(0) {
		b.Options = append(b.Options, d.Val())
		if d.Val() == "fail" {
			return d.Err("broken on purpose")
		}
	}
	return nil
}
