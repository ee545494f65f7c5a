package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

var goBenchmarks = scenario{name: "go", whole: measureGo}

// measureGo runs the project's own Go benchmarks.
func measureGo(ctx context.Context, b *bench) (string, error) {
	progress("go: go test -bench")
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	benchTime := "1s"
	if b.quick {
		benchTime = "1x"
	}
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", ".", "-benchmem", "-benchtime", benchTime, "./internal/...")
	cmd.Dir = ".."
	text, err := cmd.Output()
	var out strings.Builder
	out.WriteString("\n## Go benchmarks\n\n`go test -bench . -benchmem ./internal/...`\n\n| package | benchmark | time | bytes | allocations | other |\n|---|---|---:|---:|---:|---|\n")
	pkg := ""
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 2 && fields[0] == "pkg:":
			_, pkg, _ = strings.Cut(fields[1], "/internal/")
		case len(fields) > 3 && strings.HasPrefix(fields[0], "Benchmark"):
			name := strings.TrimPrefix(fields[0], "Benchmark")
			name = strings.TrimSuffix(name, fmt.Sprintf("-%d", runtime.GOMAXPROCS(0)))
			values, other := map[string]string{}, []string(nil)
			for i := 2; i+1 < len(fields); i += 2 {
				switch unit := fields[i+1]; unit {
				case "ns/op", "B/op", "allocs/op":
					values[unit] = fields[i]
				default:
					other = append(other, fields[i]+" "+unit)
				}
			}
			fmt.Fprintf(&out, "| %s | %s | %s ns | %s | %s | %s |\n", pkg, name, values["ns/op"], values["B/op"], values["allocs/op"], strings.Join(other, ", "))
		}
	}
	if err != nil {
		err = fmt.Errorf("go test: %w: %s", err, bytes.TrimSpace(text[max(0, len(text)-400):]))
	}
	return out.String(), err
}
