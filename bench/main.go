// Command bench measures Server-Sent Events servers side by side on loopback: a floor that does nothing but write, this
// project in the Caddy that is built from the directory above, the same from an earlier commit (-before), nchan if it is
// installed, and, in some scenarios, Mercure's own hub and Centrifugo, which are built if their modules can be had.
//
// Every server runs as a process of its own, one at a time, and is started afresh for each row. This process is the load: it
// connects, publishes, reads and checks what it reads. What a server used is asked of the kernel.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "floor" {
		exit(runFloor(os.Args[2:]))
	}
	exit(run())
}

func exit(err error) {
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// bench is one run.
type bench struct {
	sizes
	quick        bool
	protocols    []string
	repeat       int    // how many times each row is measured
	dir          string // of all files
	build        *build // once it is built
	before       *build // or nil
	profiles     string // a directory for profiles, or none
	nchanWorkers string
	identity     *identity
	descriptors  uint64
	model        *model // once it is started
	app          *app   // the same
}

func run() error {
	b := new(bench)
	var only, names, protocols, caddy, before string
	var write bool
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.BoolVar(&b.quick, "quick", false, "small numbers, to see that all works; the figures mean nothing")
	flags.BoolVar(&write, "write", false, "write the tables to RESULTS.md too")
	flags.StringVar(&only, "only", "", "the scenarios, with commas between: "+strings.Join(scenarioNames(), ","))
	flags.StringVar(&names, "servers", "", "the servers, with commas between: "+strings.Join(serverNames(), ","))
	flags.StringVar(&protocols, "protocols", "", "the protocols, with commas between: "+strings.Join(protocolNames(), ","))
	flags.StringVar(&caddy, "caddy", "", "a Caddy to measure instead of building one")
	flags.StringVar(&before, "before", "", "a commit, or a Caddy, to measure beside it as \"before\"")
	flags.IntVar(&b.repeat, "repeat", 1, "how many times to measure each row, servers taking turns; tables have the medians")
	flags.StringVar(&b.profiles, "profile", "", "a directory to save CPU and heap profiles of sse_push to; they slow it down")
	flags.StringVar(&b.nchanWorkers, "nchan-workers", "auto", "nginx's worker_processes")
	if err := flags.Parse(os.Args[1:]); err != nil {
		return err
	}
	chosen, err := choose(only, scenarioNames())
	if err != nil {
		return err
	}
	wanted, err := choose(names, serverNames())
	if err != nil {
		return err
	}
	if b.protocols, err = choose(protocols, protocolNames()); err != nil {
		return err
	}
	if before == "" && names != "" && slices.Contains(wanted, "before") {
		return errors.New("-servers before needs -before")
	}
	if before == "" {
		wanted = slices.DeleteFunc(wanted, func(name string) bool { return name == "before" })
	}
	if write && b.quick {
		return errors.New("-quick has no figures that are worth to -write")
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	debug.SetGCPercent(400)
	os.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true") // a row has one client a socket
	if b.descriptors, err = raiseDescriptors(); err != nil {
		return err
	}
	if err := adoptOrphans(); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "sse-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	if b.profiles != "" {
		if b.profiles, err = filepath.Abs(b.profiles); err != nil {
			return err
		}
		if err := os.MkdirAll(b.profiles, 0o755); err != nil {
			return err
		}
	}
	if b.identity, err = newIdentity(b.dir); err != nil {
		return err
	}
	b.sizes = fullSizes
	if b.quick {
		b.sizes = quickSizes
	}
	b.sizes.fit(int(b.descriptors))

	if slices.Contains(wanted, "ssepush") {
		if caddy != "" {
			b.build, err = built(ctx, caddy)
		} else {
			b.build, err = b.buildNow(ctx)
		}
		if err != nil {
			return err
		}
	}
	if slices.Contains(wanted, "before") {
		if isFile(before) {
			b.before, err = built(ctx, before)
		} else {
			b.before, err = b.buildBefore(ctx, before)
		}
		if err != nil {
			return err
		}
	}

	for _, p := range builtPeers {
		if slices.Contains(wanted, p.key) {
			p.build(ctx, b)
		}
	}

	report := report{heading: b.heading()}
	fmt.Print(report.String())
	began, failed := time.Now(), false
	for _, s := range scenarios {
		if !slices.Contains(chosen, s.name) {
			continue
		}
		table, ok := b.table(ctx, s, wanted)
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		fmt.Print(table)
		report.tables = append(report.tables, table)
		failed = failed || !ok
	}
	progress("took %s", time.Since(began).Round(time.Second))
	if write {
		if err := report.write(b, only != ""); err != nil {
			return err
		}
	}
	if failed {
		return errors.New("not all could be measured")
	}
	return nil
}

// choose reads a list of names; none stands for all.
func choose(list string, all []string) ([]string, error) {
	if list == "" {
		return all, nil
	}
	chosen := strings.Split(list, ",")
	for _, name := range chosen {
		if !slices.Contains(all, name) {
			return nil, fmt.Errorf("%q is unknown; known are %s", name, strings.Join(all, ", "))
		}
	}
	return chosen, nil
}

// progress reports what is going on.
func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}
